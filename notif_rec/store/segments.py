"""Segments: immutable Parquet files, sorted, one row group per bucket of users, so that one bucket reads its rows alone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec.errors import BugError
from notif_rec.store.catalogue import Segment
from notif_rec.store.event_ids import Hasher, hashes_path
from notif_rec.store.files import sha256, whole_file
from notif_rec.store.place import private_folder
from notif_rec.tables import STORED

Rows: TypeAlias = pa.Table | Iterable[pa.Table]  # whole, or in parts: one bucket a part, buckets rising

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
CODE_OF = {"user_ids": "user", "item_ids": "item"}
# columns whose values rarely repeat: a dictionary of them costs time and room (measured: 5 times slower, a third larger)
DISTINCT = ("user_id", "user_hash", "item_id", "event_id", "timestamp", "send_at", "send_key", "confirms", "score")
ONE_A_COMMIT = {**CODE_OF, "users": "user", "items": "item"}


@dataclass(frozen=True)
class Written:
    """A segment on disk that is not yet part of the store; `codes`: the smallest and largest code of a dictionary."""

    segment: Segment
    codes: tuple[int, int] | None


def write_segment(root: Path, name: str, rows: Rows, seq: int, keep_seq: bool = False) -> Written | None:
    """The durable segment of `rows`, with `seq` filled in (kept where `keep_seq` and given); None where there are no rows.

    BugError where columns are missing or too many, or where a user or an item stands twice in one commit.
    """
    folder = root / FOLDER / name
    private_folder(folder)
    identity = f"{seq:08d}-{uuid.uuid4().hex}"
    path = folder / f"{identity}.parquet"
    hasher = Hasher()
    with whole_file(path) as draft:
        _write_parquet(draft, name, (_conform(name, part, seq, keep_seq) for part in _parts(name, rows)), hasher)
        metadata, digest = pq.read_metadata(draft), sha256(draft)
        ids = hasher.write(hashes_path(path))
    if not metadata.num_rows:
        path.unlink()
        return None
    low, high = _span(metadata, TIME_OF[name]) if name in TIME_OF else (None, None)
    oldest = _span(metadata, "seq")[0]
    segment = Segment(identity, name, str(path.relative_to(root)), metadata.num_rows, low, high, ids, oldest or 0, digest, seq)
    return Written(segment, _codes(metadata, name))


def _parts(name: str, rows: Rows) -> Iterator[pa.Table]:
    """The rows bucket by bucket, sorted, so that a sorted copy never stands whole in memory."""
    for table in [rows] if isinstance(rows, pa.Table) else rows:
        keys = [(column, "ascending") for column in ORDER[name] if column in table.column_names]  # seq may not be there yet
        order = pc.sort_indices(table, sort_keys=keys)  # stable
        for start, stop in _groups(table):
            yield table.take(order.slice(start, stop - start))


def _groups(table: pa.Table) -> list[tuple[int, int]]:
    """Where each bucket's rows start and stop in the sorted order; one group where the table has no buckets."""
    if "bucket" not in table.column_names:
        return [(0, table.num_rows)] if table.num_rows else []
    counts = np.bincount(table.column("bucket").to_numpy())
    stops = np.cumsum(counts)
    return [(int(stop - count), int(stop)) for count, stop in zip(counts, stops, strict=True) if count]


def _conform(name: str, table: pa.Table, seq: int, keep_seq: bool) -> pa.Table:
    wanted = STORED[name]
    given = set(table.column_names) | {"seq"}
    if given != set(wanted.names):
        raise BugError(f"{name}: columns {sorted(given ^ set(wanted.names))} are missing or too many")
    new = pa.scalar(seq, pa.int32())
    kept = keep_seq and "seq" in table.column_names
    filled = pc.coalesce(table.column("seq").cast(pa.int32()), new) if kept else pa.repeat(new, table.num_rows)
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


def _write_parquet(path: Path, name: str, parts: Iterable[pa.Table], hasher: Hasher) -> None:
    """Writes one row group a part, and shows the event ids to the hasher on the way."""
    last, schema = -1, STORED[name]
    nested = any(pa.types.is_nested(column.type) for column in schema)  # their leaves would have to be named one by one
    repeating = [column for column in schema.names if column not in DISTINCT]
    # DuckDB 2.0 answers `IS NULL` wrongly on a text column without a dictionary whose statistics hold one value and nulls
    counted = [column for column in schema.names if column in repeating or not pa.types.is_string(schema.field(column).type)]
    options = {"compression": "zstd", "use_dictionary": nested or repeating, "write_statistics": nested or counted}
    with path.open("wb") as stream, pq.ParquetWriter(stream, schema, **options) as writer:
        for part in parts:
            bucket = part.column("bucket")[0].as_py() if "bucket" in part.column_names else last + 1
            if bucket <= last:
                raise BugError(f"{name}: bucket {bucket} comes after bucket {last}")
            last = bucket
            writer.write_table(part, row_group_size=part.num_rows)
            if name == "events":
                hasher.add(part.column("event_id").drop_null())


def bucket_of_group(metadata: Any, number: int) -> int:
    """The bucket of a row group (0 in tables without buckets), from its statistics."""
    first = metadata.row_group(number).column(0)
    return int(first.statistics.min_raw) if first.path_in_schema == "bucket" else 0


def _span(metadata: Any, column: str) -> tuple[int | None, int | None]:
    """The smallest and the largest number (times in µs) of a column, from the statistics of the row groups."""
    place = metadata.schema.to_arrow_schema().get_field_index(column)
    found = [metadata.row_group(group).column(_leaf(metadata, column, place)).statistics for group in range(metadata.num_row_groups)]
    lows, highs = [s.min_raw for s in found if s.has_min_max], [s.max_raw for s in found if s.has_min_max]
    return (int(min(lows)), int(max(highs))) if lows else (None, None)


def _leaf(metadata: Any, column: str, place: int) -> int:
    """The column's place among the leaves: lists and maps before it take more than one."""
    leaves = [metadata.schema.column(leaf).path for leaf in range(metadata.num_columns)]
    return leaves.index(column, place)


def _codes(metadata: Any, name: str) -> tuple[int, int] | None:
    if name not in CODE_OF:
        return None
    low, high = _span(metadata, CODE_OF[name])
    return (low, high) if low is not None and high is not None else None
