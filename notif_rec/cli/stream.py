"""`notif-rec stream`: decisions as events come."""

from __future__ import annotations

import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notif_rec.cli.options import Settings, Workspace, as_of_option, now, open_workspace, out_option, pass_settings
from notif_rec.cli.render import count, note, progress, show

if TYPE_CHECKING:
    from notif_rec.workflows.stream import Batch


@click.command("stream")
@click.option(
    "--from", "folder", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder that files are moved into"
)
@click.option("--every", type=click.FloatRange(min=0.1), default=5.0, show_default=True, metavar="SECONDS", help="Between two looks at it")
@click.option("--once", is_flag=True, help="Take in what is there, then end")
@as_of_option(default_now=False, shown="the clock, at each look")
@out_option()
@pass_settings
def command(settings: Settings, folder: Path, every: float, once: bool, as_of: datetime | None, out: Path | None) -> None:
    """Take in files of events as they come, and plan and apply at once for the users they speak of; ends at SIGTERM or Ctrl-C.

    Move files in whole (write elsewhere, then rename); names are taken once. The newest model is used: train it by `run` or `train`.
    Killed at any moment, the next start goes on where it was.
    """
    work, totals, seen = open_workspace(settings), Counter[str](), list[str]()
    try:
        while True:
            batch = _look(settings, work, folder, as_of or now(), out or settings.lists_path, seen)
            totals.update(batches=1, files=batch.files, events=batch.events, plans=bool(batch.plan_id), sends=sum(batch.sends.values()))
            totals.update(refused=len(batch.refused))
            _tell(settings, batch)
            if once:
                break
            time.sleep(every)
    except (KeyboardInterrupt, SystemExit):
        note(settings, "stopped")
    keys = ("batches", "files", "refused", "events", "plans", "sends")
    told: dict[str, Any] = {key: totals[key] for key in keys}
    show(settings, told, text=", ".join(f"{count(totals[key])} {key}" for key in keys))


def _look(settings: Settings, work: Workspace, folder: Path, as_of: datetime, out: Path, seen: list[str]) -> Batch:
    """One look at the folder; `seen` grows by the names that were taken."""
    from notif_rec.engines.local import LocalEngine
    from notif_rec.workflows.stream import take_in, waiting

    files = waiting(folder, seen)
    with progress(settings) as advance:
        batch = take_in(work.store, work.config, folder, files, as_of, out, LocalEngine(settings.jobs), advance)
    seen += [path.name for path in files]
    return batch


def _tell(settings: Settings, batch: Batch) -> None:
    for name, problem in batch.refused.items():
        note(settings, f"warning: refused {name}: {problem}")
    if batch.plan_id and not settings.json:
        note(
            settings,
            f"plan {batch.plan_id}: {count(batch.events)} events, {count(batch.users)} users, {count(sum(batch.sends.values()))} sends",
        )
