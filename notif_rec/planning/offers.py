"""A user's offers: what could be sent, when, and what it is worth; at most `max_offers` of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.contents import MAX_BUILT, MAX_QUANTITY, fill_contents, find_item, item_moments
from notif_rec.planning.context import SHORT_SPACING, PlanContext
from notif_rec.planning.drops import count_closed
from notif_rec.planning.grid import STEP_US, has, is_empty
from notif_rec.planning.offer_space import Built, Chances, Made, Work
from notif_rec.planning.offered import Offers, Recipients, Standing, pack_offers, ties
from notif_rec.planning.pacing import paced
from notif_rec.planning.ranking import Ranking, rank_candidates
from notif_rec.planning.recovering import demoted, penalty_of
from notif_rec.planning.slots import MAX_SLOTS, TOGETHER, find_slots
from notif_rec.planning.users import SentItems, Users, unpack_users
from notif_rec.planning.verdict import Verdict, judge
from notif_rec.scoring.engagement import CERTAIN
from notif_rec.scoring.send_time import hour_weights

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
SPARE = 1  # messages a lane prepares beyond its room
# In which order moments are given away, in thirds of a round: what is needed rarely comes late, so that few offers lose little.
ROUND = 3
LATE = (0, ROUND, ROUND, 2 * ROUND)  # by way of filling (contents.PLAIN and so on): alternatives, and those to one lane alone
ALIKE = 3  # rounds to a lane's next moment where no rule keeps a gap: there all can share the best one
TURNS = ROUND * (MAX_SLOTS + 4)


@dataclass(frozen=True)
class Considered:
    """A batch on the way to its offers. ranks: (n_offers, widest) places of an offer's items in its lane's ranking, -1 beyond its size.

    fate: (n_lanes, n_users, k) bits of the reasons that close a candidate before any choice, 0 = could be sent.
    """

    users: Users
    verdict: Verdict
    ranking: Ranking
    ranks: npt.NDArray[np.int16]
    fate: npt.NDArray[np.uint64]
    offers: Offers


def offer_batch(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """The offers of every user in `users` (tables.PLANNING_INPUT) as tables.OFFERS, whatever the prices."""
    return pack_offers(make_offers(users, context))


def make_offers(batch: pa.RecordBatch, context: PlanContext) -> Offers:
    """The offers of every user in `batch` (tables.PLANNING_INPUT), whatever the prices."""
    return consider(batch, context).offers


def consider(batch: pa.RecordBatch, context: PlanContext, *, everything: bool = False) -> Considered:
    """The offers, and what led to them; `everything`: also rankings that no moment is left for (explain)."""
    users = unpack_users(batch, context.lookup, len(context.channels), len(context.audiences))
    verdict = judge(users, context)
    ranking = demoted(rank_candidates(users, verdict, context, everything=everything), users, context)
    made, counts, fate = _build(users, verdict, ranking, context)
    kept = np.arange(context.settings.max_offers)[None, :] < counts[:, None]
    offers = paced(_offers(users, verdict, ranking, made, counts, kept, fate, context), context)
    return Considered(users, verdict, ranking, made.ranks[kept], fate, offers)


def _build(users: Users, verdict: Verdict, ranking: Ranking, context: PlanContext) -> tuple[Made, IntArray, npt.NDArray[np.uint64]]:
    worth, lanes, grid = context.settings.worth, context.lanes, context.grid
    widest, shape = int(lanes.size.max(initial=1)), (users.n, context.settings.max_offers)
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
    weights = hour_weights(context.engagement.hours, users.hours, users.segment)
    rates = ranking.p_click, ranking.p_open, ranking.p_unsubscribe, ranking.gain
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


def _offers(
    users: Users, verdict: Verdict, ranking: Ranking, made: Made, counts: IntArray, kept: npt.NDArray[np.bool_],
    fate: npt.NDArray[np.uint64], context: PlanContext,
) -> Offers:  # fmt: skip
    lane, moment, content = (a[kept].astype(np.int64) for a in (made.lane, made.moment, made.content))
    owner, ranks = np.repeat(np.arange(users.n), counts), made.ranks[kept]
    at = (lane[:, None], owner[:, None], np.maximum(ranks, 0))
    item, score, p_click, source = (
        np.where(ranks >= 0, values[at], np.array(empty, values.dtype))
        for values, empty in ((ranking.item, -1), (ranking.score, 0.0), (ranking.p_click, 0.0), (ranking.source, -1))
    )
    return Offers(
        users=Recipients(users.user, users.user_id, users.user_hash, users.audience, users.sends),
        verdict=Standing(verdict.room, verdict.held, verdict.clock, verdict.periods),
        start=np.concatenate(([0], np.cumsum(counts))),
        lane=lane,
        moment=moment,
        content=content,
        value=made.value[kept],
        weight=made.weight[kept],
        categories=made.categories[kept],
        tie=ties(content, moment, lane, context),
        size=made.size[kept].astype(np.int64),
        item=item,
        score=score,
        p_click=p_click,
        source=source,
        p_open=ranking.p_open[lane, owner, np.maximum(ranks[:, 0], 0)],
        p_unsubscribe=ranking.p_unsubscribe,
        open=((fate == 0) & (ranking.item >= 0)).sum(axis=2).T,
        closed=count_closed(verdict, ranking, fate, context),
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
    anchors, table = np.empty(max(1, n_moments), np.float64), np.empty((TOGETHER + 2, n_moments + 1), np.float64)
    for u in range(n_users):
        for lane in range(n_lanes):
            channel, item_class = lanes.channel[lane], lanes.item_class[lane]
            for r in range(k):
                if item[lane, u, r] < 0:
                    break
                full, touch = np.uint64(0), np.uint64(0)
                if items.plain[lane, item[lane, u, r]] and not _was_sent(u, item[lane, u, r], sent.start, sent.item):
                    for w in range(words.shape[2]):
                        words[lane, r, w] = lane_open[u, lane, w]
                else:
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
        find_slots(chances.hour_weight[u], lane_open[u], room[u], hour[zone[u]], lanes, n_moments, slots, anchors, table)
        counts[u] = _meet(u, n_built, built, room[u], slots, item, hour[zone[u]], n_moments, items, lanes, chances, sent, first_us, made)


@inner
def _was_sent(u: int, item: int, start: Any, sent_item: Any) -> bool:
    at = find_item(sent_item, start[u], start[u + 1], item)
    return bool(at < start[u + 1] and sent_item[at] == item)


@inner
def _meet(
    u: int, n_built: int, built: Any, room: Any, slots: Any, item: Any, hour: Any, n_moments: int, items: Any, lanes: Any, chances: Any,
    sent: Any, first_us: int, made: Any,
) -> int:  # fmt: skip
    """Gives messages their moments, turn after turn, until the user's offers are full; returns how many there are.

    A plain message gets its s-th moment in round s; alternatives, and what goes beyond the room, come later.
    """
    n, limit = 0, made.lane.shape[1]
    for turn in range(TURNS):
        for b in range(n_built):
            spare = built.order[b] >= room[lanes.channel[built.lane[b]]]
            late = turn - LATE[built.way[b]] - (ROUND if spare else 0) - min(built.order[b], ROUND - 1)
            step = ROUND if lanes.spacing[built.lane[b]] > SHORT_SPACING else ROUND * ALIKE
            if n == limit or late < 0 or late % step != 0:
                continue
            s = late // step
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
    """gain · (worth(opened)·p_open + worth(clicked)·Σ item value·p_click) + worth(unsubscribed)·p_unsubscribe."""
    clicks = 0.0
    lane = built.lane[b]
    for i in range(built.size[b]):
        r = built.ranks[b, i]
        clicks += items.value[item[lane, u, r]] * inside(chances.p_click[lane, u, r] * weight)
    opened = chances.opened * inside(chances.p_open[lane, u, built.ranks[b, 0]] * weight)
    return float(chances.gain[lane, u] * (opened + chances.clicked * clicks) + chances.unsubscribed * chances.p_unsubscribe[u, channel])


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
