"""What k sends a week on a channel would bring a user and cost, and how many of them are asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.chance import draw_key, mixed
from notif_rec.planning.context import PlanContext
from notif_rec.planning.offered import Offers, unpack_offers
from notif_rec.planning.weekly import WEEK_US, Weekly, concave_slopes
from notif_rec.tables import CLASSES, schema

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
MARKETING = CLASSES.index("marketing")
FULL = 1e-9  # a fatigue of strength 1 leaves this of a value
ASKED = schema(channel=pa.int8(), tie=pa.int64(), held=pa.bool_(), slopes=pa.list_(pa.float64()))  # one row a user who can be reached


@dataclass(frozen=True)
class Demand:
    """What users ask of a channel's week. spent: (n_users,) marketing sends in the week that ends with the plan; reached: has offers.

    slopes: (n_users, most) what each further send adds on the envelope, not rising; inf up to the least, 0 = not wanted. tie: 53 bits
    that chance gives the user this week.
    """

    spent: IntArray
    reached: BoolArray
    slopes: FloatArray
    tie: IntArray


def asked_batch(offers: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """What the users in `offers` (tables.OFFERS) ask of each channel that has a weekly budget: ASKED."""
    made, rows = unpack_offers(offers, context), list[pa.RecordBatch]()
    for channel, weekly in enumerate(context.weekly):
        if weekly is None:
            continue
        found = demand_of(made, context, channel, weekly)
        some = np.flatnonzero(found.reached)
        width = np.full(len(some), weekly.most, np.int32)
        ends = pa.array(np.concatenate(([0], np.cumsum(width, dtype=np.int32))), pa.int32())
        slopes = pa.ListArray.from_arrays(ends, pa.array(found.slopes[some].ravel()))
        flat = [np.full(len(some), channel, np.int8), found.tie[some], made.verdict.held[some]]
        rows.append(pa.RecordBatch.from_arrays([*map(pa.array, flat), slopes], schema=ASKED))
    return pa.concat_batches(rows)


def demand_of(offers: Offers, context: PlanContext, channel: int, weekly: Weekly) -> Demand:
    """The demand of the users of a batch; depends on nothing but each user's own offers and sends."""
    spent = np.bincount(own_sends(offers, context, channel, context.settings.end_us - WEEK_US), minlength=offers.users.n)
    worth, reached = week_worth(offers, context, channel, weekly.most, spent)
    first = np.maximum(spent, min(weekly.least, weekly.most))
    steps = first[:, None] + np.arange(weekly.most + 1)
    ahead = np.where(steps <= weekly.most, np.take_along_axis(worth, np.minimum(steps, weekly.most), axis=1), -np.inf)
    slopes = (
        concave_slopes(ahead).astype(np.float32).astype(np.float64)
    )  # powers may differ in the last bit where batches are cut otherwise
    owed = np.arange(weekly.most)[None, :] - (first - spent)[:, None]
    slopes = np.where(owed < 0, np.inf, np.take_along_axis(np.where(slopes > 0, slopes, 0.0), np.maximum(owed, 0), axis=1))
    key = draw_key(context.settings.seed, f"weekly|{context.names[channel]}", context.settings.as_of_us // WEEK_US)
    tie = mixed(offers.users.user_hash ^ np.uint64(key)) >> np.uint64(11)
    return Demand(spent, reached, np.where(reached[:, None], slopes, 0.0), tie.astype(np.int64))


def week_worth(offers: Offers, context: PlanContext, channel: int, most: int, spent: IntArray) -> tuple[FloatArray, BoolArray]:
    """(n_users, most + 1) what k marketing sends a week, evenly spaced, are worth to each user; and who has offers there.

    U(k) = Σ over j ≤ k of (v_j − c) · tired(k) + k·c: v_j the value of the j-th message of the week, c what its risk of an opt-out costs,
    which tires nobody; tired(k) what fatigue leaves of each where k a week have long been sent. After those that were spent come the
    user's best messages now, one after the other, beyond the last as the last; each that was spent counts as the best of them.
    """
    best, reached = _best_messages(offers, context, channel, most)
    best = np.take_along_axis(best, np.maximum(np.arange(most)[None, :] - spent[:, None], 0), axis=1)
    cost = context.settings.worth.unsubscribed * offers.p_unsubscribe[:, channel]
    brought = np.cumsum(best - cost[:, None], axis=1) * _tired(offers, context, channel, most)
    worth = brought + cost[:, None] * np.arange(1, most + 1)
    return np.concatenate([np.zeros((offers.users.n, 1)), worth], axis=1), reached


def _best_messages(offers: Offers, context: PlanContext, channel: int, most: int) -> tuple[FloatArray, BoolArray]:
    """(n_users, most) the values of a user's different marketing messages on a channel, the best first and the last repeated."""
    lanes = context.lanes
    rows = np.flatnonzero((lanes.channel[offers.lane] == channel) & (lanes.item_class[offers.lane] == MARKETING))
    owner, content, value = offers.owner()[rows], offers.content[rows], offers.value[rows]
    place, known = places_of(owner, content, value), np.zeros(offers.users.n, np.int64)
    np.maximum.at(known, owner, place + 1)
    table, inside = np.zeros((offers.users.n, most)), place < most
    np.maximum.at(table, (owner[inside], place[inside]), value[inside])
    last = np.maximum(np.minimum(known, most) - 1, 0)
    return np.take_along_axis(table, np.minimum(np.arange(most)[None, :], last[:, None]), axis=1), known > 0


def places_of(owner: IntArray, content: IntArray, value: FloatArray) -> IntArray:
    """Of each offer, the place of its message among those of its user, by the best value of each; ties by content."""
    order, place = np.lexsort((-value, content, owner)), np.zeros(len(owner), np.int64)
    first = np.ones(len(order), np.bool_)
    first[1:] = (owner[order][1:] != owner[order][:-1]) | (content[order][1:] != content[order][:-1])
    best = order[first]  # the most valuable offer of each message
    ranked = np.lexsort((content[best], -value[best], owner[best]))
    whose, of_message = owner[best][ranked], np.zeros(len(best), np.int64)
    of_message[ranked] = np.arange(len(ranked)) - np.searchsorted(whose, whose)
    place[order] = of_message[np.cumsum(first) - 1]
    return place


def _tired(offers: Offers, context: PlanContext, channel: int, most: int) -> FloatArray:
    """(n_users, most) what fatigue leaves of a send's value where k a week are sent, k from 1.

    Sends at even distances of week / k leave F(k) = 1 / (2^(week / (k·h)) − 1) of fatigue before each; sends on other channels what they
    leave now. Where values know of earlier sends already, only what k adds to those on the channel counts.
    """
    fatigues, users, now = context.fatigues, offers.users, context.settings.as_of_us
    left, sends = np.ones((users.n, most)), users.sends
    owner = np.repeat(np.arange(users.n), np.diff(sends.start))
    for row in np.flatnonzero((fatigues.channels[:, channel] > 0) & (fatigues.binds[:, MARKETING] > 0)):
        half_life, own = float(fatigues.half_life_us[row]), sends.channel == channel
        counted = (sends.us < now) & (sends.channel >= 0) & (fatigues.tires[row, sends.channel] > 0)
        counted &= fatigues.counts[row, sends.item_class] > 0
        left_by = np.where(counted, np.exp2((sends.us - now) / half_life), 0.0)
        mine, others = (np.bincount(owner, np.where(own == which, left_by, 0.0), users.n) for which in (True, False))
        counts = bool(fatigues.tires[row, channel]) and bool(fatigues.counts[row, MARKETING])
        steady = 1.0 / np.expm1(np.log(2.0) * WEEK_US / (np.arange(1, most + 1) * half_life)) if counts else np.zeros(most)
        known = fatigues.since_us[row] > 0
        felt = np.maximum(steady[None, :] - mine[:, None], 0.0) if known else steady[None, :] + others[:, None]
        left *= max(float(fatigues.keep[row]), FULL) ** felt
    return left


def own_sends(offers: Offers, context: PlanContext, channel: int, since_us: int | IntArray) -> IntArray:
    """The user (place in the batch) of each of our marketing sends on a channel from `since_us` on, reserved ones as well."""
    sends, users = offers.users.sends, offers.users.n
    owner = np.repeat(np.arange(users), np.diff(sends.start))
    since = np.broadcast_to(np.asarray(since_us, np.int64), (users,))[owner]
    mine: IntArray = owner[(sends.ours > 0) & (sends.channel == channel) & (sends.item_class == MARKETING) & (sends.us >= since)]
    return mine
