"""`notif-rec forget`: erasure."""

from __future__ import annotations

from pathlib import Path

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import note, show


@click.command("forget")
@click.argument("user", nargs=-1)
@click.option("--users", type=click.Path(path_type=Path), metavar="FILE", help="More of them: a CSV with a user_id column")
@pass_settings
def command(settings: Settings, user: tuple[str, ...], users: Path | None) -> None:
    """Erase users: their rows in the store, their sends, their place in models, plans and published lists.

    A salted hash of each id stays, so that no file brings them back. What lies outside the store (source files, backups, what was
    handed to a sender) is yours to clear. This cannot be undone.
    """
    from notif_rec.errors import UsageError
    from notif_rec.workflows.forget import forget
    from notif_rec.workflows.user_file import read_user_file

    named = [*user, *(read_user_file(users).to_pylist() if users else [])]
    if not named:
        raise UsageError("nobody is named", "notif-rec forget USER…, or --users FILE")
    result = forget(open_workspace(settings).store, named)
    rows = ", ".join(f"{n:,} {table}" for table, n in sorted(result.rows.items())) or "nothing"
    files = f"{result.segments} segments, {result.models} models, {result.plans} plans and {result.lists} lists rewritten"
    show(settings, result.to_json(), text=f"{result.forgotten} users forgotten ({result.already} before): {rows}; {files}")
    for folder in result.missing:
        note(settings, f"note: the lists in {folder} are no longer there; clear them where they are now")
