"""`notif-rec recommend`: raw lists, no policy."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from notif_rec.cli.options import Settings, as_of_option, open_workspace, pass_settings
from notif_rec.cli.render import count, show


@click.command("recommend")
@click.option("--channel", required=True, help="Whose model ranks, and whose items are live")
@click.option("-k", "k", type=click.IntRange(min=1, max=10_000), default=20, show_default=True, help="Items per user at most")
@click.option("--users", type=click.Path(path_type=Path), metavar="FILE", help="CSV with a user_id column  [default: all users]")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The CSV file to write")
@as_of_option()
@pass_settings
def command(settings: Settings, channel: str, k: int, users: Path | None, output: Path, as_of: datetime) -> None:
    """Write the top items of each user: user_id,rank,item_id,score.

    No consent, caps or quiet hours are looked at: use `plan` for what may be sent. Never a seen (where the channel excludes
    those), expired or wrong-channel item.
    """
    from notif_rec.workflows.recommend import recommend

    workspace = open_workspace(settings)
    result = recommend(workspace.store, workspace.config, channel, as_of, output, k=k, users=users, jobs=settings.jobs)
    text = f"{output}: {count(result.rows)} rows for {count(result.users)} users ({count(result.unknown)} unknown to the store)"
    show(settings, result.to_json(), text=text)
