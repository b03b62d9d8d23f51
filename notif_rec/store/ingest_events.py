"""Staged event files → the rows of one commit: codes, duplicates left out, receipts matched with our sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.store.ids import bucket_sql
from notif_rec.store.receipts import find_confirmed
from notif_rec.store.snapshot import open_duckdb, parquet
from notif_rec.store.staging import StagedFile
from notif_rec.store.store import Store
from notif_rec.tables import NO_ITEM

Bools = npt.NDArray[np.bool_]
Int64s = npt.NDArray[np.int64]

_SAME = '"user", item, channel, event, timestamp, value, send_key'


@dataclass(frozen=True)
class Prepared:
    """What an ingest would commit. accepted: rows of each file that are in it."""

    tables: dict[str, pa.Table]
    accepted: tuple[int, ...]
    newest: tuple[datetime | None, ...] = ()


def prepare_events(store: Store, files: Sequence[StagedFile], threads: int = 1) -> Prepared:
    """The new events of `files`, first come first kept. Call inside `store.lock()`: codes are given out.

    An event with an `event_id` is a duplicate where that id is known; one without where all its columns are.
    """
    sizes = [file.rows.num_rows for file in files]
    newest = tuple(pc.max(f.rows.column("timestamp")).as_py() if f.rows.num_rows else None for f in files)
    if sum(sizes) == 0:
        return Prepared({}, tuple(0 for _ in files), newest)
    rows = pa.concat_tables([f.rows for f in files if f.rows.num_rows]).unify_dictionaries()
    place = np.flatnonzero(_keep_new_ids(store, rows.column("event_id")))
    events, new_codes = _coded(store, rows.take(pa.array(place)) if place.size < rows.num_rows else rows)
    fresh = _keep_new_rows(store, events, threads)
    events, place = events.filter(pa.array(fresh)), place[fresh]
    ends = np.cumsum([0, *sizes])
    accepted = tuple(int(n) for n in np.diff(np.searchsorted(place, ends)))
    return Prepared({"events": _with_confirmations(store, events, threads), **new_codes}, accepted, newest)


def _keep_new_ids(store: Store, event_ids: Any) -> Bools:
    """Rows whose event id is null, or stands here for the first time and is not in the store."""
    keep: Bools = np.ones(len(event_ids), np.bool_)
    if event_ids.null_count == len(event_ids):
        return keep
    given = np.flatnonzero(event_ids.is_valid().to_numpy())
    ids = event_ids.drop_null().combine_chunks()
    keep[given[store.known_event_ids(ids).to_numpy(zero_copy_only=False)]] = False
    with open_duckdb(store.root) as duck:
        duck.register("ids", pa.table({"id": ids, "place": given}))
        first = duck.execute("SELECT min(place) AS place FROM ids GROUP BY id").fetchnumpy()["place"]
    again: Bools = np.ones(len(event_ids), np.bool_)
    again[first] = False
    again[event_ids.is_null().to_numpy()] = False
    return keep & ~again


def _coded(store: Store, rows: pa.Table) -> tuple[pa.Table, dict[str, pa.Table]]:
    """The rows with int32 codes and buckets for ids, and the dictionary rows of ids that are new."""
    user_at, users = _used(rows.column("user_id"))
    item_at, items = _used(rows.column("item_id"))
    user_codes, new_users = store.user_codes(users, create=True)
    item_codes, new_items = store.item_codes(pc.if_else(pc.equal(items, ""), pa.scalar(None, pa.string()), items), create=True)
    item_codes = pc.replace_with_mask(item_codes, pc.equal(items, ""), pa.scalar(NO_ITEM, pa.int32()))
    columns = {
        "bucket": _buckets(store, users).take(pa.array(user_at)),
        "user": user_codes.take(pa.array(user_at)),
        "item": item_codes.take(pa.array(item_at)),
        **{name: rows.column(name) for name in ("channel", "event", "timestamp", "value", "event_id", "send_key")},
    }
    return pa.table(columns), {"user_ids": new_users, "item_ids": new_items}


def _used(column: Any) -> tuple[Int64s, Any]:
    """(place of each row's text, texts that rows use) of a dictionary column: rejected rows left their texts behind."""
    texts = column.chunk(0).dictionary
    at = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in column.chunks]).astype(np.int64)
    used = np.zeros(len(texts), np.bool_)
    used[at] = True
    return (np.cumsum(used) - 1)[at], texts.filter(pa.array(used))


def _buckets(store: Store, user_ids: Any) -> Any:
    with open_duckdb(store.root) as duck:
        duck.register("ids", pa.table({"text": user_ids}))
        return duck.sql(f"SELECT {bucket_sql('text')} AS bucket FROM ids").to_arrow_table().column("bucket").combine_chunks()


def _keep_new_rows(store: Store, events: pa.Table, threads: int) -> Bools:
    """Rows that have an event id, or stand here for the first time and are not in the store."""
    keep: Bools = np.ones(events.num_rows, np.bool_)
    bare = np.flatnonzero(events.column("event_id").is_null().to_numpy())
    if bare.size == 0:
        return keep
    rows = events.select(["user", "item", "channel", "event", "timestamp", "value", "send_key"])
    rows = rows.take(pa.array(bare)) if bare.size < events.num_rows else rows
    with store.snapshot().connect(threads, tables=["events"]) as duck:
        duck.register("rows", rows.append_column("place", pa.array(bare)))
        first = duck.execute(f"SELECT min(place) AS place FROM rows GROUP BY {_SAME}").fetchnumpy()["place"]
        keep[bare] = False
        keep[first] = True
        files = _touched(store, rows.column("timestamp"))
        if files:
            keep[_stored(duck, files)] = False
    return keep


def _touched(store: Store, timestamp: Any) -> list[Path]:
    """Files of segments in whose span of time at least one of the events falls: history elsewhere is never read."""
    us = np.sort(timestamp.cast(pa.int64()).to_numpy())
    segments = [s for s in store.segments("events") if s.min_us is not None and s.max_us is not None]
    first = np.searchsorted(us, np.array([s.min_us for s in segments], np.int64), "left")
    after = np.searchsorted(us, np.array([s.max_us for s in segments], np.int64), "right")
    return [store.root / segments[i].path for i in np.flatnonzero(first < after)]


def _stored(duck: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> Int64s:
    """Places of rows that the files hold already."""
    query = f"""
        SELECT DISTINCT r.place FROM rows r JOIN {parquet(files)} e
        ON e."user" = r."user" AND e.item = r.item AND e.channel = r.channel AND e.event = r.event AND e.timestamp = r.timestamp
        AND e.value = r.value AND e.send_key IS NOT DISTINCT FROM r.send_key
        WHERE e.event_id IS NULL AND e.timestamp BETWEEN (SELECT min(timestamp) FROM rows) AND (SELECT max(timestamp) FROM rows)
    """
    places: Int64s = duck.execute(query).fetchnumpy()["place"]
    return places


def _with_confirmations(store: Store, events: pa.Table, threads: int) -> pa.Table:
    """The events with `confirms`: the send of ours that a `sent` event is the receipt of, or null."""
    sent = np.flatnonzero(pc.equal(events.column("event").cast(pa.string()), "sent").to_numpy(zero_copy_only=False))
    receipts = events.select(["user", "item", "channel", "send_key"]).take(pa.array(sent))
    receipts = receipts.append_column("place", pa.array(sent))
    receipts = receipts.append_column("us", events.column("timestamp").cast(pa.int64()).take(pa.array(sent)))
    found = find_confirmed(store, receipts, threads)
    which = np.full(events.num_rows, -1, np.int64)
    which[found.column("place").to_numpy()] = np.arange(found.num_rows)
    confirms = found.column("send_key").combine_chunks().take(pa.array(which, mask=which < 0))
    return events.append_column("confirms", confirms)
