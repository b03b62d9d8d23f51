"""An engine that works apart without Spark: what it does sees a copy of the work, and of a store no more than the links that are shared."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Sequence
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path

from notif_rec.engines.engine import Progress, R, T, Task
from notif_rec.engines.part import run_part

SHARED = ("segments", "models", "tmp")


@dataclass(frozen=True)
class ElsewhereEngine:
    """Does everything twice, out of sight of the store and from a folder of its own: what runs again must change nothing."""

    store: Path
    apart: bool = True
    threads: int = 1

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        sink.mkdir(parents=True, exist_ok=True)
        for part in parts:
            target = sink / part.name
            with hidden(self.store):
                first = run_part(task, part, target, context, 7).read_bytes()
                target.unlink()
                cut = None if "user" in task.writes.names else 7  # sums come once a batch
                assert run_part(task, part, target, context, cut).read_bytes() == first
        return [sink / part.name for part in parts]

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        for thing in things:
            sent = pickle.dumps((work, thing))
            with hidden(self.store), chdir("/"):
                for _ in range(2):
                    there, its = pickle.loads(sent)
                    result = pickle.loads(pickle.dumps(there(its)))
            yield result


@contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """The folder, with the catalogue in it, is not there."""
    away = folder.with_name("out-of-sight")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)


def share(store: Path, shared: Path) -> None:
    """Moves what workers need to a folder that all see, and leaves links."""
    for name in SHARED:
        (store / name).rename(shared / name)
        (store / name).symlink_to(shared / name)
