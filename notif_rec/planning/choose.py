"""Offers and prices → what each user is sent: the best set, with one channel's part of it left to chance for those who explore."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.ahead import cost_ahead
from notif_rec.planning.arms import BEST, arms_of, drawn, explored_channel, idle_propensities, propensities
from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.context import PlanContext, Prices
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offers import Offers
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
    (no feasible set is worth more, prices paid), nodes (search steps).
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


def choose(offers: Offers, context: PlanContext, prices: Prices | None = None) -> Choice:
    """What to send of `offers` at `prices` (the context's unless given); depends on nothing but each user's own offers.

    Held-out users get the best transactional sends alone; the marketing part of their best set is their shadow. Users who explore
    get, on one channel, one marketing offer or none by chance, beside what the best set holds elsewhere.
    """
    pool, past, owner = pool_of(offers, context, prices or context.prices), past_of(offers), offers.owner()
    ahead = cost_ahead(pool, offers.users, context)
    pool = pool._replace(price=pool.price + ahead)
    marketing, held = pool.item_class != TRANSACTIONAL, offers.verdict.held
    best = _select(pool, past, offers, context)
    urgent = best if not held.any() else _select(pool._replace(usable=_urgent(pool, marketing, held[owner])), past, offers, context)
    luck = _luck(offers, pool, past, best.chosen, marketing, ahead, context)
    sent = np.where(held[owner], urgent.chosen, luck.sent)
    shadow = held[owner] & best.chosen & marketing
    discount, value = _appraised(pool, past, sent, ahead, context)
    if shadow.any():
        discount = np.where(shadow, _appraised(pool, past, best.chosen, ahead, context)[0], discount)
    explores, paid = luck.channel != BEST, np.bincount(owner[sent], weights=(pool.price - ahead)[sent], minlength=offers.users.n)
    reach = np.where(held, urgent.bound, np.where(explores, value - paid, best.bound))
    return Choice(
        sent=sent,
        shadow=shadow,
        discount=discount,
        propensity=np.where(shadow, np.nan, np.where(held[owner], urgent.chosen, luck.propensity)),
        explored=luck.channel,
        nothing=luck.nothing,
        idle_propensity=luck.idle_propensity,
        by_chance=luck.by_chance,
        idle_by_chance=luck.idle_by_chance,
        value=value,
        bound=reach,
        nodes=best.nodes,
    )


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


def pool_of(offers: Offers, context: PlanContext, prices: Prices) -> Pool:
    """The offers as the search takes them."""
    owner, lanes, verdict = offers.owner(), context.lanes, offers.verdict
    channel, item, zone = lanes.channel[offers.lane], offers.items_of(), verdict.clock.zone[owner]
    return Pool(
        start=offers.start,
        channel=channel,
        item_class=lanes.item_class[offers.lane],
        us=context.grid.first_us + STEP_US * offers.moment,
        content=offers.content,
        categories=offers.categories,
        item=item,
        period=np.ascontiguousarray(verdict.periods[:, zone, offers.moment]),
        value=offers.value,
        price=prices_of(channel, item, offers.categories, prices),
        tie=offers.tie,
        order=context.name_order[channel],
        usable=_open(channel, item, offers.categories, context),
    )


def past_of(offers: Offers) -> Past:
    sends = offers.users.sends
    periods = offers.verdict.clock.periods_of_sends(sends.start, sends.us)
    return Past(sends.start, sends.us, sends.channel, sends.item_class, sends.categories, periods)


def prices_of(channel: IntArray, item: npt.NDArray[np.int32], categories: npt.NDArray[np.uint64], prices: Prices) -> FloatArray:
    """(n_offers,) what each pays: its channel's price, each item's, each named category's."""
    paid = np.array(prices.channel, dtype=np.float64)[channel] if prices.channel else np.zeros(len(channel))
    if prices.item is not None:
        paid = paid + np.where(item >= 0, prices.item[np.maximum(item, 0)], 0.0).sum(axis=1)
    for number, price in enumerate(prices.category):
        paid = paid + np.where(categories >> np.uint64(number) & np.uint64(1), price, 0.0)
    return paid


def _open(
    channel: IntArray, item: npt.NDArray[np.int32], categories: npt.NDArray[np.uint64], context: PlanContext
) -> npt.NDArray[np.uint8]:
    """1 where no quota that is used up stands in the way."""
    closed = context.closed
    shut = np.isin(channel, [context.names.index(name) for name in closed.channels]) | ((categories & np.uint64(closed.categories)) != 0)
    shut |= np.isin(item, np.array(closed.items, dtype=np.int32)).any(axis=1)
    return np.asarray(~shut, dtype=np.uint8)


def _select(pool: Pool, past: Past, offers: Offers, context: PlanContext) -> Selection:
    return select(pool, past, offers.verdict.room, context.caps, context.fatigues, context.settings.node_limit)


def _appraised(pool: Pool, past: Past, chosen: BoolArray, ahead: FloatArray, context: PlanContext) -> tuple[FloatArray, FloatArray]:
    discount, value = np.ones(len(chosen)), np.zeros(len(pool.start) - 1)
    tiring = new_tiring(int(np.diff(pool.start).max(initial=0)), len(context.fatigues.keep))
    appraise(pool, past, context.fatigues, tiring, chosen, discount, value)
    if ahead.any():
        owner = np.repeat(np.arange(len(value)), np.diff(pool.start))
        value -= np.bincount(owner[chosen], weights=ahead[chosen], minlength=len(value))
        discount[chosen] -= ahead[chosen] / pool.value[chosen]
    return discount, value
