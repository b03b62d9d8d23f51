"""Stops a run before it acts on a source that is missing, truncated or old."""

from __future__ import annotations

import glob
import gzip
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.errors import DataError
from notif_rec.store.rows import FileRow
from notif_rec.strict_yaml import format_duration

RECENT = 7  # a new daily file is compared with the smallest of so many before it, once there are so many


@dataclass(frozen=True)
class Source:
    """The files that one pattern of `sources:` names, in the order of their names."""

    table: str
    pattern: str
    files: tuple[Path, ...]


def find_sources(sources: Iterable[tuple[str, Sequence[str]]], root: Path) -> list[Source]:
    """The files of every pattern, relative to `root`; DataError where one names none."""
    found = []
    for table, patterns in sources:
        for pattern in patterns:
            path = Path(pattern)
            base, rest = (Path(path.anchor), path.relative_to(path.anchor)) if path.is_absolute() else (root, path)
            files = tuple(sorted(base.glob(str(rest))))
            if not files:
                raise DataError(f"sources.{table}: no file matches {pattern}", "has the export run? nothing was planned or sent")
            found.append(Source(table, pattern, files))
    return found


def refuse_shrunken(source: Source, before: Sequence[FileRow], max_change: float) -> None:
    """Raises DataError where a file of `source` holds fewer rows than `max_change` allows against the ones ingested before it.

    A file is compared with the last one at its path, or where the pattern names a single file, with that wherever it lay; another
    new one with the smallest of the pattern's last seven, since days differ.
    """
    mine = [row for row in before if row.table == source.table and row.source == source.pattern]
    for path in source.files:
        usual = _usual(path, mine)
        if usual is None or usual == 0:
            continue
        rows = count_rows(path)
        if rows <= usual * (1 - max_change):
            raise DataError(
                f"{path}: {rows} rows where at least {usual:g} are usual, a loss of {1 - rows / usual:.0%} "
                f"(guards.max_change: {max_change:.0%})",
                "check the export; raise guards.max_change if this is right. Nothing was planned or sent",
            )


def _usual(path: Path, rows: Sequence[FileRow]) -> float | None:
    same = [r for r in rows if r.path == str(path) or (r.source and not glob.has_magic(r.source))]
    if same:
        return float(same[-1].counts["records"])
    return min(float(r.counts["records"]) for r in rows[-RECENT:]) if len(rows) >= RECENT else None


def refuse_stale(newest: datetime | None, as_of: datetime, max_age: timedelta) -> None:
    """Raises DataError where the newest event is older than `max_age` before `as_of`."""
    if newest is not None and as_of - newest > max_age:
        raise DataError(
            f"sources.events: the newest event is from {newest:%Y-%m-%dT%H:%M:%SZ}, {(as_of - newest) // timedelta(hours=1)} hours before "
            f"{as_of:%Y-%m-%dT%H:%M:%SZ} (guards.max_source_age: {format_duration(max_age)})",
            "has the export run? raise guards.max_source_age if this is right. Nothing was planned or sent",
        )


def count_rows(path: Path) -> int:
    """Rows of a CSV (lines less the header) or Parquet file, without reading more than its bytes."""
    if path.suffix == ".parquet":
        return int(pq.ParquetFile(path).metadata.num_rows)
    with _opened(path) as stream:
        lines, last = 0, b"\n"
        while block := stream.read(1 << 20):
            lines += block.count(b"\n")
            last = block[-1:]
    return max(0, lines + (last != b"\n") - 1)


def _opened(path: Path) -> IO[bytes]:
    if path.suffix == ".gz":
        return gzip.open(path, "rb")  # type: ignore[return-value]
    if path.suffix == ".zst":
        return pa.input_stream(str(path), compression="zstd")  # type: ignore[no-any-return]
    return path.open("rb")
