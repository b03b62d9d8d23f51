"""Exploration: on which channel chance decides for a user, what it may send there, and how likely each of that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.chance import draw_key, uniform
from notif_rec.planning.context import PlanContext, Settings
from notif_rec.planning.offered import Offers
from notif_rec.planning.select import agreeing

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
BEST = -1  # instead of a channel: nothing is left to chance


@dataclass(frozen=True)
class Arms:
    """What chance may do, were it to decide on each channel; all else of the best set is sent whatever it draws.

    chance: (n_offers,) the probability of each offer where its channel is left to chance, 0 of those that are not drawn from;
    idle: (n_channels, n_users) that of no marketing send there; n: (n_channels, n_users) how many offers it may draw.
    share: of (user, channel) pairs on which chance decides.
    """

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
    """What chance may do for each user: of the marketing offers of one channel that agree with the rest of the best set, one or none.

    What the best set has on the channel is always among them. Every offer counts that is worth more than it costs later sends (`ahead`),
    whatever quotas ask: what is explored takes its room in them first. Each is as likely as none or, with a temperature T, as likely
    as e^(value / T), none having the value 0.
    """
    owner, shape = offers.owner(), (len(context.channels), offers.users.n)
    agrees, cost = np.zeros(offers.n, dtype=np.bool_), np.zeros(offers.n) + ahead
    for channel in range(shape[0]):
        own = marketing & (pool.channel == channel)
        rest = best & ~own
        usable = (pool.usable.astype(np.bool_) & (own | rest)).astype(np.uint8)
        free = pool._replace(price=cost, usable=usable)
        agrees |= own & agreeing(free, past, offers.verdict.room, context.caps, context.fatigues, rest)
    cell = pool.channel * shape[1] + owner
    weight, empty = _weights(agrees, pool.value - cost, cell, shape[0] * shape[1], context.settings.temperature)
    total = empty + np.bincount(cell, weights=weight, minlength=len(empty))
    return Arms(
        chance=weight / total[cell],
        idle=(empty / total).reshape(shape),
        n=np.bincount(cell[agrees], minlength=len(empty)).reshape(shape),
        share=share_of(context.settings, shape[0]),
    )


def _weights(
    agrees: BoolArray, value: FloatArray, cell: IntArray, n_cells: int, temperature: float | None
) -> tuple[FloatArray, FloatArray]:
    """How likely each offer, and none, is beside the others of its cell, a (channel, user); no sum taken yet."""
    if temperature is None:
        return agrees.astype(np.float64), np.ones(n_cells)
    top = np.zeros(n_cells)
    np.maximum.at(top, cell[agrees], value[agrees])
    weight = np.where(agrees, np.exp(np.minimum(value - top[cell], 0.0) / temperature), 0.0)
    return weight, np.exp(-top / temperature)


def drawn(arms: Arms, explored: IntArray, offers: Offers, pool: Pool, settings: Settings) -> BoolArray:
    """(n_offers,) what chance sends on each user's `explored` channel: offers in the order of ties, then none."""
    owner, hit = offers.owner(), np.zeros(offers.n, dtype=np.bool_)
    order = np.lexsort((pool.tie, owner))
    explorers = np.flatnonzero(explored != BEST)
    widths = np.diff(offers.start)[explorers]
    column = np.arange(int(widths.max(initial=0)))
    inside = column < widths[:, None]
    rows = order[np.where(inside, offers.start[explorers][:, None] + column, 0)] if offers.n else np.zeros(inside.shape, dtype=np.int64)
    inside &= pool.channel[rows] == explored[explorers][:, None] if offers.n else inside
    chance = np.where(inside, arms.chance[rows] if offers.n else 0.0, 0.0)
    ends = np.cumsum(chance, axis=1)  # user by user, so that no other user's numbers round this one's
    place = uniform(offers.users.user_hash[explorers], draw_key(settings.seed, "explore-choice", settings.as_of_us))[:, None]
    hit[rows[(chance > 0) & (ends > place) & (ends - chance <= place)]] = True
    return hit


def propensities(arms: Arms, best: BoolArray, marketing: BoolArray) -> FloatArray:
    """(n_offers,) the probability that a plan at these prices holds the offer, over the draws alone."""
    mixed: FloatArray = np.where(marketing, (1.0 - arms.share) * best + arms.share * arms.chance, best)
    return mixed


def idle_propensities(arms: Arms, best: BoolArray, marketing: BoolArray, channel: IntArray, owner: IntArray) -> FloatArray:
    """(n_channels, n_users) the probability of no marketing send on a channel. channel, owner: of each offer."""
    quiet = np.ones(arms.idle.shape)
    quiet[channel[best & marketing], owner[best & marketing]] = 0.0
    told: FloatArray = (1.0 - arms.share) * quiet + arms.share * arms.idle
    return told
