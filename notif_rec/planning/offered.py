"""Offers as choosing needs them, whoever made them and whenever: a batch in memory, or a table that a later pass reads again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.blocking import Clock
from notif_rec.planning.context import PlanContext
from notif_rec.planning.users import Lists, Sends
from notif_rec.policy.local_time import zone_codes
from notif_rec.tables import OFFERS

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Recipients:
    """The users of a batch. inside: (n_users, n_audiences) whose attributes match."""

    user: npt.NDArray[np.int32]
    user_id: pa.Array
    user_hash: npt.NDArray[np.uint64]
    inside: npt.NDArray[np.bool_]
    sends: Sends

    @property
    def n(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Standing:
    """What a user's choice is bound by. room: (n_users, n_channels) messages that max_sends still allows. held: in the holdout.

    due: (n_users, n_channels) marketing sends that weekly budgets allow now, UNLIMITED where they do not bind; None: there are none.
    """

    room: IntArray
    held: npt.NDArray[np.bool_]
    clock: Clock
    periods: IntArray  # (len(PER), n_zones, n_moments)
    due: IntArray | None = None


@dataclass(frozen=True)
class Dropped:
    """Candidates of each user that no choice could send. start: ragged by user, by channel and then reason number; counts above zero."""

    start: IntArray
    channel: npt.NDArray[np.int8]
    reason: npt.NDArray[np.int8]
    count: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Offers:
    """Offers of a batch: user u owns rows start[u] to start[u + 1].

    lane, moment (index of the grid), content (the user's message it carries: equal = the same items), value, weight (of the
    hour; multiplies p_open and p_click), categories (bits), tie (order among equals: earlier ways and ranks, then time, then
    channel name). item (model row, -1 beyond its size), score, p_click (before the hour), source: (n, widest) of each item.
    p_open: of the message, before the hour. p_unsubscribe: (n_users, n_channels). open: (n_users, n_lanes) candidates that could be
    sent; closed: the others. barred: not among the messages that a weekly budget leaves; None = none is.
    """

    users: Recipients
    verdict: Standing
    start: IntArray
    lane: IntArray
    moment: IntArray
    content: IntArray
    value: FloatArray
    weight: FloatArray
    categories: npt.NDArray[np.uint64]
    tie: IntArray
    size: IntArray
    item: npt.NDArray[np.int32]
    score: FloatArray
    p_click: FloatArray
    source: npt.NDArray[np.int8]
    p_open: FloatArray
    p_unsubscribe: FloatArray
    open: IntArray
    closed: Dropped
    barred: npt.NDArray[np.bool_] | None = None

    @property
    def n(self) -> int:
        return len(self.lane)

    def owner(self) -> IntArray:
        """The user (place in the batch) of each offer."""
        return np.repeat(np.arange(self.users.n), np.diff(self.start))


def ties(content: IntArray, moment: IntArray, lane: IntArray, context: PlanContext) -> IntArray:
    """The order among offers of equal value."""
    return ((content << 16) + moment) * 64 + context.name_order[context.lanes.channel[lane]]


def pack_offers(offers: Offers) -> pa.RecordBatch:
    """The offers as tables.OFFERS, one row a user; `unpack_offers` gives the same back."""
    users, standing, closed, held = offers.users, offers.verdict, offers.closed, offers.item >= 0
    of_items = np.concatenate(([0], np.cumsum(offers.size)))[offers.start]
    zone = pa.array(standing.clock.names, pa.string()).take(pa.array(standing.clock.zone))
    flat: dict[str, Any] = {
        "user": users.user, "user_id": users.user_id, "user_hash": users.user_hash, "timezone": zone, "held": standing.held,
    }  # fmt: skip
    wide = {
        "inside": users.inside,
        "room": standing.room,
        "p_unsubscribe": offers.p_unsubscribe,
        "open": offers.open,
    }
    ragged: dict[str, tuple[IntArray, Any]] = {
        **{f"send_{name}": (users.sends.start, getattr(users.sends, field)) for name, field in SENDS.items()},
        **{f"closed_{name}": (closed.start, getattr(closed, name)) for name in ("channel", "reason", "count")},
        **{name: (offers.start, getattr(offers, name)) for name in OF_OFFERS},
        **{name: (of_items, getattr(offers, name)[held]) for name in OF_ITEMS},
        **{name: (np.arange(users.n + 1) * table.shape[1], table.ravel()) for name, table in wide.items()},
    }
    columns = [_column(field, flat, ragged) for field in OFFERS]
    return pa.RecordBatch.from_arrays(columns, schema=OFFERS)


SENDS = {"us": "us", "channel": "channel", "class": "item_class", "categories": "categories", "ours": "ours"}
OF_OFFERS = ("lane", "moment", "content", "value", "weight", "categories", "size", "p_open")
OF_ITEMS = ("item", "score", "p_click", "source")


def _column(field: pa.Field, flat: dict[str, Any], ragged: dict[str, tuple[IntArray, Any]]) -> pa.Array:
    if field.name in flat:
        return pa.array(flat[field.name]).cast(field.type)
    start, values = ragged[field.name]
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), pa.array(values).cast(field.type.value_type))


def unpack_offers(batch: pa.RecordBatch, context: PlanContext) -> Offers:
    """The offers in `batch` (tables.OFFERS, whole or a slice), made under the same context but for its prices."""
    lists, n = Lists(batch), batch.num_rows
    start, size = lists.start("lane"), lists.values("size", np.int64)
    lane, moment, content = (lists.values(name, np.int64) for name in ("lane", "moment", "content"))
    held = np.arange(int(context.lanes.size.max(initial=1)))[None, :] < size[:, None]
    names, zone, _ = zone_codes(batch.column("timezone").to_pylist(), context.settings.timezone)
    clock = Clock(names or (context.settings.timezone,), zone, context.settings.as_of_us, context.settings.end_us)
    sends = {field: lists.values(f"send_{name}", KINDS[field]) for name, field in SENDS.items()}
    n_channels = len(context.channels)
    return Offers(
        users=Recipients(
            user=lists.flat("user", np.int32),
            user_id=batch.column("user_id"),
            user_hash=lists.flat("user_hash", np.uint64),
            inside=lists.table("inside", len(context.audiences), np.bool_),
            sends=Sends(lists.start("send_us"), **sends),
        ),
        verdict=Standing(
            room=lists.table("room", n_channels, np.int64),
            held=lists.flat("held", np.bool_),
            clock=clock,
            periods=clock.periods_of_moments(context.grid.moments_us()),
        ),
        start=start,
        lane=lane,
        moment=moment,
        content=content,
        value=lists.values("value", np.float64),
        weight=lists.values("weight", np.float64),
        categories=lists.values("categories", np.uint64),
        tie=ties(content, moment, lane, context),
        size=size,
        **{name: _spread(lists.values(name, KINDS[name]), held, empty) for name, empty in zip(OF_ITEMS, (-1, 0.0, 0.0, -1), strict=True)},
        p_open=lists.values("p_open", np.float64),
        p_unsubscribe=lists.table("p_unsubscribe", n_channels, np.float64),
        open=lists.values("open", np.int64).reshape(n, -1) if n else np.zeros((0, len(context.lanes.channel)), np.int64),
        closed=Dropped(lists.start("closed_channel"), *(lists.values(f"closed_{name}", kind) for name, kind in CLOSED)),
    )


KINDS: dict[str, Any] = {
    "us": np.int64, "channel": np.int8, "item_class": np.int8, "categories": np.uint64, "ours": np.uint8,
    "item": np.int32, "score": np.float64, "p_click": np.float64, "source": np.int8,
}  # fmt: skip
CLOSED: tuple[tuple[str, Any], ...] = (("channel", np.int8), ("reason", np.int8), ("count", np.int32))


def _spread(values: npt.NDArray[Any], held: npt.NDArray[np.bool_], empty: float) -> npt.NDArray[Any]:
    """Flat values of items as (n_offers, widest), `empty` beyond an offer's size."""
    table = np.full(held.shape, empty, dtype=values.dtype)
    table[held] = values
    return table
