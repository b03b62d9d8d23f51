"""`notif-rec run`: the nightly job."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from notif_rec.cli.engine import engine_option, open_engine
from notif_rec.cli.options import Settings, as_of_option, open_workspace, out_option, pass_settings
from notif_rec.cli.render import Table, note, progress, show


@click.command("run")
@as_of_option()
@out_option()
@engine_option()
@pass_settings
def command(settings: Settings, as_of: datetime, out: Path | None, engine: str | None) -> None:
    """Ingest the configured sources, train when the model is stale, plan and apply; made for cron.

    Finishes first what an earlier run left half done. Stops with exit code 3, before anything is planned, where a source is missing,
    has shrunk (guards.max_change) or is old (guards.max_source_age). Run it again at any time: nothing is sent twice.
    """
    from notif_rec.workflows.run import run

    work = open_workspace(settings, create=True)
    root = settings.config.resolve().parent
    with progress(settings) as advance:
        runs = open_engine(settings, work.config, engine)
        result = run(work.store, work.config, root, as_of, out or settings.lists_path, runs, settings.jobs, advance)
    for plan_id in result.finished:
        note(settings, f"published the lists of plan {plan_id}, which an earlier run had left unpublished")
    rows = [(channel, n, result.applied.files[channel]) for channel, n in result.applied.sends.items()]
    show(settings, result.to_json(), text=f"plan {result.applied.plan_id} applied", tables=[Table(("channel", "sends", "list"), rows)])
