"""`ingest`: files of one table, read strictly, into one commit: all of them or none."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notif_rec.config import Config
from notif_rec.errors import BugError, UsageError, did_you_mean
from notif_rec.store.columns import columns_of
from notif_rec.store.header import ReadOptions, check_options
from notif_rec.store.ingest_events import Prepared, prepare_events
from notif_rec.store.ingest_rows import prepare_items, prepare_suppressions, prepare_users
from notif_rec.store.preflight import Source, examine
from notif_rec.store.rejects import RejectsFile
from notif_rec.store.rows import FileRow
from notif_rec.store.staging import DEFAULT_LIMIT, Limit, StagedFile, reading_key, refuse_rejects, stage_file
from notif_rec.store.store import Store
from notif_rec.store.timestamps import time_format
from notif_rec.store.typed import Vocabulary
from notif_rec.tables import OUTCOMES

Progress = Callable[[str, int, int], None]
TABLES = ("events", "users", "items", "suppressions")
COUNTS = ("records", "accepted", "rejected", "duplicates", "blank")
PREPARE = {"events": prepare_events, "users": prepare_users, "items": prepare_items, "suppressions": prepare_suppressions}


@dataclass(frozen=True)
class FileCounts:
    """What became of the records of a file; they always add up."""

    file: str
    records: int
    accepted: int
    rejected: int
    duplicates: int
    blank: int

    def __post_init__(self) -> None:
        if self.records != self.accepted + self.rejected + self.duplicates + self.blank or min(self.counts().values()) < 0:
            raise BugError(f"{self.file}: the counts do not add up: {self.counts()}")

    def counts(self) -> dict[str, int]:
        """The five counts by name."""
        return {name: getattr(self, name) for name in COUNTS}


@dataclass(frozen=True)
class IngestResult:
    """What an ingest did. reasons: rejected rows by `column: reason`, the most frequent first; examples: first places of each.

    unchanged: the same files were ingested before, so that nothing was stored.
    """

    table: str
    files: tuple[FileCounts, ...]
    rejects_file: Path | None
    reasons: Mapping[str, int]
    examples: Mapping[str, Sequence[str]]
    warnings: tuple[str, ...]
    unchanged: bool

    def to_json(self) -> dict[str, Any]:
        """The keys of the contract, the sums over all files, and more."""
        return {
            "table": self.table,
            **{name: sum(getattr(file, name) for file in self.files) for name in COUNTS},
            "rejects_file": str(self.rejects_file) if self.rejects_file else None,
            "reasons": dict(self.reasons),
            "examples": {reason: list(places) for reason, places in self.examples.items()},
            "warnings": list(self.warnings),
            "unchanged": self.unchanged,
            "files": [{"file": file.file, **file.counts()} for file in self.files],
        }


def ingest(
    store: Store,
    config: Config,
    table: str,
    files: Sequence[Path],
    options: ReadOptions | None = None,
    *,
    latest: datetime | None = None,
    source: str = "",
    progress: Progress = lambda stage, done, total: None,
    jobs: int = 1,
) -> IngestResult:
    """Takes `files` into `table`, all or none; DataError where a file cannot be read or too many of its rows are rejected.

    latest: now; what happened more than 24 h after it is rejected. source: the config's pattern that named the files.
    """
    options = options or ReadOptions()
    limit, words = _checked(config, table, files, options, latest)
    with store.lock():
        sources = [examine(path) for path in files]
        keys = [reading_key(found, options) for found in sources]
        known = _known(store, table, keys)
        if all(known) and not any(row.counts.get("rejected", 0) for row in known if row):
            return _unchanged(table, files, [row for row in known if row])
        rejects = RejectsFile(store.root / "rejects" / f"{table}-{keys[0][:12]}.csv")
        try:
            staged = _stage(table, sources, options, words, limit, rejects, progress)
        finally:
            rejects.close()
        progress("storing", 0, 1)
        prepared = PREPARE[table](store, staged, jobs)
        counts = tuple(_counts(file, accepted) for file, accepted in zip(staged, prepared.accepted, strict=True))
        stored = sum(file.accepted for file in counts)
        if stored or not all(known):
            _commit(store, table, prepared, staged, counts, keys, source)
        progress("storing", 1, 1)
    warnings = tuple(warning for file in staged for warning in file.warnings)
    warnings += tuple(f"{file.file}: no rows but the header" for file in counts if file.records == 0)
    reasons = dict(sorted(rejects.reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return IngestResult(table, counts, rejects.written, reasons, rejects.examples, warnings, unchanged=not stored and all(known))


def _checked(config: Config, table: str, files: Sequence[Path], options: ReadOptions, latest: datetime | None) -> tuple[Limit, Vocabulary]:
    """What the command line says, understood before any file is touched; UsageError."""
    if table not in TABLES:
        raise UsageError(f"there is no table '{table}'{did_you_mean(table, TABLES)}", f"one of {', '.join(TABLES)}")
    if not files:
        raise UsageError("no file is named", f"notif-rec ingest {table} FILE…")
    check_options(columns_of(table, config.channel_names), options)
    times = time_format(options.timestamps, options.timezone)
    words = Vocabulary(config.channel_names, frozenset({*OUTCOMES, *config.events}), times, latest)
    return parse_limit(options.max_rejects), words


def parse_limit(text: str | None) -> Limit:
    """`100` rows or `0.5%` of a file's records; None: 5 %, or 20 rows where that is more."""
    if text is None:
        return DEFAULT_LIMIT
    number, percent = (text[:-1], True) if text.endswith("%") else (text, False)
    try:
        value = float(number) if percent else int(number)
        if not 0 <= value <= (100 if percent else value):
            raise ValueError
    except ValueError:
        raise UsageError(f"--max-rejects {text}: not a number of rows or a percentage", "write 100 or 0.5%") from None
    return Limit(None, value / 100) if percent else Limit(int(value), None)


def _known(store: Store, table: str, keys: Sequence[str]) -> list[FileRow | None]:
    """The earlier ingest of each file, None where it would bring something: events forever, the others only while nothing came after."""
    rows = store.files(table)
    if table == "events":
        by_key = {row.sha256: row for row in rows}
        return [by_key.get(key) for key in keys]
    last = [row for row in rows if row.seq == rows[-1].seq]
    same = [row.sha256 for row in last] == list(keys)
    return list(last) if same else [None for _ in keys]


def _unchanged(table: str, files: Sequence[Path], rows: Sequence[FileRow]) -> IngestResult:
    """What reading the files again would find: every row that was accepted is a duplicate now."""
    counts = []
    for path, row in zip(files, rows, strict=True):
        old = row.counts
        counts.append(FileCounts(str(path), old["records"], 0, old["rejected"], old["accepted"] + old["duplicates"], old["blank"]))
    return IngestResult(table, tuple(counts), None, {}, {}, (), unchanged=True)


def _stage(
    table: str, sources: Sequence[Source], options: ReadOptions, words: Vocabulary, limit: Limit, rejects: RejectsFile, progress: Progress
) -> list[StagedFile]:
    total, done, staged = sum(source.size for source in sources), 0, []
    for source in sources:
        stage, read = f"reading {source.path.name}", 0

        def advance(size: int, before: int = done, most: int = source.size, stage: str = stage) -> None:
            nonlocal read
            read += size
            progress(stage, before + min(read, most), total)

        staged.append(stage_file(table, source, options, words, rejects, advance))
        refuse_rejects(staged[-1], limit, rejects)
        done += source.size
    return staged


def _counts(file: StagedFile, accepted: int) -> FileCounts:
    duplicates = file.rows.num_rows - accepted
    return FileCounts(str(file.source.path), file.records, accepted, file.rejected, duplicates, file.blank)


def _commit(
    store: Store,
    table: str,
    prepared: Prepared,
    staged: Sequence[StagedFile],
    counts: Sequence[FileCounts],
    keys: Sequence[str],
    source: str,
) -> None:
    newest = prepared.newest or tuple(None for _ in staged)
    rows = [
        FileRow(table, str(file.source.path), source, key, file.source.size, count.counts(), moment)
        for file, count, key, moment in zip(staged, counts, keys, newest, strict=True)
    ]
    store.commit(f"ingest {table}", prepared.tables, rows=rows)
