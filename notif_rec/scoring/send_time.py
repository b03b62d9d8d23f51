"""When people answer: each channel's response by hour of the week, and each user's own hours as far as they have proved to matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]

HOURS, WEEK = 24, 168
MONDAY = 72  # hours from the Monday before 1970-01-01, a Thursday
LOWEST, HIGHEST, TRACE = 0.5, 2.0, 1e-6
USER_STRENGTH = 5.0  # own engagements that weigh as much as the group's hours of the day
DAY_STRENGTH = 120.0  # own engagements that weigh as much as the group's days, hour by hour
BESIDE = 0.25  # share of an engagement that counts for the hour before, and for the one after: habits are no sharper
GROUP_STRENGTH = 300.0  # engagements of a group that weigh as much as everybody's
WEAKEST, STRONGEST = 5.0, 1000.0  # answers in an hour that the channel's mean is worth: bounds of what the hours themselves say
PULL, PULL_STRENGTH, MOST_PULL = 0.2, 20.0, 0.95  # the pull of own hours until sends have shown it, and the answers that this is worth
LEVEL_STRENGTH = 50.0  # sends for which a level of 1 stands
EVEN_STRENGTH = 24.0  # sends or engagements, one an hour of the day, that stand in for what was never seen
WEEK_STRENGTH = 168.0  # … and, one an hour of the week, for what days were never seen to change
ROUNDS, EXACT = 40, 1e-4


@dataclass(frozen=True)
class HourProfile:
    """The week as channels and people see it; every row is by local hour of the week, 0 = Monday 00:00.

    response: (n_channels, 168) answers a send at that hour gets, over the channel's mean; 1 where nothing is known.
    sends: (n_channels, 168) share of the channel's sends, sums to 1. activity: (n_groups + 1, 168) share of engagements and visits,
    of each segment's users as far as they are enough, of everybody's last. pull: (n_channels,) in [0, 1], the share of answers that
    come only from those who are about. level: (n_channels,) what multipliers average over past sends before they are divided by it:
    a channel that catches users when they are there anyway has that in its rates already.
    """

    response: FloatArray
    sends: FloatArray
    activity: FloatArray
    pull: FloatArray
    level: FloatArray

    def to_json(self) -> dict[str, Any]:
        return {name: getattr(self, name).tolist() for name in FIELDS}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HourProfile:
        return cls(*(np.asarray(stored[name], np.float64) for name in FIELDS))


FIELDS = tuple(HourProfile.__dataclass_fields__)


def week_hour(wall_us: Any) -> Any:
    """The hour of the week, 0..167 from Monday 00:00, of wall clock times in microseconds."""
    return (wall_us // 3_600_000_000 + MONDAY) % WEEK


def flat_profile(n_channels: int) -> HourProfile:
    """A week in which every hour is as good as any other."""
    even, one = np.full((1, WEEK), 1.0 / WEEK), np.ones(n_channels)
    return HourProfile(np.ones((n_channels, WEEK)), np.tile(even, (n_channels, 1)), even, PULL * one, one)


def fit_hours(n_sends: FloatArray, n_answers: FloatArray, activity: FloatArray) -> HourProfile:
    """The profile of (n_channels, 168) sends and answered sends by local hour, and of (n_groups + 1, 168) engagements and visits.

    An hour of the day is shrunk to the channel's mean, and an hour of the week to that hour of the day (Gamma-Poisson, its shape by the
    method of moments: Var = E + E²/shape), so that two opens at 3 a.m. make no habit and hours that differ by chance alone do not
    differ.
    """
    total = n_sends.sum(axis=1, keepdims=True)
    mean = np.divide(n_answers.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    daily = _shrunk(_by_day(n_answers), _by_day(n_sends) * mean)
    response = np.tile(daily, 7) * _shrunk(n_answers, n_sends * mean * np.tile(daily, 7))
    sends = _shares(n_sends)
    one = np.ones(len(n_sends))
    return HourProfile(response / (response * sends).sum(axis=1, keepdims=True), sends, _activity(activity), PULL * one, one)


def _by_day(counts: FloatArray) -> FloatArray:
    """(…, 168) hours of the week summed into (…, 24) of the day."""
    return np.asarray(counts.reshape(*counts.shape[:-1], 7, HOURS).sum(axis=-2))


def _shrunk(answers: FloatArray, expected: FloatArray) -> FloatArray:
    """(n_channels, hours) answers over expected ones, shrunk to 1."""
    extra = ((answers - expected) ** 2 - expected).sum(axis=1, keepdims=True) / np.maximum((expected**2).sum(axis=1, keepdims=True), 1e-9)
    shape = np.clip(1 / np.maximum(extra, 1e-9), WEAKEST, STRONGEST)
    return np.asarray((answers + shape) / (expected + shape))


def _shares(counts: FloatArray) -> FloatArray:
    """(…, 168) counts as shares: hours of the day lean on an even day, hours of the week on every day being alike."""
    daily = _by_day(counts) + EVEN_STRENGTH / HOURS
    daily = np.tile(daily / daily.sum(axis=-1, keepdims=True) / 7, 7)
    return np.asarray((counts + WEEK_STRENGTH * daily) / (counts.sum(axis=-1, keepdims=True) + WEEK_STRENGTH))


def _activity(counts: FloatArray) -> FloatArray:
    """Shares of groups, leaning on everybody's, which are the last row."""
    everybody = _shares(counts[-1:])
    groups = (counts[:-1] + GROUP_STRENGTH * everybody) / (counts[:-1].sum(axis=1, keepdims=True) + GROUP_STRENGTH)
    return np.concatenate([groups, everybody])


def hour_weights(profile: HourProfile, hours: npt.NDArray[np.float32], segment: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """Multipliers of p_open and p_click, (n_users, n_channels, 168) by the user's local hour of the week, in [0.5, 2].

    hours: (n_users, 168) own engagements and visits, decayed. segment: (n_users,) rows of `activity`, -1 for none. Under the hours at which
    a channel sends, a user's multipliers have mean 1 (before `level`), so that they move probability between hours and make none.
    """
    weights = np.empty((len(hours), len(profile.response), WEEK))
    own = np.ascontiguousarray(hours, np.float64)
    _weigh(profile.response, profile.sends, profile.activity, profile.pull, profile.level, own, np.asarray(segment, np.int64), weights)
    return weights


def own_lift(profile: HourProfile, hours: npt.NDArray[np.float32], segment: npt.NDArray[np.integer[Any]]) -> FloatArray:
    """(n_users, 168) how much more of a user's own week falls into each hour than of everybody's; 1 where nothing is known.

    The user's hours of the day lean on the group's; each hour of the week leans on the hour of the day, spread over days as the group's.
    """
    own, group = _blurred(hours.astype(np.float64)), profile.activity[segment]
    total, daily = own.sum(axis=1, keepdims=True), _by_day(group)
    mine = (_by_day(own) + USER_STRENGTH * daily) / (total + USER_STRENGTH)
    spread = group * np.tile(mine / daily, 7)
    return np.asarray((own + DAY_STRENGTH * spread) / (total + DAY_STRENGTH) / profile.activity[-1])


def _blurred(hours: FloatArray) -> FloatArray:
    """Engagements spread over the hours beside."""
    return np.asarray((1 - 2 * BESIDE) * hours + BESIDE * (np.roll(hours, 1, axis=1) + np.roll(hours, -1, axis=1)))


def lift_before(
    profile: HourProfile, own: npt.NDArray[np.float32], segment: npt.NDArray[np.integer[Any]], hour: npt.NDArray[np.integer[Any]]
) -> FloatArray:
    """(n_sends,) as `own_lift` at the hour of each send. own: (n_sends, 3) what was known of the user (planning/hours.own_before)."""
    in_hour, in_day = profile.activity[segment, hour], _by_day(profile.activity)[segment, hour % HOURS]
    daily = (own[:, 1] + USER_STRENGTH * in_day) / (own[:, 2] + USER_STRENGTH)
    share = (own[:, 0] + DAY_STRENGTH * daily * in_hour / in_day) / (own[:, 2] + DAY_STRENGTH)
    return np.asarray(share / profile.activity[-1, hour], np.float64)


def fit_pull(profile: HourProfile, lift: FloatArray, channel: Any, hour: Any, answered: npt.NDArray[np.bool_]) -> HourProfile:
    """`profile` with the pull of users' own hours that past sends show; one entry a send. lift: as was known before it."""
    pull = profile.pull.copy()
    for at in range(len(pull)):
        of = np.flatnonzero(channel == at)
        if answered[of].any():
            pull[at] = _pull(lift[of], profile.response[at, hour[of]], answered[of].astype(np.float64))
    return replace(profile, pull=pull)


def _pull(lift: FloatArray, response: FloatArray, answered: FloatArray) -> float:
    """The share in answers ~ Poisson(e^base · response · (1 − share + share · lift)), by Newton's method, leaning on PULL."""
    base, pull = float(np.log(answered.sum() / response.sum())), PULL
    for _ in range(ROUNDS):
        mixed = 1.0 + pull * (lift - 1.0)
        rate, slope = response * np.exp(base) * mixed, (lift - 1.0) / mixed
        gradient = np.array([(answered - rate).sum(), ((answered - rate) * slope).sum() - (pull - PULL) * PULL_STRENGTH])
        cross = (rate * slope).sum()
        curvature = np.array([[rate.sum(), cross], [cross, (rate * slope**2).sum() + PULL_STRENGTH]])
        step = np.linalg.solve(curvature, gradient).clip(-0.3, 0.3)
        moved = min(max(pull + float(step[1]), 0.0), MOST_PULL)
        done = abs(step[0]) < EXACT and abs(moved - pull) < EXACT
        base, pull = base + float(step[0]), moved
        if done:
            break
    return pull


def fit_level(profile: HourProfile, hours: npt.NDArray[np.float32], segment: Any, channel: Any, hour: Any) -> HourProfile:
    """`profile` with the level that its multipliers average over past sends. hours: (n_sends, 168) from before the first of them."""
    level = profile.level.copy()
    for at in range(len(level)):
        of = np.flatnonzero(channel == at)
        made = hour_weights(profile, hours[of], segment[of])[np.arange(len(of)), at, hour[of]]
        level[at] = (made.sum() + LEVEL_STRENGTH) / (len(of) + LEVEL_STRENGTH)
    return replace(profile, level=level)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weigh(
    response: FloatArray,
    sends: FloatArray,
    activity: FloatArray,
    pull: FloatArray,
    level: FloatArray,
    hours: FloatArray,
    segment: npt.NDArray[np.int64],
    weights: FloatArray,
) -> None:
    """Fills `weights`; users of a segment of whom nothing is known share one row."""
    n_groups, last = len(activity), len(activity) - 1
    stranger = np.full(n_groups, -1, np.int64)
    daily, lift, raw, blurred = np.empty(HOURS), np.empty(WEEK), np.empty(WEEK), np.empty(WEEK)
    for user in range(len(hours)):
        group = segment[user] if segment[user] >= 0 else last
        total = hours[user].sum()
        if total == 0.0 and stranger[group] >= 0:
            weights[user] = weights[stranger[group]]
            continue
        if total == 0.0:
            stranger[group] = user
        for cell in range(WEEK):
            beside = hours[user, cell - 1] + hours[user, (cell + 1) % WEEK]
            blurred[cell] = (1.0 - 2.0 * BESIDE) * hours[user, cell] + BESIDE * beside
        for hour in range(HOURS):
            own, theirs = 0.0, 0.0
            for cell in range(hour, WEEK, HOURS):
                own += blurred[cell]
                theirs += activity[group, cell]
            daily[hour] = (own / theirs + USER_STRENGTH) / (total + USER_STRENGTH)
        for cell in range(WEEK):
            spread = activity[group, cell] * daily[cell % HOURS]
            lift[cell] = (blurred[cell] + DAY_STRENGTH * spread) / (total + DAY_STRENGTH) / activity[last, cell]
        for channel in range(len(response)):
            for cell in range(WEEK):
                raw[cell] = response[channel, cell] * (1.0 + pull[channel] * (lift[cell] - 1.0))
            scale = _scale(raw, sends[channel])
            for cell in range(WEEK):
                weights[user, channel, cell] = _kept(_kept(scale * raw[cell]) / level[channel])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _kept(weight: float) -> float:
    """A weight within bounds; of two beyond the same one the larger stays larger, by next to nothing, so that the better hour is known."""
    if weight > HIGHEST:
        return HIGHEST - TRACE / weight
    return LOWEST + TRACE * weight if weight < LOWEST else weight


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scale(raw: FloatArray, sends: FloatArray) -> float:
    """What brings the mean of the clipped values to 1: clipping moves it, so Newton between brackets."""
    scale, low, high = 1.0, 0.0, np.inf
    for _ in range(ROUNDS):
        mean, slope = 0.0, 0.0
        for cell in range(WEEK):
            mean += sends[cell] * min(max(scale * raw[cell], LOWEST), HIGHEST)
            if LOWEST < scale * raw[cell] < HIGHEST:
                slope += sends[cell] * raw[cell]
        if abs(mean - 1.0) < EXACT:
            break
        if mean < 1.0:
            low = scale
        else:
            high = scale
        step = scale + (1.0 - mean) / slope if slope > 0.0 else -1.0
        between = 2.0 * scale if high == np.inf else 0.5 * (low + high)
        scale = step if low < step < high else between
    return scale
