"""This machine: one worker process a job, one part at a time each, BLAS on one thread."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa
from joblib import Parallel, delayed

from notif_rec.engines.engine import Progress, Task
from notif_rec.errors import BugError
from notif_rec.models.blas import one_blas_thread


@dataclass(frozen=True)
class LocalEngine:
    """jobs: worker processes; 1 = this one."""

    jobs: int = 1

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """As Engine.map_parts."""
        sink.mkdir(parents=True, exist_ok=True)
        made = []
        for done, path in enumerate(self._run(task, parts, sink, context), start=1):
            progress("plan", done, len(parts))
            made.append(path)
        return made

    def _run(self, task: Task, parts: Sequence[Path], sink: Path, context: Path) -> Iterator[Path]:
        if self.jobs == 1 or len(parts) < 2:
            yield from (run_part(task, part, sink / part.name, context) for part in parts)
            return
        pool = Parallel(n_jobs=min(self.jobs, len(parts)), backend="loky", return_as="generator", batch_size=1)
        yield from pool(delayed(run_part)(task, part, sink / part.name, context) for part in parts)


def run_part(task: Task, part: Path, target: Path, context: Path) -> Path:
    """Reads a part, applies the task and writes the result beside its place before it takes it."""
    if target.exists():
        return target
    loaded = _context(task, context)
    with one_blas_thread(), pa.memory_map(str(part)) as source:
        batches = [_applied(task, batch, loaded) for batch in _batches(source, task)]
        draft = target.with_name(target.name + ".part")
        with pa.OSFile(str(draft), "wb") as sink, pa.ipc.new_file(sink, task.writes) as writer:
            for batch in batches:
                writer.write_batch(batch)
    draft.replace(target)
    return target


def _batches(source: Any, task: Task) -> Iterator[pa.RecordBatch]:
    reader = pa.ipc.open_file(source)
    if not reader.schema.equals(task.reads):
        raise BugError(f"a part has columns {reader.schema.names}, the task reads {task.reads.names}")
    yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


def _applied(task: Task, batch: pa.RecordBatch, context: Any) -> pa.RecordBatch:
    made = task.function(batch, context)
    if not made.schema.equals(task.writes):
        raise BugError(f"a task wrote {made.schema}, it promised {task.writes}")
    return made


@lru_cache(maxsize=2)
def _cached(load: Any, path: Path) -> Any:
    return load(path)


def _context(task: Task, path: Path) -> Any:
    """The context at `path`, loaded once a process."""
    return _cached(task.load_context, path)
