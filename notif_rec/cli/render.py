"""How a result is shown: rich tables on a terminal, plain TSV in a pipe, one JSON object with --json."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from notif_rec.cli.options import Settings

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Table:
    """Rows for people; numbers are aligned to the right and grouped by thousands."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]
    title: str = ""


def show(settings: Settings, result: Mapping[str, Any], *, text: str = "", tables: Sequence[Table] = (), next_command: str = "") -> None:
    """Prints a result to stdout: with --json `result` alone, else `text` and `tables`; -q prints only --json.

    next_command: what one would type next; told on a terminal alone.
    """
    if settings.json:
        return click.echo(json.dumps(result, default=_plain, allow_nan=False, ensure_ascii=False))
    if settings.quiet:
        return None
    if text:
        click.echo(text)
    for table in tables:
        _draw(table, settings) if _is_terminal(sys.stdout) else _write_tsv(table)
    if next_command and _is_terminal(sys.stdout) and _is_terminal(sys.stderr):
        click.echo(f"Next: {next_command}", err=True)
    return None


def note(settings: Settings, text: str) -> None:
    """A remark on stderr, unless -q."""
    if not settings.quiet:
        click.echo(text, err=True)


@contextmanager
def progress(settings: Settings) -> Iterator[Progress]:
    """A function (stage, done, total) that moves a bar where stderr is a terminal, and is silent elsewhere."""
    if settings.quiet or not _is_terminal(sys.stderr):
        yield _silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(file=sys.stderr, no_color=not settings.color)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield advance


def utc(moment: datetime | None) -> str:
    """`2026-11-24T09:00:00Z` of a naive UTC time; empty for None."""
    return "" if moment is None else moment.isoformat(timespec="seconds") + "Z"


def count(number: int | float) -> str:
    """`1,469,307`, or a number with three decimals."""
    return f"{number:,}" if isinstance(number, int) else f"{number:,.3f}"


def _silent(stage: str, done: int, total: int) -> None:
    return None


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return utc(value)
    if isinstance(value, Path | date):
        return str(value)
    if hasattr(value, "to_json"):
        return value.to_json()
    if hasattr(value, "item"):  # a NumPy scalar
        return value.item()
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _cell(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: ""}[value]
    if isinstance(value, datetime):
        return utc(value)
    return count(value) if isinstance(value, int | float) else str(value)


def _draw(table: Table, settings: Settings) -> None:
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table as Grid

    grid = Grid(title=table.title or None, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(table.columns):
        numeric = all(isinstance(row[place], int | float) for row in table.rows)
        grid.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in table.rows:
        grid.add_row(*(escape(_cell(value)) for value in row))
    Console(no_color=not settings.color, highlight=False).print(grid)


def _write_tsv(table: Table) -> None:
    """Raw values, tab-separated, a header line first; tabs and line breaks inside a value become blanks."""
    click.echo("\t".join(table.columns))
    for row in table.rows:
        plain = (str(value) if isinstance(value, int | float) and not isinstance(value, bool) else _cell(value) for value in row)
        click.echo("\t".join(" ".join(text.splitlines()).replace("\t", " ") for text in plain))
