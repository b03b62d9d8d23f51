"""Files staged one by one by other processes: what each leaves on the disk, and how the one that commits takes it up again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa

from notif_rec.store.header import ReadOptions
from notif_rec.store.preflight import Source
from notif_rec.store.rejects import REJECTS, RejectsFile
from notif_rec.store.staging import StagedFile, stage_file
from notif_rec.store.typed import Vocabulary

NO_ROWS = pa.table({})


@dataclass
class _Gathered:
    """Takes rejects as a RejectsFile does, and keeps them, a batch for each block."""

    batches: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, file: Path, rejects: pa.Table) -> None:
        """Keeps the rejects of a block."""
        self.batches += rejects.combine_chunks().to_batches()


@dataclass(frozen=True)
class Apart:
    """A staged file without its rows, which stand in a file of their own, as do its rejects."""

    staged: StagedFile
    rows: Path
    rejects: Path


@dataclass(frozen=True)
class StageApart:
    """Stages a file and leaves what it found in `folder`. The file must lie where every process sees it.

    base: where relative paths begin; they are told as they were given.
    """

    table: str
    options: ReadOptions
    words: Vocabulary
    folder: Path
    base: Path

    def __call__(self, numbered: tuple[int, Source]) -> Apart:
        """DataError as `stage_file`."""
        number, source = numbered
        if not source.path.is_absolute():
            os.chdir(self.base)
        rejects = _Gathered()
        staged = stage_file(self.table, source, self.options, self.words, rejects, lambda size: None)
        made = Apart(replace(staged, rows=NO_ROWS), self.folder / f"{number:06}.rows", self.folder / f"{number:06}.rejects")
        _write(staged.rows.schema, staged.rows.to_batches(), made.rows)
        _write(REJECTS, rejects.batches, made.rejects)
        return made


def take_up(apart: Apart, rejects: RejectsFile) -> StagedFile:
    """The staged file with its rows, memory-mapped; its rejects go to `rejects`, as if it had been read here."""
    for batch in _read(apart.rejects).to_batches():  # block by block: examples are counted by block
        rejects.add(apart.staged.source.path, pa.Table.from_batches([batch]))
    return replace(apart.staged, rows=_read(apart.rows))


def _write(schema: pa.Schema, batches: Sequence[pa.RecordBatch], path: Path) -> None:
    """As a stream, in which each block keeps a dictionary of its own; beside its place, then in it."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # of this try alone: another may be under way
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    draft.replace(path)


def _read(path: Path) -> pa.Table:
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()
