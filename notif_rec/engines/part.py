"""One part of a table of users: read, worked on and written, in whatever process that is."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from notif_rec.engines.engine import Task
from notif_rec.errors import BugError
from notif_rec.models.blas import one_blas_thread


def run_part(task: Task, part: Path, target: Path, context: Path, rows: int | None = None) -> Path:
    """`target`, with what the task makes of `part`, `rows` users at a time where that is given; written beside its place first.

    However the users are cut, the bytes are the same. A target that is there is not made again.
    """
    if target.exists():
        return target
    loaded = cached_context(task.load_context, context)
    with one_blas_thread():
        made = [_whole([task.apply(cut, loaded) for cut in _cut(batch, rows)]) for batch in _batches(part, task.reads)]
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")  # of this try alone: another may be under way
    with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, task.writes) as writer:
        for batch in made:
            writer.write_batch(batch)
    draft.replace(target)
    return target


def _batches(part: Path, reads: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The batches of a part, memory-mapped; BugError where a column is missing, or of another type than was declared."""
    with pa.memory_map(str(part)) as source:
        reader = pa.ipc.open_file(source)
        for field in reads:
            place = reader.schema.get_field_index(field.name)
            found = reader.schema.field(place).type if place >= 0 else "missing"
            if found != field.type:
                raise BugError(f"{part}: column '{field.name}' is {found}, the task reads {field.type}")
        yield from (reader.get_batch(i).select(reads.names) for i in range(reader.num_record_batches))


def _cut(batch: pa.RecordBatch, rows: int | None) -> list[pa.RecordBatch]:
    if rows is None or batch.num_rows <= rows:
        return [batch]
    return [batch.slice(start, rows) for start in range(0, batch.num_rows, rows)]


def _whole(made: list[pa.RecordBatch]) -> pa.RecordBatch:
    return made[0] if len(made) == 1 else pa.concat_batches(made)


@lru_cache(maxsize=2)
def cached_context(load: Callable[[Path], Any], path: Path) -> Any:
    """The context at `path`, loaded once a process."""
    return load(path)
