"""A user's offers: what could be sent, when, and what it is worth; at most `max_offers` of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.contents import MAX_BUILT, MAX_QUANTITY, fill_contents, item_moments
from notif_rec.planning.context import PlanContext
from notif_rec.planning.grid import STEP_US, has, is_empty
from notif_rec.planning.offer_space import Built, Chances, Made, Work
from notif_rec.planning.ranking import Ranking, rank_candidates
from notif_rec.planning.recovering import demoted, penalty_of
from notif_rec.planning.slots import MAX_SLOTS, find_slots
from notif_rec.planning.users import SentItems, Users, unpack_users
from notif_rec.planning.verdict import Verdict, judge
from notif_rec.scoring.engagement import CERTAIN
from notif_rec.scoring.send_time import hour_weights

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
SPARE = 1  # messages a lane prepares beyond its room


@dataclass(frozen=True)
class Offers:
    """Offers of a batch: user u owns rows start[u] to start[u + 1].

    lane, moment (index of the grid), content (the user's message it carries: equal = the same items), value, weight (of the
    hour; multiplies p_open and p_click), categories (bits), tie (order among equals: earlier ways and ranks, then time, then
    channel name). size, ranks: (n, ) and (n, widest) places of its items in the lane's ranking.
    fate: (n_lanes, n_users, k) bits of the reasons that close a candidate before any choice, 0 = could be sent.
    """

    users: Users
    verdict: Verdict
    ranking: Ranking
    start: IntArray
    lane: IntArray
    moment: IntArray
    content: IntArray
    value: FloatArray
    weight: FloatArray
    categories: npt.NDArray[np.uint64]
    tie: IntArray
    size: IntArray
    ranks: npt.NDArray[np.int16]
    fate: npt.NDArray[np.uint64]

    @property
    def n(self) -> int:
        return len(self.lane)

    def owner(self) -> IntArray:
        """The user (place in the batch) of each offer."""
        return np.repeat(np.arange(self.users.n), np.diff(self.start))

    def items_of(self, rows: IntArray | slice = slice(None)) -> npt.NDArray[np.int32]:
        """(n_rows, widest) model rows of the items of some offers, -1 beyond their size."""
        ranks = self.ranks[rows]
        item = self.ranking.item[self.lane[rows][:, None], self.owner()[rows][:, None], np.maximum(ranks, 0)]
        return np.where(ranks >= 0, item, np.int32(-1)).astype(np.int32)


def make_offers(batch: pa.RecordBatch, context: PlanContext, *, everything: bool = False) -> Offers:
    """The offers of every user in `batch` (tables.PLANNING_INPUT), whatever the prices."""
    users = unpack_users(batch, context.lookup, len(context.channels), len(context.audiences))
    verdict = judge(users, context)
    ranking = demoted(rank_candidates(users, verdict, context, everything=everything), users, context)
    made, counts, fate = _build(users, verdict, ranking, context)
    return _compressed(users, verdict, ranking, made, counts, fate, context)


def _build(users: Users, verdict: Verdict, ranking: Ranking, context: PlanContext) -> tuple[Made, IntArray, npt.NDArray[np.uint64]]:
    worth, lanes, grid = context.settings.worth, context.lanes, context.grid
    widest = int(lanes.size.max(initial=1))
    shape = (users.n, context.settings.max_offers)
    made = Made(
        lane=np.zeros(shape, dtype=np.int8),
        moment=np.zeros(shape, dtype=np.int32),
        content=np.zeros(shape, dtype=np.int16),
        value=np.zeros(shape),
        weight=np.zeros(shape),
        categories=np.zeros(shape, dtype=np.uint64),
        size=np.zeros(shape, dtype=np.int16),
        ranks=np.full((*shape, widest), -1, dtype=np.int16),
    )
    weights = hour_weights(context.engagement.hours, users.hours)
    rates = ranking.p_click, ranking.p_open, ranking.p_unsubscribe
    chances = Chances(*rates, weights, worth.opened, worth.clicked, worth.unsubscribed, context.recoveries)
    counts, fate = np.zeros(users.n, dtype=np.int64), np.zeros(ranking.item.shape, dtype=np.uint64)
    built, work = _scratch(widest, grid.n_words, context)
    _offer(
        ranking.item, verdict.open, verdict.full, verdict.touch, verdict.blocked, verdict.room, users.sent_items, context.caps,
        context.facts, lanes, chances, verdict.clock.zone, verdict.hour, grid.first_us, grid.n, built, work, made, counts, fate,
    )  # fmt: skip
    return made, counts, fate


def _scratch(widest: int, n_words: int, context: PlanContext) -> tuple[Built, Work]:
    quantity = MAX_QUANTITY + SPARE
    built = Built(
        lane=np.zeros(MAX_BUILT, dtype=np.int64),
        way=np.zeros(MAX_BUILT, dtype=np.int64),
        order=np.zeros(MAX_BUILT, dtype=np.int64),
        size=np.zeros(MAX_BUILT, dtype=np.int64),
        ranks=np.zeros((MAX_BUILT, widest), dtype=np.int16),
        moments=np.zeros((MAX_BUILT, n_words), dtype=np.uint64),
    )
    work = Work(
        np.zeros(quantity * widest * max(1, len(context.lanes.channel)), dtype=np.int32),
        np.zeros(context.settings.candidates, dtype=np.uint8),
        np.zeros((quantity, widest), dtype=np.int16),
        np.zeros(quantity, dtype=np.int64),
        np.zeros((quantity, n_words), dtype=np.uint64),
    )
    return built, work


def _compressed(
    users: Users, verdict: Verdict, ranking: Ranking, made: Made, counts: IntArray, fate: npt.NDArray[np.uint64], context: PlanContext
) -> Offers:
    kept = np.arange(context.settings.max_offers)[None, :] < counts[:, None]
    lane, moment, content = (a[kept].astype(np.int64) for a in (made.lane, made.moment, made.content))
    ranks = made.ranks[kept]
    return Offers(
        users=users,
        verdict=verdict,
        ranking=ranking,
        start=np.concatenate(([0], np.cumsum(counts))),
        lane=lane,
        moment=moment,
        content=content,
        value=made.value[kept],
        weight=made.weight[kept],
        categories=made.categories[kept],
        tie=((content << 16) + moment) * 64 + context.name_order[context.lanes.channel[lane]],
        size=made.size[kept].astype(np.int64),
        ranks=ranks,
        fate=fate,
    )


@kernel
def _offer(
    item: Any, lane_open: Any, lane_full: Any, lane_touch: Any, blocked: Any, room: Any, sent: SentItems, caps: Any, items: Any,
    lanes: Any, chances: Any, zone: Any, hour: Any, first_us: int, n_moments: int, built: Any, work: Any, made: Any, counts: Any,
    fate: Any,
) -> None:  # fmt: skip
    n_lanes, n_users, k = item.shape
    words = np.zeros((n_lanes, k, lane_open.shape[2]), np.uint64)
    scratch = np.zeros(lane_open.shape[2], np.uint64)
    times = np.empty(max(1, len(sent.us)), np.int64)
    slots = np.empty((n_lanes, MAX_SLOTS), np.int64)
    anchors = np.empty(max(1, n_moments), np.float64)
    for u in range(n_users):
        for lane in range(n_lanes):
            channel, item_class = lanes.channel[lane], lanes.item_class[lane]
            for r in range(k):
                if item[lane, u, r] < 0:
                    break
                full, touch = item_moments(
                    u, lane, item[lane, u, r], channel, item_class, lane_open[u, lane], blocked, sent, caps, items,
                    first_us, n_moments, words[lane, r], scratch, times,
                )  # fmt: skip
                full |= lane_full[u, lane]
                if full:
                    fate[lane, u, r] = full
                elif is_empty(words[lane, r]):
                    fate[lane, u, r] = touch | lane_touch[u, lane]
        n_built = fill_contents(u, item, words, room[u], lanes, items.categories, SPARE, work, built)
        find_slots(chances.hour_weight[u], lane_open[u], room[u], hour[zone[u]], lanes, n_moments, slots, anchors)
        counts[u] = _meet(u, n_built, built, slots, item, hour[zone[u]], n_moments, items, lanes, chances, sent, first_us, made)


@inner
def _meet(
    u: int, n_built: int, built: Any, slots: Any, item: Any, hour: Any, n_moments: int, items: Any, lanes: Any, chances: Any, sent: Any,
    first_us: int, made: Any,
) -> int:  # fmt: skip
    """Gives messages their moments, round after round, until the user's offers are full; returns how many there are.

    In round s a plain message gets its s-th moment, the alternatives one round later and later.
    """
    n, limit = 0, made.lane.shape[1]
    for turn in range(MAX_SLOTS + 3):
        for b in range(n_built):
            s = turn - built.way[b]
            if s < 0 or n == limit:
                continue
            moment = _pick(built.moments[b], slots[built.lane[b]], built.order[b], s, n_moments)
            if moment < 0 or _is_old(u, b, moment, built, item, lanes, sent, first_us):
                continue
            channel = lanes.channel[built.lane[b]]
            weight = chances.hour_weight[u, channel, hour[moment]]
            value = _value(u, b, weight, built, item, items, channel, chances)
            value -= _penalty(u, b, first_us + moment * STEP_US, built, item, lanes, sent, chances.recoveries)
            if value <= 0.0:
                continue
            made.lane[u, n], made.moment[u, n], made.content[u, n] = built.lane[b], moment, b
            made.value[u, n], made.weight[u, n], made.size[u, n] = value, weight, built.size[b]
            for i in range(built.size[b]):
                r = built.ranks[b, i]
                made.ranks[u, n, i] = r
                made.categories[u, n] |= items.categories[item[built.lane[b], u, r]]
            n += 1
    return n


@inner
def _pick(moments: Any, slots: Any, order: int, s: int, n_moments: int) -> int:
    """The s-th moment of a message: the slot of its place, then the others from the best; its first open moment where no slot is."""
    found = 0
    if order < len(slots) and slots[order] >= 0 and has(moments, slots[order]):
        if s == 0:
            return int(slots[order])
        found = 1
    for i in range(len(slots)):
        if slots[i] < 0:
            break
        if i != order and has(moments, slots[i]):
            if found == s:
                return int(slots[i])
            found += 1
    if found == 0 and s == 0:
        for k in range(n_moments):
            if has(moments, k):
                return k
    return -1


@inner
def _value(u: int, b: int, weight: float, built: Any, item: Any, items: Any, channel: int, chances: Any) -> float:
    """worth(opened)·p_open + worth(clicked)·Σ item value·p_click + worth(unsubscribed)·p_unsubscribe."""
    clicks = 0.0
    lane = built.lane[b]
    for i in range(built.size[b]):
        r = built.ranks[b, i]
        clicks += items.value[item[lane, u, r]] * inside(chances.p_click[lane, u, r] * weight)
    opened = chances.opened * inside(chances.p_open[u, channel] * weight)
    return float(opened + chances.clicked * clicks + chances.unsubscribed * chances.p_unsubscribe[u, channel])


@inner
def _penalty(u: int, b: int, us: int, built: Any, item: Any, lanes: Any, sent: Any, recoveries: Any) -> float:
    """What the items of a message lose because the user was sent them of late."""
    lane, total = built.lane[b], 0.0
    for i in range(built.size[b] if len(recoveries.penalty) else 0):
        total += penalty_of(u, item[lane, u, built.ranks[b, i]], lanes.channel[lane], lanes.item_class[lane], us, sent, recoveries)
    return total


@inner
def inside(p: float) -> float:
    """A probability kept off 0 and 1."""
    return min(max(p, CERTAIN), 1.0 - CERTAIN)


@inner
def _is_old(u: int, b: int, moment: int, built: Any, item: Any, lanes: Any, sent: Any, first_us: int) -> bool:
    """Whether a known send on the same channel, planned for the same UTC day, held exactly these items: its key is taken."""
    channel, lane = lanes.channel[built.lane[b]], built.lane[b]
    day = (first_us + moment * STEP_US) // 86_400_000_000
    wanted = item[lane, u, built.ranks[b, 0]]
    for i in range(sent.start[u], sent.start[u + 1]):
        if sent.item[i] != wanted or sent.channel[i] != channel or sent.day[i] != day:
            continue
        n_same, n_all = 0, 0
        for k in range(sent.start[u], sent.start[u + 1]):
            if sent.send[k] == sent.send[i]:
                n_all += 1
                for j in range(built.size[b]):
                    if item[lane, u, built.ranks[b, j]] == sent.item[k]:
                        n_same += 1
        if n_same == built.size[b] and n_all == n_same:
            return True
    return False
