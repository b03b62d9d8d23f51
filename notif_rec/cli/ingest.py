"""`notif-rec ingest events|users|items|suppressions FILE…`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notif_rec.cli.engine import ENGINE_HELP, ENGINES, open_engine
from notif_rec.cli.options import Settings, now, open_workspace, pass_settings
from notif_rec.cli.pairs import pairs_of
from notif_rec.cli.render import Table, count, note, progress, show

if TYPE_CHECKING:
    from notif_rec.workflows.ingest import IngestResult

SHORT_HELP = {
    "events": "Add events; the same file again is a no-op.",
    "users": "Upsert users: the newest row of a user wins.",
    "items": "Upsert items: the newest row of an item wins.",
    "suppressions": "Add users, or users and channels, that are never sent to.",
}
COLUMNS = {
    "events": "user_id, item_id, channel, event, timestamp; optional value, event_id, send_key.",
    "users": "user_id; optional timezone, created_at, consent in a column per channel (yes, no, provisional), its date in CHANNEL_at; "
    "any other column is an attribute. A column that the file lacks keeps its values.",
    "items": "item_id; optional title, text, category, tags, channels, created_at, expires_at, class, audience, value; other columns are "
    "kept. A column that the file lacks keeps its values.",
    "suppressions": "user_id; optional channel, empty for all.",
}
FORMATS = "CSV with a header (UTF-8; plain, .gz or .zst) or Parquet; a folder stands for the files in it. All files are taken in, or none."


@click.group("ingest", short_help="Add events; upsert users, items and suppressions.")
def command() -> None:
    """Take files into the store.

    Rows that cannot be read go to a rejects file with line, column, value and reason.
    """


OPTIONS = (
    click.Argument(["files"], nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE..."),
    click.Option(
        ["--map"], multiple=True, callback=pairs_of, metavar="COLUMN=HEADER", help="Our COLUMN stands under that HEADER; repeatable"
    ),
    click.Option(
        ["--set"], multiple=True, callback=pairs_of, metavar="COLUMN=VALUE", help="COLUMN has this VALUE in every row; repeatable"
    ),
    click.Option(
        ["--timestamps"],
        default="iso8601",
        show_default=True,
        metavar="FORMAT",
        help="iso8601, epoch_s, epoch_ms, epoch_us, or a pattern such as '%d/%m/%Y %H:%M'",
    ),
    click.Option(["--timezone"], metavar="TZ", help="IANA zone of times without Z or an offset; without it they are rejected"),
    click.Option(["--engine"], type=click.Choice(ENGINES), help=f"{ENGINE_HELP}; Spark reads each file by itself"),
    click.Option(
        ["--max-rejects"],
        metavar="N|P%",
        help="Take nothing in where a file has more rejected rows  [default: 5%, or 20 rows where that is more]",
    ),
)


def _add(table: str) -> None:
    @pass_settings
    def run(settings: Settings, files: tuple[Path, ...], **chosen: Any) -> None:
        from notif_rec.store.header import ReadOptions
        from notif_rec.workflows.ingest import ingest

        workspace = open_workspace(settings, create=True)
        options = ReadOptions(chosen["map"], chosen["set"], chosen["timestamps"], chosen["timezone"], chosen["max_rejects"])
        with progress(settings) as tell:
            engine = open_engine(settings, workspace.config, chosen["engine"])
            result = ingest(
                workspace.store, workspace.config, table, files, options, latest=now(), progress=tell, jobs=settings.jobs, engine=engine
            )
        _report(settings, result)

    text = f"{SHORT_HELP[table]}\n\nColumns: {COLUMNS[table]} {FORMATS}"
    command.add_command(click.Command(table, params=list(OPTIONS), callback=run, help=text, short_help=SHORT_HELP[table]))


for _table in SHORT_HELP:
    _add(_table)


def _report(settings: Settings, result: IngestResult) -> None:
    found = result.to_json()
    for warning in result.warnings:
        note(settings, f"warning: {warning}")
    parts = [
        f"{count(found[name])} {name}" for name in ("accepted", "rejected", "duplicates", "blank") if found[name] or name == "accepted"
    ]
    text = f"{result.table}: {count(found['records'])} records: {', '.join(parts)}"
    if result.unchanged:
        text += " (nothing new)"
    if result.rejects_file:
        note(settings, f"rejected rows, with line and reason: {result.rejects_file}")
    rows = [(rows, reason, ", ".join(result.examples[reason])) for reason, rows in result.reasons.items()]
    tables = [Table(("rows", "rejected because", "first at"), rows)] if rows else []
    show(settings, found, text=text, tables=tables, next_command="notif-rec train" if result.table == "events" else "")
