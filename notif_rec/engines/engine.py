"""The one verb of an engine: apply a task to every part of a table of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa


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


Progress = Callable[[str, int, int], None]


class Engine(Protocol):
    """Runs tasks: here, in other processes or on other machines."""

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """Files in `sink`, one per file of `parts` and of the same name, in their order, each written whole or not at all.

        A part that stands in `sink` already is not made again.
        """
