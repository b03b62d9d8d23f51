"""Exploration: on which channel chance decides for a user, what it may send there, and how likely each of that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.chance import draw_key, uniform
from notif_rec.planning.context import PlanContext, Settings
from notif_rec.planning.offers import Offers
from notif_rec.planning.select import agreeing, select

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
BEST = -1  # instead of a channel: nothing is left to chance


@dataclass(frozen=True)
class Arms:
    """What chance may do, were it to decide on each channel: (n_channels, …) arrays.

    stays: (…, n_offers) sent whatever it draws: the best set without marketing on that channel. chance: (…, n_offers) the
    probability of each offer it may draw, 0 of all others; idle: (…, n_users) that of no marketing send there; n: (…, n_users)
    how many offers it may draw. share: of (user, channel) pairs on which chance decides.
    """

    stays: BoolArray
    chance: FloatArray
    idle: FloatArray
    n: IntArray
    share: float


def share_of(settings: Settings, n_channels: int) -> float:
    """The share of (user, channel) pairs that explore; a user does on one channel at most, so that it never exceeds 1 / n_channels."""
    return min(settings.exploration, 1.0 / n_channels)


def explored_channel(user_hash: npt.NDArray[np.uint64], settings: Settings, n_channels: int) -> IntArray:
    """The channel on which chance decides for each user, BEST for none; a larger share keeps those who explore, and where."""
    explores = uniform(user_hash, draw_key(settings.seed, "explore", settings.as_of_us)) < share_of(settings, n_channels) * n_channels
    channel = np.floor(uniform(user_hash, draw_key(settings.seed, "explore-channel", settings.as_of_us)) * n_channels)
    return np.where(explores, channel, BEST).astype(np.int64)


def arms_of(
    offers: Offers, pool: Pool, past: Past, best: BoolArray, marketing: BoolArray, context: PlanContext, ahead: FloatArray | float = 0.0
) -> Arms:
    """What chance may do for each user: of the marketing offers of one channel that agree with the best of all else, one or none.

    Every offer counts that is worth more than it costs later sends (`ahead`), whatever quotas ask: what is explored takes its room
    in them first. Each is as likely as none or, with a temperature T, as likely as e^(value / T), none having the value 0.
    """
    owner, n_users, channels = offers.owner(), offers.users.n, range(len(context.channels))
    found = [_on_channel(c, offers, pool, past, best, marketing, context, ahead) for c in channels]
    stays, agrees = (np.array([pair[i] for pair in found], dtype=np.bool_).reshape(len(found), -1) for i in (0, 1))
    weight, empty = _weights(agrees, pool.value, owner, n_users, context.settings.temperature)
    total = empty + np.array([np.bincount(owner, weights=w, minlength=n_users) for w in weight])
    return Arms(
        stays=stays,
        chance=weight / total[:, owner],
        idle=empty / total,
        n=np.array([np.bincount(owner[a], minlength=n_users) for a in agrees]),
        share=share_of(context.settings, len(context.channels)),
    )


def _on_channel(
    channel: int,
    offers: Offers,
    pool: Pool,
    past: Past,
    best: BoolArray,
    marketing: BoolArray,
    context: PlanContext,
    ahead: FloatArray | float = 0.0,
) -> tuple[BoolArray, BoolArray]:
    """What stays where chance decides on the channel, and which of its offers agree with that."""
    owner, own = offers.owner(), marketing & (pool.channel == channel)
    changed = np.bincount(owner[best & own], minlength=offers.users.n) > 0  # without a send there the best set is the same
    others = pool._replace(usable=(pool.usable.astype(np.bool_) & ~own & changed[owner]).astype(np.uint8))
    again = select(others, past, offers.verdict.room, context.caps, context.fatigues, context.settings.node_limit)
    stays = np.where(changed[owner], again.chosen, best)
    free = pool._replace(price=np.zeros_like(pool.price) + ahead, usable=(pool.usable.astype(np.bool_) & (own | stays)).astype(np.uint8))
    return stays, agreeing(free, past, offers.verdict.room, context.caps, context.fatigues, stays) & own


def _weights(
    agrees: BoolArray, value: FloatArray, owner: IntArray, n_users: int, temperature: float | None
) -> tuple[FloatArray, FloatArray]:
    """How likely each offer, and none, is beside the others: (n_channels, n_offers) and (n_channels, n_users), no sum taken yet."""
    if temperature is None:
        return agrees.astype(np.float64), np.ones((len(agrees), n_users))
    top = np.zeros((len(agrees), n_users))
    for channel, mine in enumerate(agrees):
        np.maximum.at(top[channel], owner[mine], value[mine])
    weight = np.where(agrees, np.exp(np.minimum(value - top[:, owner], 0.0) / temperature), 0.0)
    return weight, np.exp(-top / temperature)


def drawn(arms: Arms, channel: IntArray, offers: Offers, tie: IntArray, settings: Settings) -> BoolArray:
    """(n_offers,) what chance sends on each user's explored `channel`: offers in the order of ties, then none."""
    owner, hit = offers.owner(), np.zeros(offers.n, dtype=np.bool_)
    order = np.lexsort((tie, owner))
    explorers = np.flatnonzero(channel != BEST)
    widths = np.diff(offers.start)[explorers]
    column = np.arange(int(widths.max(initial=0)))
    inside = column < widths[:, None]
    rows = order[np.where(inside, offers.start[explorers][:, None] + column, 0)] if offers.n else np.zeros(inside.shape, dtype=np.int64)
    chance = np.where(inside, arms.chance[channel[explorers][:, None], rows], 0.0)
    ends = np.cumsum(chance, axis=1)  # user by user, so that no other user's numbers round this one's
    place = uniform(offers.users.user_hash[explorers], draw_key(settings.seed, "explore-choice", settings.as_of_us))[:, None]
    hit[rows[(chance > 0) & (ends > place) & (ends - chance <= place)]] = True
    return hit


def propensities(arms: Arms, best: BoolArray) -> FloatArray:
    """(n_offers,) the probability that a plan at these prices holds the offer, over the draws alone."""
    plain = 1.0 - arms.share * len(arms.stays)
    mixed: FloatArray = plain * best + arms.share * (arms.stays + arms.chance).sum(axis=0)
    return mixed


def idle_propensities(arms: Arms, best: BoolArray, marketing: BoolArray, channel: IntArray, owner: IntArray) -> FloatArray:
    """(n_channels, n_users) the probability of no marketing send on a channel. channel, owner: of each offer."""
    n_channels, n_users = arms.idle.shape

    def quiet(chosen: BoolArray) -> FloatArray:
        found = np.ones((n_channels, n_users))
        found[channel[chosen & marketing], owner[chosen & marketing]] = 0.0
        return found

    told: FloatArray = (1.0 - arms.share * n_channels) * quiet(best)
    for explored in range(n_channels):
        beside = quiet(arms.stays[explored])
        beside[explored] = arms.idle[explored]
        told += arms.share * beside
    return told
