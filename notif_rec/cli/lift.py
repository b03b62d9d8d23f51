"""`notif-rec lift`: the effect of sending, against the holdout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import click

from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.render import Table, note, show, utc
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.workflows.lift import Measure

COLUMNS = ("outcome", "of", "treated", "held out", "effect", "from", "to", "relative", "detectable", "power", "needed for 1 %")


@click.command("lift")
@as_of_option()
@click.option("--since", type=Span(), default="28d", show_default=True, help="How far back the first plan may lie")
@click.option("--event", "events", multiple=True, metavar="NAME", help="An event to count; repeatable  [default: all signs of taste]")
@pass_settings
def command(settings: Settings, as_of: datetime, since: timedelta, events: tuple[str, ...]) -> None:
    """Say what sending brings: what users did who got messages, less what held-out users did, with 95 % intervals.

    A user counts in the group that the plans of the time put them in, whatever the config says now; who changed groups is left out.
    `detectable` is the smallest effect that these groups show in 80 of 100 tries, `power` the chance to show one as large as the one
    found, `needed` the users in each of two equal groups that would show one percent more.
    """
    from notif_rec.workflows.lift import lift

    work = open_workspace(settings)
    result = lift(work.store, work.config, as_of, since, events)
    text = (
        f"{result.plans} plans from {utc(result.since)} to {utc(result.until)}: {result.treated:,} users treated, {result.held:,} held out"
        + (f", {result.changed:,} changed groups and are left out" if result.changed else "")
    )
    tables = [Table(COLUMNS, _rows(result.everybody), "everybody")]
    if result.reached:
        tables.append(Table(COLUMNS, _rows(result.reached), "those whom the plans had a message for, from the first on"))
    show(settings, result.to_json(), text=text, tables=tables)
    for warning in result.notes:
        note(settings, f"warning: {warning}")


def _rows(measures: Sequence[Measure]) -> list[tuple[object, ...]]:
    return [
        (
            *(m.outcome, m.kind, m.treated.mean, m.held.mean, m.effect.value, m.effect.low, m.effect.high, m.effect.relative),
            *(m.effect.detectable, m.effect.power, m.needed),
        )
        for m in measures
    ]
