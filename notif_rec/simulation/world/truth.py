"""What will become of a send: the probabilities themselves, which nobody but the world knows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from notif_rec.simulation.world.chance import FloatArray, normal
from notif_rec.simulation.world.days import DAY_US, Int64s
from notif_rec.simulation.world.laws import (
    ANNOYED,
    APPEAL_CLICKED,
    CHANNELS,
    FORGETTING,
    HALF_GONE_DAYS,
    IGNORED_MOST,
    LAWS,
    LIKING_CLICKED,
    LIKING_OPENED,
    MISMATCHED,
    NEGLECTED,
    POSITION,
    SEEN,
    SPILL,
    WHIM,
    logit,
)
from notif_rec.simulation.world.state import Sends, State, World

IN_APP = CHANNELS.index("in_app")
HALF_LIVES_US = np.array([LAWS[name].half_life_days * DAY_US for name in CHANNELS])
LIKED_MOST = 2.5  # a liking, in logs, is at most so far from everybody's
EARLIEST_HOUR, BEST_HOUR = -1.0, 0.7  # bounds of what an hour does to a logit, before the channel's share of it


@dataclass(frozen=True)
class Truth:
    """opened: (n,) p_open. clicked: (n_items,) p_click of each item if its send is opened. unsubscribed: (n,) p_unsubscribe.

    All are given the day's other sends and what happened before the day: outcomes of one day do not move each other.
    """

    opened: FloatArray
    clicked: FloatArray
    unsubscribed: FloatArray

    def clicks(self, sends: Sends) -> FloatArray:
        """(n,) the mean number of clicks on each send."""
        return np.asarray(np.bincount(sends.owner, self.clicked, sends.n) * self.opened, dtype=np.float64)

    def value(self, sends: Sends, opened: float, clicked: float, unsubscribed: float) -> FloatArray:
        """(n,) the expected worth of each send, where outcomes are worth so much; sums of it are exact for any set of sends."""
        return np.asarray(opened * self.opened + clicked * self.clicks(sends) + unsubscribed * self.unsubscribed, dtype=np.float64)


def truth_of(world: World, state: State, sends: Sends, day: int) -> Truth:
    """The probabilities of a day's sends; changes nothing."""
    user, channel, owner = sends.user, sends.channel, sends.owner
    people, goods = world.people, world.catalogue
    tired, ignored = fatigue_of(state, sends), np.minimum(state.ignored[user, channel], IGNORED_MOST)
    own = tired[np.arange(sends.n), channel]
    liked = liking(world, user[owner], sends.item, day)
    first = liked[sends.start[:-1]]
    hour = np.log(24 * people.hours[user, world.days.local_hour(people.zone[user], day, sends.us)]).clip(EARLIEST_HOUR, BEST_HOUR)
    place = np.arange(len(owner)) - sends.start[owner] + 1
    opened = _law("opened")[channel] + people.lean[user, channel] + LIKING_OPENED * first
    opened = opened + _per("hours")[channel] * hour - _per("tired")[channel] * own - _per("bored")[channel] * ignored
    clicked = _law("clicked")[channel[owner]] + people.click_lean[user[owner]] + LIKING_CLICKED * liked
    clicked = clicked + APPEAL_CLICKED * goods.appeal[sends.item] + goods.fresh(day)[sends.item] / 2 - POSITION * np.log(place)
    clicked = clicked - (_per("tired")[channel] * own / 2)[owner] - SEEN * state.seen[user[owner], sends.item]
    leaving = _law("unsubscribed")[channel] + people.touchy[user] + ANNOYED * tired.sum(axis=1) + NEGLECTED * ignored - MISMATCHED * first
    there = np.where(channel == IN_APP, -np.expm1(-visits_expected(world, state, day)[user]), 1.0)
    return Truth(expit(opened) * there, expit(clicked), expit(leaving))


def fatigue_of(state: State, sends: Sends, *, live: bool = False) -> FloatArray:
    """(n, n_channels) fatigue just before each send: Σ over earlier sends of SPILL · 2^(−age / half-life of the channel).

    live: the sends happen, and the state remembers them.
    """
    fatigue, since = (state.fatigue, state.fatigue_us) if live else (state.fatigue.copy(), state.fatigue_us.copy())
    found, turn = np.zeros((sends.n, len(CHANNELS))), sends.turn
    for number in range(int(turn.max(initial=-1)) + 1):
        rows = np.flatnonzero(turn == number)
        user, us = sends.user[rows], sends.us[rows]
        found[rows] = fatigue[user] * np.exp2(-(us - since[user])[:, None] / HALF_LIVES_US)
        fatigue[user], since[user] = found[rows] + SPILL[sends.channel[rows]], us
    return found


def liking(world: World, user: Int64s, item: Int64s, day: int) -> FloatArray:
    """How much more, in logs, each user likes each item than everybody does: taste, which can be learned, season and whim."""
    mix = world.catalogue.mix[item]
    lift = np.log((world.people.taste[user] * mix).sum(axis=1) / (world.everybody * mix).sum(axis=1))
    season = np.log((world.days.season[day - world.days.first] * mix).sum(axis=1))
    whim = WHIM * normal(world.seed, "whim", user, item)
    return np.asarray(lift.clip(-LIKED_MOST, LIKED_MOST) + season + whim, dtype=np.float64)


def visits_expected(world: World, state: State, day: int) -> FloatArray:
    """(n,) mean of the visits of a day: 0 before a user arrives, less for those who have not come for long or were hurt."""
    people, begin = world.people, world.days.begin_us(day)
    away = np.maximum(begin - state.session_us, 0) / DAY_US
    warm = 1 - FORGETTING + FORGETTING * np.exp2(-away / HALF_GONE_DAYS)
    there = people.arrives <= day
    return np.asarray(people.rate * people.week[:, world.days.weekday(day)] * warm * state.hurt * there, dtype=np.float64)


def _law(name: str) -> FloatArray:
    """(n_channels,) logits of a probability of LAWS."""
    return np.array([logit(getattr(LAWS[channel], name)) for channel in CHANNELS])


def _per(name: str) -> FloatArray:
    """(n_channels,) of a number of LAWS."""
    return np.array([getattr(LAWS[channel], name) for channel in CHANNELS])
