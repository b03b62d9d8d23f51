"""Offers and prices → what each user is sent: the best set, with one channel's part of it left to chance for those who explore."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.ahead import cost_ahead
from notif_rec.planning.arms import BEST, arms_of, drawn, explored_channel, idle_propensities, propensities
from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.cells import Takings, takings_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offered import Offers
from notif_rec.planning.select import Selection, select
from notif_rec.planning.tiring import appraise, new_tiring
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
TRANSACTIONAL = CLASSES.index("transactional")


@dataclass(frozen=True)
class Choice:
    """Per offer: sent, shadow (held out: would have been sent), discount (what fatigue, its own on later sends too, leaves of its
    value), propensity (nan for
    shadows). Per user: explored (the channel on which chance decided, BEST = none), nothing (and said nothing), idle_propensity
    (n_channels, n_users) (the probability of no marketing send on each), by_chance and idle_by_chance (the part of propensity and of
    idle_propensity that comes from exploring that very channel), value (of the sends, fatigue counted, prices not), bound
    (no feasible set is worth more, prices paid), nodes (search steps), overruled (the quotas' repair chose instead, so that no
    propensity is known). Per offer again: dear (not worth what the quotas charge, or of one that is used up).
    """

    sent: BoolArray
    shadow: BoolArray
    discount: FloatArray
    propensity: FloatArray
    explored: IntArray
    nothing: BoolArray
    idle_propensity: FloatArray
    by_chance: FloatArray
    idle_by_chance: FloatArray
    value: FloatArray
    bound: FloatArray
    nodes: IntArray
    overruled: BoolArray
    dear: BoolArray


def choose(offers: Offers, context: PlanContext, takings: Takings | None = None) -> Choice:
    """What to send of `offers` at the context's prices; depends on nothing but each user's own offers. takings: where they are known.

    Held-out users get the best transactional sends alone; the marketing part of their best set is their shadow. Users who explore
    get, on one channel, one marketing offer or none by chance, beside what the best set holds elsewhere. Who is overruled gets that.
    """
    pool, past, owner = pool_of(offers, context, takings), past_of(offers), offers.owner()
    charged, ahead = pool.price, cost_ahead(pool, offers.users, context)
    pool = pool._replace(price=charged + ahead)
    marketing, held = pool.item_class != TRANSACTIONAL, offers.verdict.held
    best = _select(pool, past, offers, context)
    urgent = best if not held.any() else _select(pool._replace(usable=_urgent(pool, marketing, held[owner])), past, offers, context)
    luck = _luck(offers, pool, past, best.chosen, marketing, ahead, context)
    sent = np.where(held[owner], urgent.chosen, luck.sent)
    shadow = held[owner] & best.chosen & marketing
    value = _appraised(pool, past, sent, ahead, context)[1]
    explores, paid = luck.channel != BEST, np.bincount(owner[sent], weights=charged[sent], minlength=offers.users.n)
    reach = np.where(held, urgent.bound, np.where(explores, value - paid, best.bound))
    ruled, sent = _overruled(offers, sent, context)
    drawn = marketing & (luck.channel[owner] == pool.channel)  # keeps its chance whatever becomes of the rest
    discount, value = _appraised(pool, past, sent, ahead, context)
    if shadow.any():
        discount = np.where(shadow, _appraised(pool, past, best.chosen, ahead, context)[0], discount)
    return Choice(
        sent=sent,
        shadow=shadow,
        discount=discount,
        propensity=np.where(shadow | ruled[owner] & ~drawn, np.nan, np.where(held[owner], urgent.chosen, luck.propensity)),
        explored=luck.channel,
        nothing=luck.nothing,
        idle_propensity=luck.idle_propensity,
        by_chance=luck.by_chance,
        idle_by_chance=luck.idle_by_chance,
        value=value,
        bound=reach,
        nodes=best.nodes,
        overruled=ruled,
        dear=_dear(pool, past, charged, ahead, context, offers.barred),
    )


def best_sets(offers: Offers, context: PlanContext) -> Selection:
    """Each user's best set at the context's prices, whatever chance or the quotas' repair would make of it."""
    pool, owner = pool_of(offers, context), offers.owner()
    pool = pool._replace(price=pool.price + cost_ahead(pool, offers.users, context))
    closed = offers.verdict.held[owner] & (pool.item_class != TRANSACTIONAL)
    return _select(pool._replace(usable=np.where(closed, np.uint8(0), pool.usable)), past_of(offers), offers, context)


def _dear(
    pool: Pool, past: Past, charged: FloatArray, ahead: FloatArray, context: PlanContext, barred: BoolArray | None = None
) -> BoolArray:
    """(n_offers,) what is not worth what the quotas charge, or takes of one that is used up."""
    dear = charged > 0
    if dear.any():
        left, _ = _appraised(pool, past, dear, ahead, context, alone=True)
        dear = dear & (pool.value * left <= charged)
    shut = pool.usable == 0 if barred is None else (pool.usable == 0) & ~barred
    return np.asarray(dear | shut, dtype=np.bool_)


def _overruled(offers: Offers, sent: BoolArray, context: PlanContext) -> tuple[BoolArray, BoolArray]:
    """(n_users,) whose choice is overruled, and (n_offers,) what is sent then."""
    ruled, owner = context.overruled, offers.owner()
    at = np.searchsorted(ruled.user, offers.users.user)
    known = at < len(ruled.user)
    known[known] = ruled.user[at[known]] == offers.users.user[known]
    if not known.any():
        return known, sent
    bits = ruled.bits[np.minimum(at, len(ruled.bits) - 1)][owner]
    place = (np.arange(offers.n) - offers.start[owner]).astype(np.uint64)
    return known, np.where(known[owner], (bits >> place & np.uint64(1)) == 1, sent)


@dataclass(frozen=True)
class Luck:
    """What is sent where nobody is held out: as the fields of Choice; nothing, only where there was something to draw from."""

    sent: BoolArray
    channel: IntArray
    nothing: BoolArray
    propensity: FloatArray
    idle_propensity: FloatArray
    by_chance: FloatArray
    idle_by_chance: FloatArray


def _luck(offers: Offers, pool: Pool, past: Past, best: BoolArray, marketing: BoolArray, ahead: FloatArray, context: PlanContext) -> Luck:
    settings, users, owner, n_channels = context.settings, offers.users, offers.owner(), len(context.channels)
    if settings.exploration <= 0:
        idle = np.ones((n_channels, users.n))
        idle[pool.channel[best & marketing], owner[best & marketing]] = 0.0
        nobody = np.full(users.n, BEST, dtype=np.int64)
        never = np.zeros(offers.n), np.zeros((n_channels, users.n))
        return Luck(best, nobody, np.zeros(users.n, dtype=np.bool_), best.astype(np.float64), idle, *never)
    arms = arms_of(offers, pool, past, best, marketing, context, ahead)
    channel = np.where(offers.verdict.held, BEST, explored_channel(users.user_hash, settings, n_channels))
    hit, on = drawn(arms, channel, offers, pool, settings), np.maximum(channel, 0)
    stays = best & ~(marketing & (pool.channel == channel[owner]))
    nothing = (channel != BEST) & (arms.n[on, np.arange(users.n)] > 0) & (np.bincount(owner[hit], minlength=users.n) == 0)
    idle = idle_propensities(arms, best, marketing, pool.channel, owner)
    return Luck(stays | hit, channel, nothing, propensities(arms, best, marketing), idle, arms.share * arms.chance, arms.share * arms.idle)


def _urgent(pool: Pool, marketing: BoolArray, held: BoolArray) -> npt.NDArray[np.uint8]:
    """1 for the offers that a held-out user may get."""
    return (pool.usable.astype(np.bool_) & ~marketing & held).astype(np.uint8)


def pool_of(offers: Offers, context: PlanContext, takings: Takings | None = None) -> Pool:
    """The offers as the search takes them, at the context's prices; `takings`, where they are known already."""
    owner, lanes, verdict = offers.owner(), context.lanes, offers.verdict
    channel, zone = lanes.channel[offers.lane], verdict.clock.zone[owner]
    price, usable = _charged(takings or takings_by(offers, context), context.market, offers.n)
    usable = usable if offers.barred is None else np.where(offers.barred, np.uint8(0), usable)
    return Pool(
        start=offers.start,
        channel=channel,
        item_class=lanes.item_class[offers.lane],
        us=context.grid.first_us + STEP_US * offers.moment,
        content=offers.content,
        categories=offers.categories,
        item=offers.item,
        period=np.ascontiguousarray(verdict.periods[:, zone, offers.moment]),
        value=offers.value,
        price=price,
        tie=offers.tie,
        order=context.name_order[channel],
        usable=usable,
    )


def past_of(offers: Offers) -> Past:
    sends = offers.users.sends
    periods = offers.verdict.clock.periods_of_sends(sends.start, sends.us)
    return Past(sends.start, sends.us, sends.channel, sends.item_class, sends.categories, periods)


def takings_by(offers: Offers, context: PlanContext) -> Takings:
    """What each offer takes of the quotas in play."""
    if not context.quotas:
        return Takings(np.zeros(offers.n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32))
    channel = context.lanes.channel[offers.lane]
    return takings_of(channel, offers.item, offers.categories, offers.owner(), offers.users.inside, context.limits)


def _charged(takings: Takings, market: Market | None, n: int) -> tuple[FloatArray, npt.NDArray[np.uint8]]:
    """(n_offers,) what each pays, and 1 where no quota that is used up stands in the way."""
    if market is None or not len(takings.cell):
        return np.zeros(n), np.ones(n, dtype=np.uint8)
    offer = np.repeat(np.arange(n), np.diff(takings.first))
    paid = np.bincount(offer, weights=(market.price / market.unit)[takings.cell] * takings.amount, minlength=n)
    barred = np.bincount(offer, weights=market.shut[takings.cell], minlength=n)
    return paid.astype(np.float64), (barred == 0).astype(np.uint8)


def _select(pool: Pool, past: Past, offers: Offers, context: PlanContext) -> Selection:
    return select(pool, past, offers.verdict.room, context.caps, context.fatigues, context.settings.node_limit)


def _appraised(
    pool: Pool, past: Past, chosen: BoolArray, ahead: FloatArray, context: PlanContext, *, alone: bool = False
) -> tuple[FloatArray, FloatArray]:
    discount, value = np.ones(len(chosen)), np.zeros(len(pool.start) - 1)
    tiring = new_tiring(int(np.diff(pool.start).max(initial=0)), len(context.fatigues.keep))
    appraise(pool, past, context.fatigues, tiring, chosen, alone, discount, value)
    if ahead.any():
        owner = np.repeat(np.arange(len(value)), np.diff(pool.start))
        value -= np.bincount(owner[chosen], weights=ahead[chosen], minlength=len(value))
        discount[chosen] -= ahead[chosen] / pool.value[chosen]
    return discount, value
