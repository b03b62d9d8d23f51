"""`notif-rec release`: withdraws a plan."""

from __future__ import annotations

from datetime import datetime

import click

from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.render import show


@click.command("release")
@click.argument("plan_id")
@as_of_option()
@pass_settings
def command(settings: Settings, plan_id: str, as_of: datetime) -> None:
    """Withdraw the unconfirmed sends of a plan that are not yet due, its lists first, and give their room back.

    PLAN_ID is a plan's id, an unambiguous prefix of one, or `latest`.
    """
    from notif_rec.workflows.release import release

    result = release(open_workspace(settings).store, plan_id, as_of)
    text = f"plan {result.plan_id}: {result.released} sends released, {result.kept} kept (confirmed or past)"
    show(settings, result.to_json(), text=text, next_command="notif-rec plan")
