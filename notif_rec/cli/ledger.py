"""`notif-rec ledger`: care of the durable record of sends, and of the store that holds it."""

from __future__ import annotations

from pathlib import Path

import click

from notif_rec.cli.options import Settings, open_workspace, pass_settings
from notif_rec.cli.render import Table, count, show


@click.group("ledger")
def command() -> None:
    """Verify, back up or export the ledger."""


@command.command("verify")
@pass_settings
def verify(settings: Settings) -> int:
    """Compare every file of the store with its digest, and check the catalogue; exit code 3 where something is damaged."""
    from notif_rec.workflows.ledger import verify_ledger

    found = verify_ledger(open_workspace(settings).store)
    text = f"{found.files} files, {count(found.rows)} rows: {len(found.damaged)} damaged"
    tables = [Table(("file", "problem"), [(one.path, one.problem) for one in found.damaged])] if found.damaged else []
    show(settings, found.to_json(), text=text, tables=tables)
    if found.damaged:
        click.echo("error: the store is damaged\n  fix: restore a backup (`notif-rec ledger backup` makes them)", err=True)
    return 3 if found.damaged else 0


@command.command("backup")
@click.argument("folder", type=click.Path(path_type=Path))
@pass_settings
def backup(settings: Settings, folder: Path) -> None:
    """Copy the whole store into FOLDER, which must not exist yet; writers wait meanwhile. To restore, put it in the store's place."""
    from notif_rec.store.care import backup as copy_store

    made = copy_store(open_workspace(settings).store, folder.absolute())
    show(settings, {"folder": made}, text=f"the store is copied to {made}")


@command.command("export")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="FILE", help="The .csv or .parquet file to write")
@pass_settings
def export(settings: Settings, output: Path) -> None:
    """Write the ledger as one table, one row an item of a send, with what became of it: confirmed, released, when it went out."""
    from notif_rec.workflows.ledger import export_ledger

    rows = export_ledger(open_workspace(settings).store, output)
    show(settings, {"rows": rows, "output": output}, text=f"{output}: {count(rows)} rows")
