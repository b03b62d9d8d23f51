"""A file of logged choices, read strictly: `reward`, `propensity`, and whatever else an evaluation asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import DataError
from notif_rec.store.blocks import Block
from notif_rec.store.columns import TableColumns
from notif_rec.store.header import ReadOptions, check_options
from notif_rec.store.preflight import examine
from notif_rec.store.read_csv import open_csv
from notif_rec.store.read_parquet import open_parquet

FloatArray = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
NUMBERS = ("reward", "propensity", "target_propensity", "predicted", "predicted_target")
LOG_COLUMNS = ("user_id", "item_id", *NUMBERS)
MOST_WORDS = 50  # a feature in words has no more distinct ones
BLANK_PROPENSITY = "rows without a propensity"


@dataclass(frozen=True)
class LogFile:
    """The rows that can be used. text: column → (n,) as written; line: (n,) of each. left_out: rows that cannot, by reason."""

    path: Path
    text: Mapping[str, pa.Array]
    line: npt.NDArray[np.int64]
    left_out: Mapping[str, int]

    @property
    def rows(self) -> int:
        return len(self.line)

    def has(self, column: str) -> bool:
        """Whether the file has the column."""
        return column in self.text

    def numbers(self, column: str, low: float = -np.inf, high: float = np.inf, above: float | None = None) -> FloatArray:
        """The column as finite numbers in [low, high] (and more than `above`); DataError with the first line that is not so."""
        text = self.text[column]
        values = _parsed(text)
        self._refuse(np.isnan(values), column, "empty" if _first(text, np.isnan(values)) == "" else "not a number")
        self._refuse(~np.isfinite(values), column, "not a finite number")
        outside = (values < low) | (values > high) | (False if above is None else values <= above)
        bounds = f"{'[' if above is None else '('}{low if above is None else above:g}, {high:g}]"
        self._refuse(outside, column, f"outside {bounds}")
        return values

    def codes(self, column: str) -> tuple[npt.NDArray[np.int64], list[str]]:
        """(n,) the place of each row's text among the distinct ones, which are in text order."""
        distinct = pc.unique(self.text[column])
        names = distinct.take(pc.sort_indices(distinct))
        return pc.index_in(self.text[column], value_set=names).to_numpy().astype(np.int64), names.to_pylist()

    def _refuse(self, bad: Bools, column: str, reason: str) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            more = f", and {int(bad.sum()) - 1:,} more rows" if bad.sum() > 1 else ""
            shown = self.text[column][at].as_py()
            raise DataError(
                f"{self.path}:{self.line[at]}: column '{column}': '{shown}' is {reason}{more}", FIXES.get(column, "mend the file")
            )


FIXES = {
    "propensity": "it is the probability, above 0 and at most 1, of the choice that was made; leave it blank where unknown",
    "target_propensity": "it is the probability, 0 to 1, with which the evaluated policy makes the logged choice",
    "reward": "every logged choice has a reward; 0 where nothing came of it",
}


def read_log_file(path: Path, mapping: Mapping[str, str], constants: Mapping[str, str], more: Sequence[str] = ()) -> LogFile:
    """The file at `path` with LOG_COLUMNS and `more` where it has them; DataError where it is broken or lacks what is required.

    Rows whose propensity is blank are left out and counted.
    """
    names = tuple(dict.fromkeys((*LOG_COLUMNS, *more)))
    required = ("reward", "propensity", *more)
    text, line = columns_of(path, TableColumns("logs", names, required, frozenset(names), False), mapping, constants)
    known = pc.not_equal(text["propensity"], "").to_numpy(zero_copy_only=False)
    if not known.any():
        raise DataError(
            f"{path}: no row has a propensity" if len(known) else f"{path}: no rows",
            "log the probability of each choice when it is made; without it no other policy can be judged",
        )
    left_out = {BLANK_PROPENSITY: int((~known).sum())} if not known.all() else {}
    kept = pa.array(known)
    return LogFile(path, {name: column.filter(kept) for name, column in text.items()}, line[known], left_out)


def read_table(path: Path, required: tuple[str, ...]) -> LogFile:
    """Every column of a small file, which must have the `required` ones."""
    text, line = columns_of(path, TableColumns("a policy", required, required, frozenset(required), True), {}, {})
    return LogFile(path, text, line, {})


def columns_of(
    path: Path, columns: TableColumns, mapping: Mapping[str, str], constants: Mapping[str, str]
) -> tuple[dict[str, pa.Array], npt.NDArray[np.int64]]:
    """The texts of the columns that the file has, or that constants stand for, and the line of each row; DataError where it is broken."""
    source, options = examine(path), ReadOptions(mapping, constants)
    check_options(columns, options)
    file = open_parquet(source, columns, options) if source.kind == "parquet" else open_csv(source, columns, options)
    blocks: list[Block] = list(file.blocks)
    for block in blocks:
        _refuse_rejects(path, block)
    present = [*file.layout.place, *(file.layout.extras if columns.keeps_extras else ())]
    text = {name: _joined([block.columns.get(name, block.extras.get(name)) for block in blocks]) for name in present}
    line = np.concatenate([block.line for block in blocks]) if blocks else np.zeros(0, dtype=np.int64)
    return text | {name: pa.repeat(pa.scalar(value), len(line)) for name, value in constants.items()}, line


def feature_columns(logs: LogFile, name: str) -> list[FloatArray]:
    """A feature: a column of numbers as it is, one of words as one column a word."""
    text = logs.text[name]
    if pc.all(pc.match_substring_regex(text, r"^\s*[+-]?[0-9.]+([eE][+-]?[0-9]+)?\s*$")).as_py():
        return [logs.numbers(name)]
    code, words = logs.codes(name)
    if len(words) > MOST_WORDS:
        row = int(np.argmax(~pc.match_substring_regex(text, r"^[0-9.]").to_numpy(zero_copy_only=False)))
        shown = text[row].as_py()
        raise DataError(
            f"{logs.path}: --features {name}: {len(words):,} distinct texts, at most {MOST_WORDS} (line {logs.line[row]}: '{shown}')",
            "features are numbers, or few words",
        )
    return [(code == at).astype(np.float64) for at in range(len(words))]


def _refuse_rejects(path: Path, block: Block) -> None:
    if block.rejects.num_rows:
        first = block.rejects.slice(0, 1).to_pylist()[0]
        more = f", and {block.rejects.num_rows - 1:,} more lines" if block.rejects.num_rows > 1 else ""
        raise DataError(f"{path}:{first['line']}: {first['reason']}{more}: {first['value'][:60]!r}", "mend those lines, or drop them")


def _joined(parts: Sequence[Any]) -> pa.Array:
    return pa.concat_arrays([pc.cast(part, pa.large_string()) for part in parts]) if parts else pa.array([], pa.large_string())


def _parsed(text: pa.Array) -> FloatArray:
    """Numbers, NaN where the text is none; `true` and `false` are 1 and 0."""
    words = pc.utf8_lower(pc.utf8_trim_whitespace(text))
    sound = pc.match_substring_regex(words, r"^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?$")
    plain = pc.cast(pc.if_else(sound, words, None), pa.float64())
    filled = pc.if_else(pc.equal(words, "true"), 1.0, pc.if_else(pc.equal(words, "false"), 0.0, plain))
    return np.array(pc.fill_null(filled, np.nan).to_numpy(zero_copy_only=False), dtype=np.float64)


def _first(text: pa.Array, bad: Bools) -> str:
    return str(text[int(np.argmax(bad))].as_py()) if bad.any() else ""
