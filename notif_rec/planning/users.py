"""A batch of users as flat arrays: what tables.PLANNING_INPUT says in lists, unpacked once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import BugError
from notif_rec.models.taste import Taste
from notif_rec.planning.compiled import kernel
from notif_rec.scoring.features import N_FEATURES
from notif_rec.scoring.send_time import WEEK

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Sends(NamedTuple):
    """Every known send, past or reserved: user u owns rows start[u] to start[u + 1], ordered by time."""

    start: IntArray
    us: IntArray
    channel: npt.NDArray[np.int8]
    item_class: npt.NDArray[np.int8]
    categories: npt.NDArray[np.uint64]
    ours: npt.NDArray[np.uint8]


class SentItems(NamedTuple):
    """Every item of those sends, ordered by (item, time) within a user; items the lookup does not know are left out.

    send: place of its send among the user's. day: the UTC day, from 1970, that the send's key names.
    """

    start: IntArray
    item: npt.NDArray[np.int32]
    us: IntArray
    channel: npt.NDArray[np.int8]
    item_class: npt.NDArray[np.int8]
    send: npt.NDArray[np.int32]
    day: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Users:
    """One row a user; 2-d arrays are (n_users, n_channels), but audience (n_users, n_audiences) and hours (n_users, 168).

    features: (n_users, n_channels, N_FEATURES), see scoring/features.py.
    """

    user: npt.NDArray[np.int32]
    user_id: pa.Array
    user_hash: npt.NDArray[np.uint64]
    timezone: list[str | None]
    consent: npt.NDArray[np.int8]
    suppressed: BoolArray
    audience: BoolArray
    segment: npt.NDArray[np.int32]
    sends: Sends
    sent_items: SentItems
    ignored: npt.NDArray[np.int32]
    ignored_us: IntArray
    features: npt.NDArray[np.float32]
    hours: npt.NDArray[np.float32]
    liked_start: IntArray
    liked_category: npt.NDArray[np.int32]
    liked_count: npt.NDArray[np.float32]
    seen_start: IntArray
    seen_item: npt.NDArray[np.int32]
    taste: Taste

    @property
    def n(self) -> int:
        return len(self.user)


def unpack_users(batch: pa.RecordBatch, lookup: npt.NDArray[np.int32], n_channels: int, n_audiences: int) -> Users:
    """`batch` (tables.PLANNING_INPUT, whole or a slice) as arrays of our own.

    lookup: from an item's code in the store to its index in the model, -1 = not in it; codes beyond its end are unknown too.
    Raises BugError where a list that should have one entry a channel has another length.
    """
    lists = Lists(batch)
    taste_start, taste_item, kept = _by_item(lists, "taste_item", "taste_channel", lookup)
    seen_start, seen_item, _ = _by_item(lists, "seen_item", None, lookup)
    return Users(
        user=_flat(batch.column("user"), np.int32),
        user_id=batch.column("user_id"),
        user_hash=_flat(batch.column("user_hash"), np.uint64),
        timezone=batch.column("timezone").to_pylist(),
        consent=lists.table("consent", n_channels, np.int8),
        suppressed=lists.table("suppressed", n_channels, np.bool_),
        audience=lists.table("audience", n_audiences, np.bool_),
        segment=_flat(batch.column("segment"), np.int32),
        sends=_sends(lists),
        sent_items=_sent_items(lists, lookup),
        ignored=lists.table("ignored", n_channels, np.int32),
        ignored_us=lists.table("ignored_us", n_channels, np.int64),
        features=lists.table("features", n_channels * N_FEATURES, np.float32).reshape(batch.num_rows, n_channels, N_FEATURES),
        hours=lists.table("hours", WEEK, np.float32),
        liked_start=lists.start("liked_category"),
        liked_category=lists.values("liked_category", np.int32),
        liked_count=lists.values("liked_count", np.float32),
        seen_start=seen_start,
        seen_item=seen_item,
        taste=Taste(taste_start, taste_item, lists.values("taste_channel", np.int8)[kept], lists.values("taste_weight", np.float32)[kept]),
    )


class Lists:
    """The columns of a batch, its lists as offsets and values; offsets of a slice start at 0 again, null lists are empty."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def start(self, name: str) -> IntArray:
        lengths = pc.fill_null(pc.list_value_length(self.batch.column(name)), 0).to_numpy(zero_copy_only=False)
        return np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))

    def values(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        return _flat(self.batch.column(name).flatten(), dtype)

    def flat(self, name: str, dtype: Any) -> npt.NDArray[Any]:
        return _flat(self.batch.column(name), dtype)

    def table(self, name: str, width: int, dtype: Any) -> npt.NDArray[Any]:
        start = self.start(name)
        if np.any(np.diff(start) != width):
            raise BugError(f"planning: a list '{name}' does not have {width} entries", "prepare the input with the context's channels")
        return self.values(name, dtype).reshape(self.batch.num_rows, width)


def _flat(column: pa.Array, dtype: Any) -> npt.NDArray[Any]:
    """A writable copy, so that compiled code sees one kind of array."""
    return np.array(column.to_numpy(zero_copy_only=False), dtype=dtype)


def _sends(lists: Lists) -> Sends:
    return Sends(
        start=lists.start("send_us"),
        us=lists.values("send_us", np.int64),
        channel=lists.values("send_channel", np.int8),
        item_class=lists.values("send_class", np.int8),
        categories=lists.values("send_categories", np.uint64),
        ours=lists.values("send_ours", np.uint8),
    )


def _sent_items(lists: Lists, lookup: npt.NDArray[np.int32]) -> SentItems:
    start, item, kept = _by_item(lists, "sent_item", None, lookup)
    names = {"us": "sent_item_us", "channel": "sent_item_channel", "item_class": "sent_item_class", "send": "sent_item_send"}
    types = {"us": np.int64, "channel": np.int8, "item_class": np.int8, "send": np.int32}
    found = {field: lists.values(name, types[field])[kept] for field, name in names.items()}
    first = np.repeat(lists.start("send_us")[:-1], np.diff(start))
    return SentItems(start, item, **found, day=lists.values("send_day", np.int32)[first + found["send"]])


def _by_item(lists: Lists, items: str, then: str | None, lookup: npt.NDArray[np.int32]) -> tuple[IntArray, npt.NDArray[np.int32], IntArray]:
    """Offsets, item indices and the rows they came from, by item index (and `then`) within each user; unknown items left out."""
    start, codes = lists.start(items), lists.values(items, np.int64)
    known = (codes >= 0) & (codes < len(lookup))
    index = np.full(len(codes), -1, dtype=np.int32)
    index[known] = lookup[codes[known]]
    second = lists.values(then, np.int64) if then else np.zeros(len(codes), dtype=np.int64)
    order = _order_within(start, index.astype(np.int64) * 256 + second)
    known = index[order] >= 0
    user = np.repeat(np.arange(len(start) - 1), np.diff(start))
    counts = np.bincount(user[known], minlength=len(start) - 1)
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64))), index[order][known], order[known]


@kernel
def _order_within(start: IntArray, key: IntArray) -> IntArray:
    """A permutation of rows that sorts each user's own by key; equal keys keep their order, which is by time."""
    order = np.arange(len(key))
    for u in range(len(start) - 1):
        a, b = start[u], start[u + 1]
        if b - a > 1:
            order[a:b] = a + np.argsort(key[a:b], kind="mergesort")
    return order
