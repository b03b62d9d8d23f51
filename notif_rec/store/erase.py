"""Forgetting users: every stored byte of theirs is rewritten or deleted in one commit, and a salted hash of the id is all that stays."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec.store.catalogue import Segment
from notif_rec.store.files import whole_file
from notif_rec.store.ids import bucket_of
from notif_rec.store.rows import ForgottenRow
from notif_rec.store.segments import bucket_of_group
from notif_rec.store.store import Store
from notif_rec.tables import STORED

Codes = npt.NDArray[np.int32]
OF_USERS = tuple(name for name, columns in STORED.items() if "user" in columns.names)


@dataclass(frozen=True)
class Erased:
    """rows: of each table that are gone. files: segments that were rewritten or deleted for it."""

    rows: dict[str, int]
    files: int


def erase_rows(store: Store, ids: Sequence[str], codes: Codes) -> Erased:
    """Takes every row of the users out of the segments, and the old files with them; the ledger's version moves.

    Call inside `store.lock()`. What other folders hold is the caller's: the catalogue keeps the codes until `finish` is called.
    """
    buckets = frozenset(map(bucket_of, ids))
    _clear_rejects(store.root / "rejects", ids)
    found: Counter[str] = Counter()
    touched: list[Segment] = []
    for segment in store.segments(*OF_USERS):
        rows = _count(store.root / segment.path, buckets, codes)
        if rows:
            found[segment.tbl] += rows
            touched.append(segment)
    forgotten = store.forgotten()
    rows_of_ids = [ForgottenRow(forgotten.hash_of(user), int(code)) for user, code in zip(ids, codes, strict=True)]
    kept = [(segment.tbl, _others(store.root / segment.path, codes)) for segment in touched]
    store.commit("forget", kept, ledger=True, rows=rows_of_ids, replaces=[segment.id for segment in touched], erase=True)
    return Erased(dict(found), len(touched))


def finish(store: Store, rows: Iterable[ForgottenRow]) -> None:
    """Lets go of the codes of forgotten users, once nothing is left under them."""
    done = [ForgottenRow(row.hash, None) for row in rows]
    if done:
        store.commit("forgotten", {}, rows=done)


def without_users(path: Path, codes: Codes) -> bool:
    """Rewrites a Parquet file with a `user` column where it holds rows of the users; whether it did."""
    table = pq.read_table(path)
    others = table.filter(pc.invert(pc.is_in(table.column("user"), value_set=pa.array(codes))))
    if others.num_rows == table.num_rows:
        return False
    with whole_file(path) as draft:
        pq.write_table(others, draft, compression="zstd")
    return True


def _groups(file: Any, buckets: frozenset[int]) -> Iterator[int]:
    return (n for n in range(file.num_row_groups) if bucket_of_group(file.metadata, n) in buckets)


def _count(path: Path, buckets: frozenset[int], codes: Codes) -> int:
    """How many rows of a segment are the users'; reads one column of their buckets."""
    with pq.ParquetFile(path) as file:
        groups = list(_groups(file, buckets))
        users = file.read_row_groups(groups, columns=["user"]).column("user").to_numpy() if groups else np.zeros(0, np.int32)
    return int(np.isin(users, codes).sum())


def _others(path: Path, codes: Codes) -> Iterator[pa.Table]:
    """The rows of everybody else, a bucket at a time."""
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            others = table.filter(pa.array(~np.isin(table.column("user").to_numpy(), codes)))
            if others.num_rows:
                yield others


def _clear_rejects(folder: Path, ids: Sequence[str]) -> None:
    """Takes the lines that quote one of the ids out of every rejects file."""
    for path in sorted(folder.glob("*.csv")):
        text = path.read_text(encoding="utf-8")
        if not any(user in text for user in ids):
            continue
        rows = list(csv.reader(text.splitlines(keepends=True)))
        with whole_file(path) as draft, draft.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(row for row in rows if not any(user in row[3] for user in ids))
