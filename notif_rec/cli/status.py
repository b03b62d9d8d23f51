"""`notif-rec status`: what is there."""

from __future__ import annotations

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import Table, show

NEXT = {None: "notif-rec plan", "planned": "notif-rec apply latest", "applied": "notif-rec audit", "released": "notif-rec plan"}


@click.command("status")
@pass_settings
def command(settings: Settings) -> None:
    """Say what the store holds, which model and plan are the newest, and what is paused or left half done."""
    from notif_rec.workflows.status import status

    found = status(open_workspace(settings).store)
    rows = [(name.replace("_", " "), ", ".join(v) if isinstance(v, tuple) else v) for name, v in found.to_json().items()]
    following = NEXT[found.last_plan_state] if found.model_id else "notif-rec train" if found.events else "notif-rec ingest events FILE"
    show(settings, found.to_json(), tables=[Table(("what", "value"), rows)], next_command=following)
