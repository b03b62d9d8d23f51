"""This machine: one worker process a job, one part at a time each, BLAS on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from notif_rec.engines.engine import Progress, R, T, Task, read_part, write_part
from notif_rec.models.blas import one_blas_thread


@dataclass(frozen=True)
class LocalEngine:
    """jobs: worker processes; 1 = this one."""

    jobs: int = 1

    @property
    def apart(self) -> bool:
        """As Engine.apart: one thing after another, here."""
        return False

    @property
    def threads(self) -> int:
        """As Engine.threads."""
        return self.jobs

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """As Engine.map_parts."""
        sink.mkdir(parents=True, exist_ok=True)
        made = []
        for done, path in enumerate(self._run(task, parts, sink, context), start=1):
            progress("plan", done, len(parts))
            made.append(path)
        return made

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        """As Engine.each."""
        for done, thing in enumerate(things, start=1):
            yield work(thing)
            progress(stage, done, len(things))

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
    loaded = cached_context(task.load_context, context)
    with one_blas_thread():
        made = [task.apply(batch, loaded) for batch in read_part(part, task.reads)]
    write_part(target.with_name(target.name + ".part"), target, task.writes, made)
    return target


@lru_cache(maxsize=2)
def cached_context(load: Callable[[Path], Any], path: Path) -> Any:
    """The context at `path`, loaded once a process."""
    return load(path)
