"""`notif-rec apply`: reserves a plan and publishes its lists."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from notif_rec.cli.options import Settings, as_of_option, now, open_workspace, out_option, pass_settings
from notif_rec.cli.render import Table, show


@click.command("apply")
@click.argument("plan_id")
@as_of_option(default_now=False)
@out_option()
@click.option("--max-drift", type=click.FloatRange(0, 1), default=0.01, show_default=True, help="Share of sends that newer facts may drop")
@pass_settings
def command(settings: Settings, plan_id: str, as_of: datetime | None, out: Path | None, max_drift: float) -> None:
    """Record a plan in the ledger and publish its lists; again changes nothing.

    PLAN_ID is a plan's id, an unambiguous prefix of one, or `latest`. What newer facts forbid is dropped and told; nothing is added or
    moved. Exit code 75 where the ledger changed since the plan, or too much of it would drop.
    """
    from notif_rec.workflows.apply import apply

    work = open_workspace(settings)
    result = apply(work.store, plan_id, as_of, now(), out or settings.lists_path, max_drift)
    state = "applied" if result.applied else "was applied already"
    dropped = "".join(f"\n{n} dropped at apply: {reason}" for reason, n in result.dropped.items())
    rows = [(channel, result.sends[channel], path) for channel, path in result.files.items()]
    table = Table(("channel", "sends", "list"), rows)
    show(settings, result.to_json(), text=f"plan {result.plan_id} {state}{dropped}", tables=[table], next_command="notif-rec audit")
