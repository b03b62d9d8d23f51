"""`notif-rec tune`: searches the settings of the models."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from notif_rec.cli.engine import engine_option, open_engine
from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings, read_config
from notif_rec.cli.render import note, progress, show
from notif_rec.cli.span import Span

if TYPE_CHECKING:
    from notif_rec.workflows.tune import TuneResult

FILE = click.Path(path_type=Path)


@click.command("tune")
@click.option("--budget", type=Span(), default="10m", show_default=True, help="How long to search, earlier sittings counted in")
@click.option("-o", "--output", type=FILE, metavar="FILE", help="The piece of config to write  [default: tuned.yml in the store]")
@as_of_option()
@click.option("--horizon", type=Span(), default="7d", show_default=True, help="Length of the last slice, which validates")
@click.option("--train", type=FILE, metavar="FILE", help="Instead of the store: pairs, some of each user validate; needs -o")
@engine_option()
@pass_settings
def command(
    settings: Settings,
    budget: timedelta,
    output: Path | None,
    as_of: datetime,
    horizon: timedelta,
    train: Path | None,
    engine: str | None,
) -> None:
    """Search the settings of the models, and write the best as a piece of config.

    Learns from what came before the last --horizon before --as-of and validates on what came in it; nothing after --as-of is
    looked at. Trials stand beside the output: the same command goes on where it was stopped, a larger --budget searches on.
    """
    from notif_rec.workflows.tune import Order, tune, tune_split

    if train and not output:
        raise click.UsageError("--train has no store to write to: name the file with -o")
    target = output or settings.store_path / "tuned.yml"
    if train and engine == "spark":
        raise click.UsageError("--engine spark searches over a store; pairs of a file are read here")
    with progress(settings) as advance:
        order = Order(target, budget, time.monotonic, settings.jobs, advance, lambda text: note(settings, text))
        if train:
            result = tune_split(train, read_config(settings), order)
        else:
            workspace = open_workspace(settings)
            order = replace(order, engine=open_engine(settings, workspace.config, engine))
            result = tune(workspace.store, workspace.config, as_of, horizon, order)
    show(settings, result.to_json(), text=_summary(result), next_command=f"notif-rec config check -c {result.output}")


def _summary(result: TuneResult) -> str:
    if result.before is None or result.best is None:
        return f"{result.output}: the budget ended before one trial did, so the settings stay as they were; raise --budget"
    lines = [
        f"{result.output}: ndcg@20 {result.before.ndcg:.4f} -> {result.best.ndcg:.4f}, recall@20 {result.before.recall:.4f} -> "
        f"{result.best.recall:.4f} on {result.validation}",
        f"{result.trials} trials in {result.seconds:.0f} s" + ("" if result.complete else "; a larger --budget would search on"),
    ]
    return "\n".join(lines)
