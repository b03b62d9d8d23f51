"""This machine: one worker process a job, one part at a time each, BLAS on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from joblib import Parallel, delayed

from notif_rec.engines.engine import Progress, R, T, Task
from notif_rec.engines.part import run_part


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
