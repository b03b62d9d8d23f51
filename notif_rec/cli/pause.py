"""`notif-rec pause`: stops sending."""

from __future__ import annotations

import click

from notif_rec.cli.options import Settings, now, open_workspace, pass_settings
from notif_rec.cli.render import show


@click.command("pause")
@click.argument("channel", required=False)
@pass_settings
def command(settings: Settings, channel: str | None) -> None:
    """Stop sending on CHANNEL, or on all; plan and apply honour it until `resume`."""
    from notif_rec.workflows.pause import pause

    work = open_workspace(settings)
    result = pause(work.store, work.config.channel_names, channel, now())
    show(settings, result.to_json(), text=f"paused: {', '.join(result.paused) or 'nothing'}")
