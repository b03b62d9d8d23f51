"""Rows that could not be taken in: line, column, value and reason, streamed to a private CSV file and counted by reason."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from notif_rec.store.files import PRIVATE_FILE

REJECTS = pa.schema([("line", pa.int64()), ("column", pa.string()), ("value", pa.string()), ("reason", pa.string())])
FILE_SCHEMA = pa.schema([("file", pa.string()), *REJECTS])
VALUE_LENGTH = 200  # characters of a value that are kept
EXAMPLES = 3
_FORMULA = r"^[=+\-@\t\r]"  # what a spreadsheet would run …
_NUMBER = r"^[+-]?[0-9.]+$"  # … unless it is a plain number


def reject_table(line: Any, column: Any, value: Any, reason: Any) -> pa.Table:
    """A table of REJECTS from four columns; values are cut to VALUE_LENGTH characters, and a `'` disarms spreadsheet formulas."""
    cut = pc.utf8_slice_codeunits(pa.array(value, pa.string()), 0, VALUE_LENGTH)
    armed = pc.and_not(pc.match_substring_regex(cut, _FORMULA), pc.match_substring_regex(cut, _NUMBER))
    shown = pc.if_else(armed, pc.binary_join_element_wise("'", cut, ""), cut)
    return pa.table([pa.array(line, pa.int64()), pa.array(column, pa.string()), shown, pa.array(reason, pa.string())], schema=REJECTS)


class TakesRejects(Protocol):
    """Where the rejects of a file go, block by block."""

    def add(self, file: Path, rejects: pa.Table) -> None:
        """Takes a table of REJECTS."""


@dataclass
class RejectsFile:
    """Collects rejects; the file appears with the first of them. reasons: rows by `column: reason`; examples: first places of each."""

    path: Path
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)
    _writer: Any = None
    _sink: Any = None

    @property
    def written(self) -> Path | None:
        """The file's path, or None where nothing was rejected."""
        return self.path if self._writer is not None else None

    def add(self, file: Path, rejects: pa.Table) -> None:
        """Writes and counts the rejects of `file`."""
        if rejects.num_rows == 0:
            return
        if self._writer is None:
            self._open()
        name = pa.repeat(pa.scalar(str(file)), rejects.num_rows)
        self._writer.write_table(pa.table([name, *rejects.columns], schema=FILE_SCHEMA))
        self._count(file, rejects)

    def _open(self) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, PRIVATE_FILE)
        os.fchmod(handle, PRIVATE_FILE)
        self._sink = os.fdopen(handle, "wb")
        self._writer = pa_csv.CSVWriter(self._sink, FILE_SCHEMA, write_options=pa_csv.WriteOptions(quoting_style="needed"))

    def _count(self, file: Path, rejects: pa.Table) -> None:
        groups = rejects.group_by(["column", "reason"], use_threads=False).aggregate([("line", "count"), ("line", "min")])
        for row in groups.to_pylist():
            reason = f"{row['column']}: {row['reason']}" if row["column"] else row["reason"]
            self.reasons[reason] += row["line_count"]
            places = self.examples.setdefault(reason, [])
            if len(places) < EXAMPLES:
                places.append(f"{file}:{row['line_min']}")

    def close(self) -> None:
        """Ends the file, where there is one."""
        if self._writer is not None:
            self._writer.close()
            self._sink.close()
