"""A piece of a file as text columns, whatever format it came in: what both readers give and the typed stage takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.errors import BugError
from notif_rec.store.header import Layout


@dataclass(frozen=True)
class Block:
    """Some records of a file. records counts all: rows that can be looked into, rejects and blank lines.

    columns: our name -> text, one entry a row, '' where empty. extras: header -> text, columns that are not ours (where the table
    keeps them). line: of each row, from 1 with the header (Parquet: the row's number). rejects: a table of rejects.REJECTS.
    size: bytes of text, or of columns in memory.
    """

    columns: Mapping[str, pa.Array]
    extras: Mapping[str, pa.Array]
    line: npt.NDArray[np.int64]
    rejects: pa.Table
    records: int
    blank: int
    size: int

    def __post_init__(self) -> None:
        if self.records != len(self.line) + self.rejects.num_rows + self.blank:
            raise BugError(f"{self.records} records, but {len(self.line)} rows, {self.rejects.num_rows} rejects, {self.blank} blank")


@dataclass(frozen=True)
class OpenFile:
    """A file whose header was understood; its blocks can be read once."""

    layout: Layout
    blocks: Iterator[Block]
