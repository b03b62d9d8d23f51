"""`notif-rec doctor`: is this machine fit for it."""

from __future__ import annotations

from datetime import datetime

import click

from notif_rec.cli.options import Settings, as_of_option, java_home, pass_settings
from notif_rec.cli.render import Table, show


@click.command("doctor")
@as_of_option()
@pass_settings
def command(settings: Settings, as_of: datetime) -> int:
    """Check Python, SQLite, disk, time zones, what Spark needs, the config, and the store with its lock, files and model.

    Exit code 0 where nothing failed (warnings are allowed), 3 where something did. Nothing is changed.
    """
    from notif_rec.workflows.doctor import diagnose

    found = diagnose(settings.config, settings.store_path, as_of, java_home())
    rows = [(check.state, check.name, check.found, check.fix) for check in found.checks]
    show(settings, found.to_json(), tables=[Table(("state", "check", "found", "fix"), rows)])
    return 0 if found.healthy else 3
