"""`notif-rec init`: a workspace that runs at once."""

from __future__ import annotations

import shutil
import sys
from datetime import datetime
from pathlib import Path

import click

from notif_rec.cli.options import Settings, as_of_option, pass_settings
from notif_rec.cli.render import show


@click.command("init")
@click.argument("folder", metavar="[DIR]", type=click.Path(path_type=Path), default=".")
@as_of_option()
@pass_settings
def command(settings: Settings, folder: Path, as_of: datetime) -> None:
    """Write a commented config, tiny sample data and a cron line into DIR (here by default).

    Nothing that exists is overwritten. The sample ends at --as-of, so that a first plan has something to go by.
    """
    from notif_rec.workflows.init import init

    installed = shutil.which("notif-rec")
    program = (installed,) if installed else (sys.executable, "-m", "notif_rec.cli.main")
    result = init(folder, as_of=as_of, program=program)
    listed = "\n".join(f"  {folder / name}" for name in result.files)
    text = f"wrote\n{listed}\nevery night: {result.cron}"
    show(settings, result.to_json(), text=text, next_command=f"notif-rec run -c {folder / 'notif_rec.yml'}")
