"""What newer facts still allow of a plan: sends may go, none is added or moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.caps import fatigues_of
from notif_rec.planning.compiled import kernel
from notif_rec.planning.contents import item_moments
from notif_rec.planning.context import EVERYBODY, PlanContext
from notif_rec.planning.grid import STEP_US, has
from notif_rec.planning.reasons import AUDIENCE, CHANNEL, SEEN, bit, by_precedence, headlines, reason_names
from notif_rec.planning.select import select
from notif_rec.planning.users import Users, unpack_users
from notif_rec.planning.verdict import Verdict, judge
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint64]
PAST, CAPS = "past_moment", "caps"


@dataclass(frozen=True)
class Recheck:
    """rows: rows of the given sends that belong to the batch. keep: whether each stays. reasons: sends that go, by reason."""

    rows: IntArray
    keep: npt.NDArray[np.bool_]
    reasons: Mapping[str, int]


class Planned(NamedTuple):
    """The batch's sends, ordered by user and time; `first` is the row of each in the table of rows, `item` -1 beyond its size."""

    user: IntArray
    lane: IntArray
    moment: IntArray
    value: npt.NDArray[np.float64]
    item: npt.NDArray[np.int32]
    of_row: IntArray


def recheck(batch: pa.RecordBatch, sends: pa.Table, context: PlanContext, as_of_us: int) -> Recheck:
    """Which of the planned `sends` (tables.SENDS) of the users in `batch` the facts in `batch` still allow at `as_of_us`.

    Judged by consent, suppressions, pauses, items, what was seen, filters and caps over everything known now; of sends that newer
    facts set against each other the most valuable set stays. Shadows and draws of no send always stay.
    """
    users = unpack_users(batch, context.lookup, len(context.channels), len(context.audiences))
    rows = _rows_of(users, sends)
    verdict = judge(users, context)
    planned = _grouped(users, sends.take(pa.array(rows)), context)
    masks = _closed(planned, users, verdict, context)
    past = context.grid.first_us + STEP_US * planned.moment < as_of_us
    open_ = (masks == 0) & ~past
    stays = open_ & _fits(planned, open_, users, verdict, context)
    return Recheck(rows, stays[planned.of_row], _told(stays, past, masks, context))


def _rows_of(users: Users, sends: pa.Table) -> IntArray:
    mine = np.isin(sends.column("user").to_numpy(), users.user)
    real = pc.equal(sends.column("kind"), "send").to_numpy(zero_copy_only=False)
    return np.flatnonzero(mine & real)


def _grouped(users: Users, rows: pa.Table, context: PlanContext) -> Planned:
    """One entry a send."""
    place = {int(code): n for n, code in enumerate(users.user)}
    user = np.array([place[int(code)] for code in rows.column("user").to_numpy()], dtype=np.int64)
    key = rows.column("send_key").combine_chunks().dictionary_encode().indices.to_numpy()
    at = rows.column("send_at").cast(pa.int64()).to_numpy()
    order = np.lexsort((rows.column("position").to_numpy(), key, at, user))
    is_first = np.ones(len(order), dtype=np.bool_)
    is_first[1:] = key[order][1:] != key[order][:-1]
    of_sorted = np.cumsum(is_first) - 1
    first = order[is_first]
    item = np.full((len(first), int(np.bincount(of_sorted).max(initial=1))), -1, dtype=np.int32)
    codes = rows.column("item").to_numpy()[order]
    known = (codes >= 0) & (codes < len(context.lookup))
    item[of_sorted, rows.column("position").to_numpy()[order] - 1] = np.where(
        known, context.lookup[np.where(known, codes, 0)] if len(context.lookup) else -1, -1
    )
    of_row = np.empty(len(order), dtype=np.int64)
    of_row[order] = of_sorted
    lane = _lanes_of(rows, context)[first]
    moment = (at[first] - context.grid.first_us) // STEP_US
    return Planned(user[first], lane, moment, rows.column("value").to_numpy()[first], item, of_row)


def _lanes_of(rows: pa.Table, context: PlanContext) -> IntArray:
    """The lane of each row, -1 where the channel no longer has items of its class."""
    lanes = context.lanes
    known = {(context.names[c], CLASSES[k]): n for n, (c, k) in enumerate(zip(lanes.channel, lanes.item_class, strict=True))}
    pairs = zip(rows.column("channel").to_pylist(), rows.column("item_class").to_pylist(), strict=True)
    return np.array([known.get(pair, -1) for pair in pairs], dtype=np.int64)


def _closed(planned: Planned, users: Users, verdict: Verdict, context: PlanContext) -> Masks:
    """Bits of what forbids each send by itself, 0 = nothing."""
    masks = np.zeros(len(planned.user), dtype=np.uint64)
    grid, items = context.grid, context.items
    _close(planned, verdict.open, verdict.full, verdict.touch, verdict.blocked, users.sent_items, context.caps, context.facts,
           context.lanes, grid.first_us, grid.n, np.uint64(bit(CHANNEL)), masks)  # fmt: skip
    row = np.maximum(planned.item, 0)
    channel = context.lanes.channel[planned.lane]
    misfit = (planned.item >= 0) & ~items.channels[row, channel[:, None]]
    audience = items.audience[row]
    outside = (planned.item >= 0) & (audience != EVERYBODY) & ~_inside(users, planned.user, audience)
    masks |= np.where(misfit.any(axis=1) | (planned.lane < 0), bit(CHANNEL), np.uint64(0))
    masks |= np.where(outside.any(axis=1), bit(AUDIENCE), np.uint64(0))
    masks |= np.where(_seen(planned, users, context)[channel, np.arange(len(row))], bit(SEEN), np.uint64(0))
    return masks


def _seen(planned: Planned, users: Users, context: PlanContext) -> npt.NDArray[np.bool_]:
    """(n_channels, n_sends): where a send holds an item that its user has seen and the channel excludes those."""
    n_items = len(context.items.value)
    known = np.repeat(np.arange(users.n), np.diff(users.seen_start)) * n_items + users.seen_item
    held = np.where(planned.item >= 0, planned.user[:, None] * n_items + planned.item, -1)
    excludes = np.array([channel.exclude_seen for channel in context.channels], dtype=np.bool_)
    seen = np.asarray(np.isin(held, known).any(axis=1))
    return excludes[:, None] & seen


def _inside(users: Users, user: IntArray, audience: npt.NDArray[np.int16]) -> npt.NDArray[np.bool_]:
    if not users.audience.shape[1]:
        return np.ones(audience.shape, dtype=np.bool_)
    return np.asarray(users.audience[user[:, None], np.maximum(audience, 0)], dtype=np.bool_)


@kernel
def _close(
    planned: Any, lane_open: Any, lane_full: Any, lane_touch: Any, blocked: Any, sent: Any, caps: Any, items: Any, lanes: Any,
    first_us: int, n_moments: int, no_item: Any, masks: Any,
) -> None:  # fmt: skip
    words, scratch = np.zeros(lane_open.shape[2], np.uint64), np.zeros(lane_open.shape[2], np.uint64)
    times = np.empty(max(1, len(sent.us)), np.int64)
    for s in range(len(planned.user)):
        u, lane, moment = planned.user[s], planned.lane[s], planned.moment[s]
        if lane < 0:
            continue
        if not has(lane_open[u, lane], moment):
            masks[s] |= lane_full[u, lane] if lane_full[u, lane] else lane_touch[u, lane]
        for i in range(planned.item.shape[1]):
            item = planned.item[s, i]
            if item < 0:
                continue
            full, touch = item_moments(
                u, lane, item, lanes.channel[lane], lanes.item_class[lane], lane_open[u, lane], blocked, sent, caps, items,
                first_us, n_moments, words, scratch, times,
            )  # fmt: skip
            if not has(words, moment) and has(lane_open[u, lane], moment):
                masks[s] |= full if full else touch


def _fits(planned: Planned, usable: npt.NDArray[np.bool_], users: Users, verdict: Verdict, context: PlanContext) -> npt.NDArray[np.bool_]:
    """True for the sends of the most valuable set that all caps allow together."""
    lane = np.maximum(planned.lane, 0)
    channel, zone = context.lanes.channel[lane], verdict.clock.zone[planned.user]
    items = np.where(planned.item >= 0, context.items.categories[np.maximum(planned.item, 0)], np.uint64(0))
    pool = Pool(
        start=np.searchsorted(planned.user, np.arange(users.n + 1)).astype(np.int64),
        channel=channel,
        item_class=context.lanes.item_class[lane],
        us=context.grid.first_us + STEP_US * planned.moment,
        content=np.arange(len(planned.user)),
        categories=np.bitwise_or.reduce(items, axis=1) if items.size else np.zeros(len(planned.user), dtype=np.uint64),
        item=planned.item,
        period=np.ascontiguousarray(verdict.periods[:, zone, planned.moment]),
        value=np.maximum(planned.value, 1e-9),
        price=np.zeros(len(planned.user)),
        tie=np.arange(len(planned.user)),
        order=context.name_order[channel],
        usable=usable.astype(np.uint8),
    )
    sends = users.sends
    past = Past(
        sends.start, sends.us, sends.channel, sends.item_class, sends.categories, verdict.clock.periods_of_sends(sends.start, sends.us)
    )
    return select(pool, past, verdict.room, context.caps, fatigues_of((), context.names), context.settings.node_limit).chosen


def _told(stays: npt.NDArray[np.bool_], past: npt.NDArray[np.bool_], masks: Masks, context: PlanContext) -> Mapping[str, int]:
    names = reason_names(context.rules)
    heads = headlines(masks, by_precedence(context.rules))
    gone = np.flatnonzero(~stays)
    return Counter(PAST if past[s] else names[int(heads[s])] if heads[s] >= 0 else CAPS for s in gone)
