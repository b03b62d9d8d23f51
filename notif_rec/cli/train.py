"""`notif-rec train`: fits all models."""

from __future__ import annotations

from datetime import datetime

import click

from notif_rec.cli.engine import engine_option, open_engine
from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.render import Table, progress, show

UPLIFT = ("channel", "treated", "held out", "messages", "one adds", "95 %", "qini", "95 % ", "valued by")
FATIGUE = ("channel", "fatigue", "fitted", "95 %", "config")


@click.command("train")
@as_of_option()
@engine_option()
@pass_settings
def command(settings: Settings, as_of: datetime, engine: str | None) -> None:
    """Fit all models from events that happened before --as-of.

    One ranking model per channel: its own events count fully, those of other channels and organic behaviour by `transfer`.
    """
    from notif_rec.workflows.increments import increment_rows
    from notif_rec.workflows.tiredness import curve_rows
    from notif_rec.workflows.train import train

    workspace = open_workspace(settings)
    with progress(settings) as advance:
        runs = open_engine(settings, workspace.config, engine)
        result = train(workspace.store, workspace.config, as_of, jobs=settings.jobs, progress=advance, engine=runs)
    rows = [(name, *counts.values()) for name, counts in result.channels.items()]
    text = f"model {result.model_id}" + ("" if result.fresh else " (was there already)")
    uplift = [] if result.uplift is None else [Table(UPLIFT, increment_rows(result.uplift), "days with a visit that a message adds")]
    show(
        settings,
        result.to_json(),
        text=text,
        tables=[Table(("channel", "users", "items", "interactions"), rows), Table(FATIGUE, curve_rows(result.fatigue)), *uplift],
        next_command="notif-rec plan",
    )
