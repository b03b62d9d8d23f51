"""`notif-rec resume`: allows sending again."""

from __future__ import annotations

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import show


@click.command("resume")
@click.argument("channel", required=False)
@pass_settings
def command(settings: Settings, channel: str | None) -> None:
    """Allow sending on CHANNEL again, or end every pause."""
    from notif_rec.workflows.pause import resume

    work = open_workspace(settings)
    result = resume(work.store, work.config.channel_names, channel)
    show(settings, result.to_json(), text=f"paused: {', '.join(result.paused) or 'nothing'}")
