"""The two verbs of an engine: apply a task to every part of a table of users, and do a piece of work for each of a few things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import pyarrow as pa

from notif_rec.errors import BugError

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Task:
    """A pure function over record batches, one row a user, and the context that it needs.

    function and load_context are named at the top of a module, so that a worker can find them; `reads` and `writes` are the schemas
    of what goes in and comes out. A row out depends on its row in and the context alone, never on the batch.
    """

    function: Callable[[pa.RecordBatch, Any], pa.RecordBatch]
    load_context: Callable[[Path], Any]
    reads: pa.Schema
    writes: pa.Schema

    def apply(self, batch: pa.RecordBatch, context: Any) -> pa.RecordBatch:
        """What the function makes of a batch; BugError where it is not what the task promised."""
        made = self.function(batch, context)
        if not made.schema.equals(self.writes):
            raise BugError(f"a task wrote {made.schema}, it promised {self.writes}")
        return made


class Engine(Protocol):
    """Runs tasks: here, in other processes or on other machines."""

    @property
    def apart(self) -> bool:
        """Whether `each` does things side by side in other processes, so that work is worth cutting; each piece then reads for itself."""

    @property
    def threads(self) -> int:
        """Threads that one piece of work in `each` may use."""

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """Files in `sink`, one per file of `parts` and of the same name, in their order, each written whole or not at all.

        A part that stands in `sink` already is not made again.
        """

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        """What `work` returns for each thing, in the order of `things`; progress is told of `stage`.

        work: a function at the top of a module, or a value with `__call__`, that carries what it needs as values and paths. It may be
        done twice, and on another machine: it opens no catalogue, and what it writes appears whole. What it returns is small.
        """
