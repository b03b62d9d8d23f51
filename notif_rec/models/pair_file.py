"""(user, item) pairs from a file that somebody split: CSV or Parquet with a header, or one line a user as LightGCN's files have it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from scipy import sparse

from notif_rec.errors import DataError, did_you_mean
from notif_rec.store.preflight import Source, examine, text_blocks

FIX = "the first line names columns (user_id,item_id), or each line is a user and its items apart by blanks: `user item item …`"


@dataclass(frozen=True)
class Pairs:
    """Rows of a file: user and item ids as text, and the time as a number that grows, None where the file has no `timestamp`."""

    user: pa.ChunkedArray
    item: pa.ChunkedArray
    time: npt.NDArray[np.float64] | None
    digest: str

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Coded:
    """Pairs as numbers, -1 for an id that the dictionary does not have. user_ids, item_ids: the dictionaries, in text order."""

    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    user_ids: pa.Array
    item_ids: pa.Array

    def user_items(self) -> sparse.csr_matrix:
        """(n_users, n_items) float32: how often each pair stands in the file."""
        shape = (len(self.user_ids), len(self.item_ids))
        made = sparse.csr_matrix((np.ones(len(self.user), np.float32), (self.user, self.item)), shape=shape)
        made.sum_duplicates()
        return made


def read_pairs(path: Path) -> Pairs:
    """The pairs of `path` (.gz, .zst, plain or Parquet); DataError where it is missing, broken or holds none."""
    source = examine(path)
    if source.kind == "parquet":
        return _columns(pq.read_table(path), source)
    text = b"".join(text_blocks(source)).removeprefix(b"\xef\xbb\xbf")
    first = text[: text.find(b"\n") if b"\n" in text else None].decode(errors="replace").strip()
    return _csv(text, source) if "," in first else _lines(text, source, first)


def encode(pairs: Pairs, user_ids: pa.Array | None = None, item_ids: pa.Array | None = None) -> Coded:
    """Pairs as numbers, by the given dictionaries or by their own, whose order is that of the texts."""
    users = _dictionary(pairs.user) if user_ids is None else user_ids
    items = _dictionary(pairs.item) if item_ids is None else item_ids
    return Coded(positions(pairs.user, users), positions(pairs.item, items), users, items)


def _dictionary(ids: pa.ChunkedArray) -> pa.Array:
    distinct = pc.unique(ids)
    return distinct.take(pc.sort_indices(distinct))


def positions(ids: pa.ChunkedArray | pa.Array, dictionary: pa.Array) -> npt.NDArray[np.int32]:
    """The place of each id in the dictionary, -1 where it is not there."""
    found = pc.fill_null(pc.index_in(ids, value_set=dictionary), -1)
    codes: npt.NDArray[np.int32] = np.asarray(found.to_numpy(), dtype=np.int32)
    return codes


def _csv(text: bytes, source: Source) -> Pairs:
    names = text[: text.find(b"\n")].decode(errors="replace").strip().replace('"', "").split(",")
    types = pa_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
    try:
        return _columns(pa_csv.read_csv(pa.BufferReader(text), convert_options=types), source)
    except pa.ArrowInvalid as error:
        raise DataError(f"{source.path}: {error}", "mend that line, or quote what holds commas") from None


def _columns(table: pa.Table, source: Source) -> Pairs:
    for name in ("user_id", "item_id"):
        if name not in table.column_names:
            near = did_you_mean(name, table.column_names)
            raise DataError(f"{source.path}: no column '{name}' among {', '.join(table.column_names)}{near}", FIX)
    user, item = (table[name].cast(pa.large_string()) for name in ("user_id", "item_id"))
    for name, ids in (("user_id", user), ("item_id", item)):
        empty = pc.index(pc.equal(pc.coalesce(ids, ""), ""), True).as_py()
        if empty >= 0:
            raise DataError(f"{source.path}: row {empty + 1}: {name} is empty", "every row needs both ids")
    return _some(Pairs(user, item, _time(table, source), source.digest), source)


def _time(table: pa.Table, source: Source) -> npt.NDArray[np.float64] | None:
    """Numbers as they are, dates and times as microseconds."""
    if "timestamp" not in table.column_names:
        return None
    column = table["timestamp"]
    for via in (None, pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            found = column.cast(pa.float64()) if via is None else column.cast(via).cast(pa.int64())
        except pa.ArrowException:
            continue
        return np.asarray(found.to_numpy(), dtype=np.float64)
    shown = column[0].as_py()
    raise DataError(f"{source.path}: timestamp '{shown}' is neither a number nor a time", "write epoch seconds, or 2026-11-24T09:00:00Z")


def _lines(text: bytes, source: Source, first: str) -> Pairs:
    try:
        lines = pc.split_pattern(pa.array([text.decode()], pa.large_string()), "\n").flatten()
    except UnicodeDecodeError as error:
        raise DataError(f"{source.path}: not UTF-8 at byte {error.start}", "save it in UTF-8") from None
    if first.startswith(("user", "item")) or len(first.split()) < 1:
        raise DataError(f"{source.path}: '{first[:60]}' is neither a header with commas nor a user with items", FIX)
    words = pc.utf8_split_whitespace(pc.utf8_trim_whitespace(lines))
    size = np.asarray(pc.list_value_length(words).to_numpy(), dtype=np.int64)
    flat = words.flatten()
    start = np.cumsum(size) - size
    is_item = np.ones(len(flat), dtype=bool)
    is_item[start[size > 0]] = False
    owner = np.repeat(start, np.maximum(size - 1, 0))
    chunked = pa.chunked_array([flat.take(pa.array(owner))]), pa.chunked_array([flat.filter(pa.array(is_item))])
    return _some(Pairs(*chunked, None, source.digest), source)


def _some(pairs: Pairs, source: Source) -> Pairs:
    if not len(pairs):
        raise DataError(f"{source.path}: no (user, item) pair in it", FIX)
    return pairs
