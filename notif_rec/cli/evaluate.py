"""`notif-rec evaluate`: a backtest, or a given split."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notif_rec.cli.engagement_tables import engagement_tables
from notif_rec.cli.engine import engine_option, open_engine
from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings, read_config
from notif_rec.cli.render import Table, count, note, progress, show
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.workflows.backtest import ChannelReport, EvaluateResult

SHOWN = ("recall", "ndcg", "map", "hit_rate")
WHOLE = ("coverage", "gini", "novelty", "popularity_lift", "sufficiency")
FILE = click.Path(path_type=Path)


@click.command("evaluate")
@as_of_option()
@click.option("--horizon", type=Span(), default="7d", show_default=True, help="How long before --as-of the lists are made")
@click.option("-k", "k", type=click.IntRange(min=1, max=10_000), default=20, show_default=True, help="Length of the lists")
@click.option("--train", type=FILE, metavar="FILE", help="Instead of the store: pairs to learn from (user_id,item_id or LightGCN's text)")
@click.option("--test", type=FILE, metavar="FILE", help="Pairs to foretell; goes with --train")
@engine_option()
@pass_settings
def command(
    settings: Settings, as_of: datetime, horizon: timedelta, k: int, train: Path | None, test: Path | None, engine: str | None
) -> None:
    """Backtest the models against simple ones.

    Lists are made from what was known at --as-of minus --horizon, over all items live then, and judged by what users took until
    --as-of. `blend` is the model in use; every other row stands beside it with the interval of how far blend leads.

    Probabilities are judged by the sends of a --horizon whose answers are all in, beside three baselines: do they mean what they say
    (observed over expected), and how well do they tell answers apart (log loss, AUC).
    """
    if (train is None) != (test is None):
        raise click.UsageError("--train and --test go together")
    if train and engine == "spark":
        raise click.UsageError("--engine spark evaluates a store; a given split is one fit, and runs here")
    with progress(settings) as advance:
        if train and test:
            from notif_rec.workflows.evaluate_split import evaluate_split

            result = evaluate_split(train, test, read_config(settings), k, jobs=settings.jobs, progress=advance)
        else:
            from notif_rec.workflows.evaluate import evaluate

            workspace = open_workspace(settings)
            runs = open_engine(settings, workspace.config, engine)
            result = evaluate(workspace.store, workspace.config, as_of, horizon, k, engine=runs, progress=advance)
    for text in (*result.notes, *(result.engagement.notes if result.engagement else ())):
        note(settings, text)
    show(settings, result.to_json(), tables=list(_tables(result)))


def _tables(result: EvaluateResult) -> Iterator[Table]:
    for name, found in result.channels.items():
        yield _models(name, found, result.k)
        if name in result.other_way:
            yield _models(name, result.other_way[name], result.k)
        yield _parts(name, found, result.k)
    if result.engagement is not None:
        yield from engagement_tables(result.engagement)


def _models(name: str, found: ChannelReport, k: int) -> Table:
    """A row a model: how good its lists are, and how far the blend leads it."""
    seen = "what they had before left out" if found.exclude_seen else "what they had before may come again"
    title = (
        f"{name}: {count(found.users)} users ({count(found.cold_users)} new) took {count(found.targets)} items, {seen}; "
        f"{count(found.without_targets)} users took nothing"
    )
    way = "left out" if found.exclude_seen else "listed"
    rows = [
        (name, way, model, *(values[f"{m}@{k}"] for m in SHOWN), *(values[m] for m in WHOLE), _lead(found, model, k))
        for model, values in found.report.models.items()
    ]
    columns = ("channel", "seen", "model", *(f"{m}@{k}" for m in SHOWN), *WHOLE, "blend leads ndcg by (95 %)")
    return Table(columns, [_digits(row) for row in rows], title)


def _parts(name: str, found: ChannelReport, k: int) -> Table:
    """A row a part of the users: NDCG of each model."""
    models = list(found.report.models)
    rows = [
        (name, part, int(values[models[0]]["users"]), *(values[model][f"ndcg@{k}"] for model in models))
        for part, values in found.report.segments.items()
        if "tenth" not in part
    ]
    return Table(("channel", "part", "users", *models), [_digits(row) for row in rows], f"{name}: ndcg@{k} by part of the users or items")


def _lead(found: ChannelReport, model: str, k: int) -> str:
    if model not in found.report.differences:
        return ""
    lead = found.report.differences[model][f"ndcg@{k}"]
    return f"{lead.mean:+.4f} [{lead.low:+.4f}, {lead.high:+.4f}]"


def _digits(row: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(f"{value:.4f}" if isinstance(value, float) else value for value in row)
