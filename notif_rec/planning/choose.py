"""Offers and prices → what each user is sent: the best set, or by chance one marketing offer or none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.chance import draw_key, uniform
from notif_rec.planning.context import PlanContext, Prices
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offers import Offers
from notif_rec.planning.select import Selection, agreeing, select
from notif_rec.planning.tiring import appraise, new_tiring
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
TRANSACTIONAL = CLASSES.index("transactional")


@dataclass(frozen=True)
class Choice:
    """Per offer: sent, shadow (held out: would have been sent), discount (what fatigue leaves of its value), propensity (nan for
    shadows). Per user: explored (chance decided), nothing (and said nothing: with probability `nothing_propensity`), value (of
    the sends, fatigue counted, prices not), bound (no feasible set is worth more, prices paid), nodes (search steps).
    """

    sent: BoolArray
    shadow: BoolArray
    discount: FloatArray
    propensity: FloatArray
    explored: BoolArray
    nothing: BoolArray
    nothing_propensity: FloatArray
    value: FloatArray
    bound: FloatArray
    nodes: IntArray


@dataclass(frozen=True)
class Draw:
    """What chance would send: `agrees` marks the marketing offers it draws from, `n` how many; `drawn` the one it took, if any."""

    explored: BoolArray
    agrees: BoolArray
    n: IntArray
    drawn: BoolArray


def choose(offers: Offers, context: PlanContext, prices: Prices | None = None) -> Choice:
    """What to send of `offers` at `prices` (the context's unless given); depends on nothing but each user's own offers.

    Held-out users get the best transactional sends alone; the marketing part of their best set is their shadow. Users who explore
    keep the best transactional sends too; of the marketing offers that agree with these they get one or none, each as likely.
    """
    pool, past, owner = pool_of(offers, context, prices or context.prices), past_of(offers), offers.owner()
    marketing = pool.item_class != TRANSACTIONAL
    best = _select(pool, past, offers, context)
    urgent = best if not marketing.any() else _select(pool._replace(usable=(~marketing).astype(np.uint8)), past, offers, context)
    draw = _draw(offers, pool, past, urgent.chosen, marketing, context)
    held = offers.verdict.held
    sent = np.where(held[owner], urgent.chosen, np.where(draw.explored[owner], urgent.chosen | draw.drawn, best.chosen))
    shadow = held[owner] & best.chosen & marketing
    discount, value = _appraised(pool, past, sent, context)
    if shadow.any():
        discount = np.where(shadow, _appraised(pool, past, best.chosen, context)[0], discount)
    n_drawn = np.bincount(owner[draw.drawn], minlength=offers.users.n)
    reach = np.where(held, urgent.bound, np.where(draw.explored, value - _paid(pool, sent, owner, offers.users.n), best.bound))
    return Choice(
        sent=sent,
        shadow=shadow,
        discount=discount,
        propensity=np.where(shadow, np.nan, _propensity(best, urgent, draw, marketing, held, owner, context.settings.exploration)),
        explored=draw.explored,
        nothing=draw.explored & (draw.n > 0) & (n_drawn == 0),
        nothing_propensity=_of_nothing(best, draw, marketing, owner, context.settings.exploration),
        value=value,
        bound=reach,
        nodes=best.nodes,
    )


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


def _appraised(pool: Pool, past: Past, chosen: BoolArray, context: PlanContext) -> tuple[FloatArray, FloatArray]:
    discount, value = np.ones(len(chosen)), np.zeros(len(pool.start) - 1)
    tiring = new_tiring(int(np.diff(pool.start).max(initial=0)), len(context.fatigues.keep))
    appraise(pool, past, context.fatigues, tiring, chosen, discount, value)
    return discount, value


def _draw(offers: Offers, pool: Pool, past: Past, urgent: BoolArray, marketing: BoolArray, context: PlanContext) -> Draw:
    """Whose plan chance decides, and what it says; from every offer, whatever its price."""
    settings, n_users = context.settings, offers.users.n
    none = np.zeros(len(urgent), dtype=np.bool_)
    if settings.exploration <= 0:
        return Draw(np.zeros(n_users, dtype=np.bool_), none, np.zeros(n_users, dtype=np.int64), none)
    hashes, owner = offers.users.user_hash, offers.owner()
    explored = uniform(hashes, draw_key(settings.seed, "explore", settings.as_of_us)) < settings.exploration
    explored &= ~offers.verdict.held
    free = pool._replace(price=np.zeros_like(pool.price))
    agrees = agreeing(free, past, offers.verdict.room, context.caps, context.fatigues, urgent) & marketing
    n = np.bincount(owner[agrees], minlength=n_users)
    place = np.floor(uniform(hashes, draw_key(settings.seed, "explore-choice", settings.as_of_us)) * (n + 1)).astype(np.int64)
    ordered = np.lexsort((pool.tie, ~agrees, owner))  # agreeing offers of a user first, in the order of ties
    drawn = none.copy()
    drawn[ordered] = agrees[ordered] & explored[owner[ordered]] & (np.arange(len(ordered)) - offers.start[owner] == place[owner])
    return Draw(explored, agrees, n, drawn)


def _propensity(
    best: Selection, urgent: Selection, draw: Draw, marketing: BoolArray, held: BoolArray, owner: IntArray, exploration: float
) -> FloatArray:
    """The probability that a plan at these prices holds the offer, over the draws alone."""
    by_chance = np.where(marketing, draw.agrees / (draw.n[owner] + 1), urgent.chosen)
    mixed = (1.0 - exploration) * best.chosen + exploration * by_chance
    return np.asarray(np.where(held[owner], urgent.chosen.astype(np.float64), mixed), dtype=np.float64)


def _of_nothing(best: Selection, draw: Draw, marketing: BoolArray, owner: IntArray, exploration: float) -> FloatArray:
    """(n_users,) the probability of no marketing send."""
    idle = np.bincount(owner[best.chosen & marketing], minlength=len(draw.n)) == 0
    return np.asarray((1.0 - exploration) * idle + exploration / (draw.n + 1), dtype=np.float64)


def _paid(pool: Pool, sent: BoolArray, owner: IntArray, n_users: int) -> FloatArray:
    return np.bincount(owner[sent], weights=pool.price[sent], minlength=n_users).astype(np.float64)
