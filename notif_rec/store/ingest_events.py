"""Staged event files → the rows of one commit: codes, duplicates left out, receipts matched with our sends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.store.duplicates import Bools, Int64s, by_bucket, find_new_ids, find_new_rows
from notif_rec.store.ids import bucket_sql
from notif_rec.store.receipts import find_confirmed
from notif_rec.store.segments import Rows
from notif_rec.store.snapshot import open_duckdb
from notif_rec.store.staging import StagedFile
from notif_rec.store.store import Store
from notif_rec.tables import NO_ITEM


@dataclass(frozen=True)
class Prepared:
    """What an ingest would commit, to be read once. accepted: rows of each file that are in it. newest: event time of each file."""

    tables: Mapping[str, Rows]
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
    rows = pa.concat_tables([f.rows for f in files if f.rows.num_rows]).unify_dictionaries().combine_chunks()
    new = find_new_ids(store, rows.column("event_id"))
    if not new.any():
        return Prepared({}, tuple(0 for _ in files), newest)
    events, bucket, new_codes = _coded(store, rows, new)
    buckets = by_bucket(bucket, np.flatnonzero(new))
    new = find_new_rows(store, events, buckets, threads)
    confirmed = _confirmed(store, events, new, threads)
    ends = np.cumsum([0, *sizes])
    accepted = tuple(int(np.count_nonzero(new[start:stop])) for start, stop in pairwise(ends))
    return Prepared({"events": _parts(events, buckets, new, confirmed), **new_codes}, accepted, newest)


def _coded(store: Store, rows: pa.Table, new: Bools) -> tuple[pa.Table, npt.NDArray[np.uint8], dict[str, pa.Table]]:
    """The rows with int32 codes for ids, their buckets, and the dictionary rows of ids that are new.

    Only ids of rows that are `new` get codes: rejected rows and duplicates leave no user behind. Other rows have any code.
    """
    user_at, users = _used(rows.column("user_id"), new)
    item_at, items = _used(rows.column("item_id"), new)
    user_codes, new_users = store.user_codes(users, create=True)
    no_item = pc.equal(items, "")
    item_codes, new_items = store.item_codes(pc.if_else(no_item, pa.scalar(None, pa.string()), items), create=True)
    item_codes = pc.replace_with_mask(item_codes, no_item, pa.scalar(NO_ITEM, pa.int32()))
    with open_duckdb(store.root) as duck:
        duck.register("ids", pa.table({"text": users}))
        buckets = duck.execute(f"SELECT {bucket_sql('text')} AS bucket FROM ids").fetchnumpy()["bucket"]
    bucket = buckets[user_at]
    columns = {
        "bucket": pa.array(bucket),
        "user": pa.array(user_codes.to_numpy()[user_at]),
        "item": pa.array(item_codes.to_numpy()[item_at]),
        **{name: rows.column(name) for name in ("channel", "event", "timestamp", "value", "event_id", "send_key")},
    }
    return pa.table(columns), bucket, {"user_ids": new_users, "item_ids": new_items}


def _used(column: Any, rows: Bools) -> tuple[npt.NDArray[np.int32], Any]:
    """(place of each row's text, texts that `rows` use) of a dictionary column; places of other rows mean nothing."""
    texts, at = column.chunk(0).dictionary, column.chunk(0).indices.to_numpy(zero_copy_only=False)
    used = np.zeros(len(texts), np.bool_)
    used[at[rows]] = True
    places = np.maximum(np.cumsum(used, dtype=np.int32) - 1, 0)
    return places[at], texts.filter(pa.array(used))


def _confirmed(store: Store, events: pa.Table, new: Bools, threads: int) -> pa.Table:
    """(place, send_key) of the new `sent` events that are receipts of sends of ours, by place."""
    names = events.column("event").chunk(0)
    is_sent = pc.equal(names.dictionary, "sent").to_numpy(zero_copy_only=False)
    sent = np.flatnonzero(is_sent[names.indices.to_numpy(zero_copy_only=False)] & new)
    picked = events.select(["user", "item", "channel", "timestamp", "send_key"]).take(pa.array(sent))
    receipts = picked.drop_columns("timestamp").append_column("us", picked.column("timestamp").cast(pa.int64()))
    return find_confirmed(store, receipts.append_column("place", pa.array(sent)), threads)


def _parts(events: pa.Table, buckets: Sequence[Int64s], new: Bools, confirmed: pa.Table) -> Iterator[pa.Table]:
    """The new events bucket by bucket, with `confirms`: the send of ours that a `sent` event is the receipt of, or null."""
    places, keys = confirmed.column("place").to_numpy(), confirmed.column("send_key").combine_chunks()
    for rows in buckets:
        mine = rows[new[rows]]
        at = np.minimum(np.searchsorted(places, mine), max(places.size - 1, 0))
        found = places[at] == mine if places.size else np.zeros(mine.size, np.bool_)
        yield events.take(pa.array(mine)).append_column("confirms", keys.take(pa.array(at, mask=~found)))
