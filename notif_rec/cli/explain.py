"""`notif-rec explain`: one user's fate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import Table, note, show, utc

if TYPE_CHECKING:
    from notif_rec.planning.fates import Fate

COLUMNS = ("channel", "rank", "item_id", "from", "p_click", "value", "fate", "counter", "rule", "free from", "also")
MOVED = ("channel", "item_id", "outcome", "odds times", "by", "here", "typical")
SHOWN, STRONGEST, LEAST = 15, 5, 1.02


@click.command("explain")
@click.argument("user")
@click.option("--plan", "plan", default="latest", metavar="ID", help="A plan's id, a prefix of one, or `latest`  [default: latest]")
@click.option("--item", "item", metavar="I", help="This item alone, even where it was no candidate")
@click.option("--channel", "channel", metavar="C", help="This channel alone")
@click.option("--all", "everything", is_flag=True, help=f"Every candidate, not just the first {SHOWN} of each channel")
@pass_settings
def command(settings: Settings, user: str, plan: str, item: str | None, channel: str | None, everything: bool) -> None:
    """Say what became of each candidate of USER in a plan: sent when, or every rule that bound, its counter and the next free moment.

    The user is planned for again by what the plan knew; quotas, apply and release are taken from what happened. Of the
    first of each channel, or of --item, it also says what raised and lowered the odds, beside a typical user and any item.
    """
    from notif_rec.workflows.explain import explain

    result = explain(open_workspace(settings).store, user, plan, item, channel)
    facts = result.facts
    consent = ", ".join(f"{c} {word}" for c, word in facts["consent"].items())
    text = (
        f"user {result.user_id} in plan {result.plan_id} ({result.state}, as of {utc(result.as_of)})\n"
        f"time zone {facts['timezone']} · consent: {consent} · {facts['known_sends']} known sends · {facts['seen_items']} items seen"
    )
    text += "".join(f"\n{channel}: {words}" for channel, words in facts.get("weekly", {}).items())
    shown = [f for f in result.fates if everything or f.rank <= SHOWN or (f.send_at is not None and not f.reasons)]
    moved = Table(MOVED, [row for fate in shown for row in _moved(fate, everything)], "What raised and lowered the probabilities")
    tables = [_table(shown), *([moved] if moved.rows else [])]
    show(settings, result.to_json(), text=text, tables=tables)
    if len(shown) < len(result.fates):
        note(settings, f"{len(result.fates) - len(shown)} further candidates; --all shows them")


def _moved(fate: Fate, everything: bool) -> list[tuple[object, ...]]:
    """A row an influence, the strongest of each outcome unless everything is wanted."""
    rows, told = list[tuple[object, ...]](), dict[str, int]()
    for one in fate.influences:
        told[one.outcome] = told.get(one.outcome, 0) + 1
        if everything or (told[one.outcome] <= STRONGEST and max(one.odds, 1 / one.odds) >= LEAST):
            what = (one.name, one.words, "") if one.value is None else (one.words, round(one.value, 3), round(one.typical or 0.0, 3))
            rows.append((fate.channel, fate.item_id, one.outcome, round(one.odds, 3), *what))
    return rows


def _table(shown: list[Fate]) -> Table:
    """With what users do anyway, and what a message adds, where sends are valued by that."""
    if all(fate.uplift is None for fate in shown):
        return Table(COLUMNS, [_row(fate) for fate in shown])
    return Table((*COLUMNS, "without", "uplift"), [(*_row(fate), _days(fate.without), _days(fate.uplift)) for fate in shown])


def _days(number: float | None) -> str:
    return "" if number is None else f"{number:.4f}"


def _row(fate: Fate) -> tuple[object, ...]:
    head = (fate.channel, fate.rank, fate.item_id, fate.source, round(fate.p_click, 4), round(fate.value, 4))
    if fate.send_at is not None and not fate.reasons:
        return (*head, f"sent at {utc(fate.send_at)}", "", "", "", "")
    first, *others = fate.reasons
    word = f"shadow of {utc(fate.send_at)}: {first.name}" if fate.shadow else first.name
    return (*head, word, first.counter, first.rule, utc(first.free_from), ", ".join(r.name for r in others))
