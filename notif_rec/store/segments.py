"""Segments: immutable Parquet files, sorted, one row group per bucket of users, so that one bucket reads its rows alone."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec.errors import BugError
from notif_rec.store.catalogue import Segment
from notif_rec.store.event_ids import hashes_path, write_hashes
from notif_rec.store.files import sha256, whole_file
from notif_rec.store.place import private_folder
from notif_rec.tables import STORED

FOLDER = "segments"
ORDER: dict[str, tuple[str, ...]] = {
    "user_ids": ("bucket", "user"),
    "item_ids": ("item",),
    "events": ("bucket", "user", "timestamp"),
    "users": ("bucket", "user", "seq"),
    "items": ("item", "seq"),
    "suppressions": ("bucket", "user", "channel"),
    "sends": ("bucket", "user", "send_at", "send_key", "position"),
    "releases": ("bucket", "user", "send_key"),
}
TIME_OF = {"events": "timestamp", "sends": "send_at"}
ONE_A_COMMIT = {"user_ids": "user", "item_ids": "item", "users": "user", "items": "item"}


def conform(name: str, table: pa.Table, seq: int, keep_seq: bool) -> pa.Table:
    """The rows in the columns and types of `tables.STORED[name]`, with `seq` filled (kept where `keep_seq` and given).

    BugError where columns are missing or too many, or where a user or an item stands twice in one commit.
    """
    wanted = STORED[name]
    given = set(table.column_names) | {"seq"}
    if given != set(wanted.names):
        raise BugError(f"{name}: columns {sorted(given ^ set(wanted.names))} are missing or too many")
    new = pa.scalar(seq, pa.int32())
    old = table.column("seq") if keep_seq and "seq" in table.column_names else None
    filled = pa.repeat(new, table.num_rows) if old is None else pc.coalesce(old, new)
    arrays = [filled if column == "seq" else table.column(column) for column in wanted.names]
    rows = pa.table(arrays, names=wanted.names).cast(wanted)
    _refuse_doubles(name, rows)
    return rows


def _refuse_doubles(name: str, rows: pa.Table) -> None:
    key = ONE_A_COMMIT.get(name)
    if key is None:
        return
    distinct = rows.group_by([key, "seq"], use_threads=False).aggregate([]).num_rows
    if distinct != rows.num_rows:
        raise BugError(f"{name}: {rows.num_rows - distinct} rows repeat a {key} of the same commit")


def write_segment(root: Path, name: str, rows: pa.Table, seq: int) -> Segment:
    """The segment of `rows` (as `conform` gives them, at least one), durable on disk but not yet part of the store."""
    folder = root / FOLDER / name
    private_folder(folder)
    identity = f"{seq:08d}-{uuid.uuid4().hex}"
    path = folder / f"{identity}.parquet"
    hashes = write_hashes(hashes_path(path), rows.column("event_id")) if name == "events" else 0
    with whole_file(path) as draft:
        _write_parquet(draft, rows, ORDER[name])
        digest = sha256(draft)
    low, high = _span(rows, TIME_OF.get(name))
    oldest = int(pc.min(rows.column("seq")).as_py())
    relative = str(path.relative_to(root))
    return Segment(identity, name, relative, rows.num_rows, low, high, hashes, oldest, digest, seq)


def _write_parquet(path: Path, rows: pa.Table, order: tuple[str, ...]) -> None:
    indices = pc.sort_indices(rows, sort_keys=[(column, "ascending") for column in order])  # stable
    with path.open("wb") as stream, pq.ParquetWriter(stream, rows.schema, compression="zstd") as writer:
        for start, stop in _groups(rows, indices):
            # a bucket at a time, so that the sorted copy never stands whole in memory
            writer.write_table(rows.take(indices.slice(start, stop - start)), row_group_size=stop - start)


def _groups(rows: pa.Table, indices: Any) -> list[tuple[int, int]]:
    """Where each bucket's rows start and stop in the sorted order; one group where the table has no buckets."""
    if "bucket" not in rows.column_names:
        return [(0, rows.num_rows)]
    counts = np.bincount(rows.column("bucket").to_numpy())
    stops = np.cumsum(counts)
    return [(int(stop - count), int(stop)) for count, stop in zip(counts, stops, strict=True) if count]


def _span(rows: pa.Table, column: str | None) -> tuple[int | None, int | None]:
    if column is None:
        return None, None
    ends = pc.min_max(rows.column(column).cast(pa.int64()))
    return ends["min"].as_py(), ends["max"].as_py()
