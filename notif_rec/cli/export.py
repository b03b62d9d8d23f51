"""`notif-rec export`: what is known of a user."""

from __future__ import annotations

import json

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import show


@click.command("export")
@click.argument("user")
@pass_settings
def command(settings: Settings, user: str) -> None:
    """Print everything that the store holds of USER, as JSON: what files stated, events, sends, and what was recorded but not sent."""
    from notif_rec.workflows.export import export_user

    found = export_user(open_workspace(settings).store, user).to_json()
    show(settings, found, text=json.dumps(found, indent=2, ensure_ascii=False))
