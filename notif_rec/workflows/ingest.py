"""`ingest`: files of one table, read strictly, into one commit: all of them or none."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from notif_rec.config import Config
from notif_rec.engines.engine import Engine
from notif_rec.errors import BugError, UsageError, did_you_mean
from notif_rec.store.columns import columns_of
from notif_rec.store.header import ReadOptions, check_options
from notif_rec.store.ingest_events import Prepared, prepare_events
from notif_rec.store.ingest_rows import prepare_items, prepare_suppressions, prepare_users
from notif_rec.store.known_files import WORDS, Look, look_at, remembered
from notif_rec.store.place import private_folder
from notif_rec.store.preflight import files_in
from notif_rec.store.rejects import RejectsFile
from notif_rec.store.rows import FileRow
from notif_rec.store.scratch import scratch
from notif_rec.store.stage_apart import StageApart, take_up
from notif_rec.store.staging import DEFAULT_LIMIT, Limit, StagedFile, refuse_rejects, stage_file
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
    engine: Engine | None = None,
) -> IngestResult:
    """Takes `files` into `table`, all or none; DataError where a file cannot be read or too many of its rows are rejected.

    A folder stands for the files in it. engine: reads the files, each by itself; None: they are read here, one after another.
    latest: now; what happened more than 24 h after it is rejected. source: the config's pattern that named the files.
    """
    options = options or ReadOptions()
    limit, words = _checked(config, table, files, options, latest)
    with store.lock():
        words = replace(words, forgotten=store.forgotten())
        looks = look_at(store, table, files_in(files), options, words)
        if not any(look.source for look in looks):
            return _unchanged(store, table, looks)
        rejects = RejectsFile(_rejects_path(store, table, looks))
        try:
            if engine is not None and engine.apart:
                staged = _stage_apart(store, engine, table, looks, options, words, limit, rejects, progress)
            else:
                staged = _stage(table, looks, options, words, limit, rejects, progress)
        finally:
            rejects.close()
        progress("storing", 0, 1)
        prepared = PREPARE[table](store, staged, jobs)
        counts, rows = _outcomes(table, looks, staged, prepared, options, words, source)
        unchanged = not any(file.accepted for file in counts) and all(map(_is_known, looks, rows))
        if not unchanged:
            read = [row for row, look in zip(rows, looks, strict=True) if look.source or table != "events"]
            store.commit(f"ingest {table}", prepared.tables, rows=read)
        progress("storing", 1, 1)
    warnings = tuple(warning for file in staged for warning in file.warnings)
    warnings += tuple(f"{file.file}: no rows but the header" for file in counts if file.records == 0)
    reasons = dict(sorted(rejects.reasons.items(), key=lambda pair: (-pair[1], pair[0])))
    return IngestResult(table, counts, rejects.written, reasons, rejects.examples, warnings, unchanged)


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


def _rejects_path(store: Store, table: str, looks: Sequence[Look]) -> Path:
    """One name for one set of files, so that reading them again replaces the file."""
    key = next((look.key for look in looks if look.source), looks[0].key)
    return store.root / "rejects" / f"{table}-{key[:12]}.csv"


def _unchanged(store: Store, table: str, looks: Sequence[Look]) -> IngestResult:
    counts = tuple(_known_counts(look.path, look.row) for look in looks if look.row)
    path = _rejects_path(store, table, looks)
    before = path if any(file.rejected for file in counts) and path.exists() else None
    return IngestResult(table, counts, before, {}, {}, (), unchanged=True)


def _known_counts(path: Path, row: FileRow) -> FileCounts:
    """What reading the file again would find: every row that was accepted is a duplicate now."""
    old = row.counts
    return FileCounts(str(path), old["records"], 0, old["rejected"], old["accepted"] + old["duplicates"], old["blank"])


def _stage(
    table: str, looks: Sequence[Look], options: ReadOptions, words: Vocabulary, limit: Limit, rejects: RejectsFile, progress: Progress
) -> list[StagedFile]:
    sources = [look.source for look in looks if look.source]
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


def _stage_apart(
    store: Store, engine: Engine, table: str, looks: Sequence[Look], options: ReadOptions, words: Vocabulary, limit: Limit,
    rejects: RejectsFile, progress: Progress,
) -> list[StagedFile]:  # fmt: skip
    """As `_stage`, by processes that see the files and the store's folder."""
    folder, staged = scratch(store.root, "stage"), []
    private_folder(folder)
    try:
        sources = [look.source for look in looks if look.source]
        for apart in engine.each(StageApart(table, options, words, folder, Path.cwd()), list(enumerate(sources)), "reading", progress):
            staged.append(take_up(apart, rejects))
            refuse_rejects(staged[-1], limit, rejects)
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what was mapped stays readable
    return staged


def _outcomes(
    table: str,
    looks: Sequence[Look],
    staged: Sequence[StagedFile],
    prepared: Prepared,
    options: ReadOptions,
    words: Vocabulary,
    source: str,
) -> tuple[tuple[FileCounts, ...], list[FileRow]]:
    """The counts of every file, and the rows by which the catalogue remembers them."""
    counts, rows = [], []
    read = iter(zip(staged, prepared.accepted, prepared.newest or [None for _ in staged], strict=True))
    for look in looks:
        if look.row and not look.source:
            counts.append(_known_counts(look.path, look.row))
            rows.append(replace(look.row, seq=None))
            continue
        file, accepted, newest = next(read)
        duplicates = file.rows.num_rows - accepted
        counts.append(FileCounts(str(look.path), file.records, accepted, file.rejected, duplicates, file.blank))
        kept = {**counts[-1].counts(), **remembered(file, options, words)}
        rows.append(FileRow(table, str(look.path), source, look.key, file.source.size, kept, newest))
    return tuple(counts), rows


def _is_known(look: Look, row: FileRow) -> bool:
    """Whether the catalogue has this very row already, but for what was accepted then."""
    return look.row is not None and all(look.row.counts.get(name) == row.counts.get(name) for name in ("rejected", WORDS))
