"""What is wrong with the rows of a block: one fault a row, the first that was found."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import DataError
from notif_rec.store.rejects import REJECTS, reject_table

Bools = npt.NDArray[np.bool_]


@dataclass
class Faults:
    """line: (n,) of each row. codes: (n,) index into `kinds` + 1, 0 = sound. warnings: rows that are kept, by what was odd."""

    path: Path
    line: npt.NDArray[np.int64]
    codes: npt.NDArray[np.int32] = field(init=False)
    kinds: list[tuple[str, str]] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)
    warnings: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.codes = np.zeros(self.line.size, np.int32)

    @property
    def sound(self) -> Bools:
        """Rows without a fault."""
        found: Bools = self.codes == 0
        return found

    def add(self, bad: Bools, column: str, text: Any, reason: str) -> None:
        """Rows where `bad` holds are at fault in `column`, whose text is `text`, unless they are already."""
        if not bad.any():
            return
        self.kinds.append((column, reason))
        self.values[column] = text
        self.codes[bad & (self.codes == 0)] = len(self.kinds)

    def refuse_file(self, bad: Bools, column: str, text: Any, reason: str, fix: str) -> None:
        """DataError for the whole file where `bad` holds anywhere."""
        if not bad.any():
            return
        row = int(np.argmax(bad))
        more = f", and {int(bad.sum()) - 1} more like it" if bad.sum() > 1 else ""
        raise DataError(f"{self.path}:{self.line[row]}: column '{column}': '{text[row].as_py()}': {reason}{more}", fix)

    def rejects(self) -> pa.Table:
        """The rows at fault as a table of REJECTS, in the order of their lines."""
        at = np.flatnonzero(self.codes)
        if at.size == 0:
            return REJECTS.empty_table()
        kind = self.codes[at] - 1
        columns, reasons = (pa.array([k[i] for k in self.kinds], pa.string()).take(pa.array(kind)) for i in (0, 1))
        parts, places = [], []
        for column, text in self.values.items():
            mine = np.flatnonzero(np.array([k[0] == column for k in self.kinds])[kind])
            parts.append(pc.cast(text.take(pa.array(at[mine])), pa.string()))
            places.append(mine)
        order = np.argsort(np.concatenate(places), kind="stable")
        return reject_table(self.line[at], columns, pa.concat_arrays(parts).take(pa.array(order)), reasons)
