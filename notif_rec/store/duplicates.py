"""Which events are new: by their id, or, without one, by all their columns; history is read only where times overlap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.store.snapshot import open_duckdb, parquet
from notif_rec.store.store import Store
from notif_rec.tables import BUCKETS

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]

ROWS_AT_ONCE = 2_000_000  # rows whose equals are looked for together, whole buckets at a time
SAME = ("user", "item", "channel", "event", "timestamp", "value", "send_key")
_FIRST = "SELECT min(place) AS place FROM rows GROUP BY " + ", ".join(f'"{name}"' for name in SAME)


def find_new_ids(store: Store, event_ids: Any) -> Bools:
    """Rows whose event id is null, or stands here for the first time and is not in the store. event_ids: chunked text."""
    new: Bools = np.ones(len(event_ids), np.bool_)
    if event_ids.null_count == len(event_ids):
        return new
    given = np.flatnonzero(event_ids.is_valid().to_numpy())
    ids = event_ids.drop_null()
    with open_duckdb(store.root) as duck:
        duck.register("ids", pa.table({"id": ids, "place": given}))
        first = duck.execute("SELECT min(place) AS place FROM ids GROUP BY id").fetchnumpy()["place"]
    new[given] = False
    new[first] = True
    new[given[store.known_event_ids(ids.combine_chunks()).to_numpy(zero_copy_only=False)]] = False
    return new


def by_bucket(bucket: npt.NDArray[np.uint8], rows: Int64s) -> list[Int64s]:
    """The given rows of each bucket, in their order."""
    ordered = rows[np.argsort(bucket[rows], kind="stable")]
    return np.split(ordered, np.cumsum(np.bincount(bucket[rows], minlength=BUCKETS))[:-1])


def find_new_rows(store: Store, events: pa.Table, buckets: Sequence[Int64s], threads: int) -> Bools:
    """Rows of `buckets` that have an event id, or stand there for the first time and are not in the store; others are False."""
    new: Bools = np.zeros(events.num_rows, np.bool_)
    bare = events.column("event_id").is_null().to_numpy()
    with open_duckdb(store.root, threads) as duck:
        for rows in _together(buckets):
            new[rows[~bare[rows]]] = True
            mine = rows[bare[rows]]
            if mine.size:
                _mark_new(duck, store, events.select(["bucket", *SAME]).take(pa.array(mine)), mine, new)
    return new


def _together(buckets: Sequence[Int64s]) -> Iterator[Int64s]:
    """Buckets joined to about ROWS_AT_ONCE rows."""
    held: list[Int64s] = []
    for rows in buckets:
        if held and sum(part.size for part in held) + rows.size > ROWS_AT_ONCE:
            yield np.concatenate(held)
            held = []
        held.append(rows)
    yield np.concatenate(held)


def _mark_new(duck: duckdb.DuckDBPyConnection, store: Store, rows: pa.Table, place: Int64s, new: Bools) -> None:
    duck.register("rows", rows.append_column("place", pa.array(place)))
    new[duck.execute(_FIRST).fetchnumpy()["place"]] = True
    files = touched(store, rows.column("timestamp"))
    if files:
        new[duck.execute(_stored(files)).fetchnumpy()["place"]] = False
    duck.unregister("rows")


def touched(store: Store, timestamp: Any) -> list[Path]:
    """Files of segments in whose span of time at least one of the events falls: history elsewhere is never read."""
    us = np.sort(timestamp.cast(pa.int64()).to_numpy())
    segments = [s for s in store.segments("events") if s.min_us is not None and s.max_us is not None]
    first = np.searchsorted(us, np.array([s.min_us for s in segments], np.int64), "left")
    after = np.searchsorted(us, np.array([s.max_us for s in segments], np.int64), "right")
    return [store.root / segments[i].path for i in np.flatnonzero(first < after)]


def _stored(files: Sequence[Path]) -> str:
    """SQL: places of rows that the files hold already. Row groups of other buckets and times are passed over."""
    equal = " AND ".join(f'e."{name}" = r."{name}"' for name in SAME if name != "send_key")
    return f"""
        SELECT DISTINCT r.place FROM rows r JOIN {parquet(files)} e ON {equal} AND e.send_key IS NOT DISTINCT FROM r.send_key
        WHERE coalesce(e.event_id, '') = '' AND e.bucket BETWEEN (SELECT min(bucket) FROM rows) AND (SELECT max(bucket) FROM rows)
        AND e.timestamp BETWEEN (SELECT min(timestamp) FROM rows) AND (SELECT max(timestamp) FROM rows)
    """
