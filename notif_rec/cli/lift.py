"""`notif-rec lift`: the effect of sending, against the holdout or in any file of an experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.pairs import pairs_of
from notif_rec.cli.render import Table, note, show, utc
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.causal.interval import Estimate
    from notif_rec.causal.qini import Verdict
    from notif_rec.workflows.lift import Measure
    from notif_rec.workflows.lift_logs import LogsLift

FILE = click.Path(path_type=Path)
NAMED = {"mapping": "map", "constants": "set"}
SHOWN = 8  # features
COLUMNS = ("outcome", "of", "treated", "held out", "effect", "from", "to", "relative", "detectable", "power", "needed for 1 %")


@click.command("lift")
@as_of_option()
@click.option("--since", type=Span(), default="28d", show_default=True, help="How far back the first plan may lie")
@click.option("--event", "events", multiple=True, metavar="NAME", help="An event to count; repeatable  [default: all signs of taste]")
@click.option("--logs", type=FILE, metavar="FILE", help="An experiment: CSV (plain, .gz, .zst) or Parquet with treated, outcome, …")
@click.option("--features", metavar="COLUMN,…", help="With --logs: columns known before the decision, by which users may differ")
@click.option("--cost", default=0.0, show_default=True, help="With --logs: what treating costs, in the unit of the outcome")
@click.option("--map", "mapping", multiple=True, callback=pairs_of, metavar="COLUMN=HEADER", help="COLUMN stands under HEADER; repeatable")
@click.option("--set", "constants", multiple=True, callback=pairs_of, metavar="COLUMN=VALUE", help="COLUMN is VALUE everywhere; repeatable")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(min=0), help="With --logs: of the halves and the resampling")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="With --logs and --features: writes user_id,uplift,treat")
@pass_settings
def command(
    settings: Settings, as_of: datetime, since: timedelta, events: tuple[str, ...], logs: Path | None, features: str | None, cost: float,
    mapping: Mapping[str, str], constants: Mapping[str, str], seed: int, output: Path | None,
) -> None:  # fmt: skip
    """Say what sending brings: what users did who got messages, less what held-out users did, with 95 % intervals.

    A user counts in the group that the plans of the time put them in, whatever the config says now; who changed groups is left out.
    `detectable` is the smallest effect that these groups show in 80 of 100 tries, `power` the chance to show one as large as the one
    found, `needed` the users in each of two equal groups that would show one percent more.

    With --logs the same of any randomised experiment: a row a decision, with treated (0 or 1) and outcome; optional user_id (rows of a
    user are drawn together) and propensity (the chance of treatment; else the share treated). With --features also on whom the effect is: a
    doubly robust learner fitted to each half of the users is judged on the other, by Qini and by what treating by it would have brought.
    """
    given = click.get_current_context().get_parameter_source
    asked = [name for name in ("features", "cost", "mapping", "constants", "seed", "output") if given(name) is ParameterSource.COMMANDLINE]
    if logs is None and asked:
        raise click.UsageError(f"--{NAMED.get(asked[0], asked[0])} goes with --logs FILE")
    if logs is not None and any(given(name) is ParameterSource.COMMANDLINE for name in ("as_of", "since", "events")):
        raise click.UsageError("--as-of, --since and --event are for the workspace's own plans, and not for --logs")
    if logs is None:
        return _of_plans(settings, as_of, since, events)
    names = tuple(name.strip() for name in features.split(",")) if features else ()
    if output is not None and not names:
        raise click.UsageError("--output needs --features: without them everybody is alike")
    from notif_rec.workflows.lift_logs import lift_of_logs, write_uplift

    found = lift_of_logs(logs, mapping=mapping, constants=constants, features=names, cost=cost, seed=seed, jobs=settings.jobs)
    if output is not None and found.verdict is not None:
        write_uplift(output, found, cost)
    _report(settings, found)


def _of_plans(settings: Settings, as_of: datetime, since: timedelta, events: tuple[str, ...]) -> None:
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


def _report(settings: Settings, found: LogsLift) -> None:
    verdict = found.verdict
    lines = [f"{found.rows:,} rows of {found.users:,} users: {found.treated.n:,} treated, {found.untreated.n:,} not"]
    if found.difference is not None:
        d = found.difference
        lines.append(
            f"outcome {found.treated.mean:.5g} against {found.untreated.mean:.5g}: effect {d.value:.4g} ({d.low:.4g} to {d.high:.4g})"
        )
    tables = []
    if verdict is not None:
        lines += _verdict_lines(verdict)
        policies = (("nobody", verdict.nobody), ("everybody", verdict.everybody), ("by uplift", verdict.targeted))
        rows = [(name, *_cells(value)) for name, value in policies]
        rows += [("by uplift less nobody", *_cells(verdict.over_nobody)), ("by uplift less everybody", *_cells(verdict.over_everybody))]
        tables = [
            Table(("treated", "outcome less cost", "from", "to"), rows, "what treating brings"),
            Table(
                ("share", "foretold", "effect", "from", "to"),
                [(g.share, g.foretold, *_cells(g.found)) for g in verdict.groups],
                "by foretold effect",
            ),
            Table(
                ("feature", "most changed", "least changed", "in spreads"),
                [tuple(vars(c).values()) for c in found.contrasts[:SHOWN]],
                "who",
            ),
        ]
    show(settings, found.to_json(), text="\n".join(lines), tables=tables)
    for warning in found.notes:
        note(settings, f"warning: {warning}")


def _verdict_lines(verdict: Verdict) -> list[str]:
    q, left = verdict.qini, verdict.effect_on_alone
    lines = [
        f"doubly robust effect {_told(verdict.effect)}",
        f"Qini {_told(q)}: the ranking {'finds' if q.low > 0 else 'may not find'} those who change",
    ]
    if left is None:
        return [*lines, "nobody to leave alone: every foretold effect pays"]
    return [*lines, f"leave alone {verdict.alone:.1%}: treating them changes {_told(left)}"]


def _told(estimate: Estimate) -> str:
    return f"{estimate.value:.4g} ({estimate.low:.4g} to {estimate.high:.4g})"


def _cells(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high
