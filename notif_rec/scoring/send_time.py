"""When people answer: each channel's response by local hour, and each user's own hours as far as they have proved to matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]

HOURS = 24
LOWEST, HIGHEST = 0.5, 2.0
USER_STRENGTH = 10.0  # own engagements that weigh as much as everybody's hours
WEAKEST, STRONGEST = 5.0, 1000.0  # answers in an hour that the channel's mean is worth: bounds of what the hours themselves say
PULL, PULL_STRENGTH = 0.3, 20.0  # the pull of own hours until sends have shown it, and the answers that this is worth
LEVEL_STRENGTH = 50.0  # sends for which a level of 1 stands
EVEN_STRENGTH = 24.0  # sends or engagements, one an hour, that stand in for what was never seen
ROUNDS, EXACT = 40, 1e-4


@dataclass(frozen=True)
class HourProfile:
    """The day as channels and people see it; every row is by local hour.

    response: (n_channels, 24) answers a send at that hour gets, over the channel's mean; 1 where nothing is known.
    sends: (n_channels, 24) share of the channel's sends, sums to 1. activity: (24,) share of everybody's engagements and visits.
    pull: (n_channels,) in [0, 1], how much a user's own hours matter. level: (n_channels,) what multipliers average over past
    sends before they are divided by it: a channel that catches users when they are there anyway has that in its rates already.
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


def flat_profile(n_channels: int) -> HourProfile:
    """A day on which every hour is as good as any other."""
    even = np.full(HOURS, 1.0 / HOURS)
    one = np.ones(n_channels)
    return HourProfile(np.ones((n_channels, HOURS)), np.tile(even, (n_channels, 1)), even, PULL * one, one)


def fit_hours(n_sends: FloatArray, n_answers: FloatArray, activity: FloatArray) -> HourProfile:
    """The profile of (n_channels, 24) sends and answered sends by local hour, and of (24,) engagements and visits.

    An hour's rate is shrunk to the channel's mean (Gamma-Poisson, its shape by the method of moments: Var = E + E²/shape), so that
    two opens at 3 a.m. do not make a habit and hours that differ by chance alone do not differ.
    """
    total = n_sends.sum(axis=1, keepdims=True)
    mean = np.divide(n_answers.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    expected = n_sends * mean
    room = (expected**2).sum(axis=1, keepdims=True)
    extra = ((n_answers - expected) ** 2 - expected).sum(axis=1, keepdims=True) / np.maximum(room, 1e-9)
    strength = np.clip(1 / np.maximum(extra, 1e-9), WEAKEST, STRONGEST)
    response = (n_answers + strength) / (expected + strength)
    sends = _shares(n_sends)
    one = np.ones(len(n_sends))
    return HourProfile(response / (response * sends).sum(axis=1, keepdims=True), sends, _shares(activity), PULL * one, one)


def hour_weights(profile: HourProfile, hours: npt.NDArray[np.float32]) -> FloatArray:
    """Multipliers of p_open and p_click, (n_users, n_channels, 24) by the user's local hour, in [0.5, 2].

    hours: (n_users, 24) own engagements and visits by local hour, decayed. Under the hours at which a channel sends, a user's
    multipliers have mean 1 (before `level`), so that they move probability between hours and make none.
    """
    weights = np.empty((len(hours), len(profile.response), HOURS))
    own = np.ascontiguousarray(hours, np.float64)
    _weigh(profile.response, profile.sends, profile.activity, profile.pull, profile.level, own, weights)
    return weights


def own_lift(profile: HourProfile, hours: npt.NDArray[np.float32]) -> FloatArray:
    """(n_users, 24) how much more of a user's own day falls into each hour than of everybody's; 1 where nothing is known."""
    own = hours.astype(np.float64)
    lift: FloatArray = (own + USER_STRENGTH * profile.activity) / (own.sum(axis=1, keepdims=True) + USER_STRENGTH) / profile.activity
    return lift


def fit_pull(
    profile: HourProfile,
    hours: npt.NDArray[np.float32],
    channel: npt.NDArray[np.integer[Any]],
    hour: npt.NDArray[np.integer[Any]],
    answered: npt.NDArray[np.bool_],
) -> HourProfile:
    """`profile` with the pull of users' own hours, and the level, that past sends show; one entry a send.

    hours: (n_sends, 24) the user's own from before the first of these sends: an answer counts itself among the own hours
    afterwards, and would prove that they foretell it.
    """
    pull, level = profile.pull.copy(), profile.level.copy()
    lift = np.log(own_lift(profile, hours))
    for at in range(len(pull)):
        of = np.flatnonzero(channel == at)
        if answered[of].any():
            pull[at] = _pull(lift[of, hour[of]], profile.response[at, hour[of]], answered[of].astype(np.float64))
    moved = replace(profile, pull=pull)
    for at in range(len(pull)):
        of = np.flatnonzero(channel == at)
        made = hour_weights(moved, hours[of])[np.arange(len(of)), at, hour[of]]
        level[at] = (made.sum() + LEVEL_STRENGTH) / (len(of) + LEVEL_STRENGTH)
    return replace(moved, level=level)


def _pull(lift: FloatArray, response: FloatArray, answered: FloatArray) -> float:
    """The exponent of the lift in answers ~ Poisson(e^base · response · lift^pull), by Newton's method, leaning on PULL."""
    base, pull = float(np.log(answered.sum() / response.sum())), PULL
    for _ in range(ROUNDS):
        rate = response * np.exp(base + pull * lift)
        gradient = np.array([(answered - rate).sum(), ((answered - rate) * lift).sum() - (pull - PULL) * PULL_STRENGTH])
        cross = (rate * lift).sum()
        curvature = np.array([[rate.sum(), cross], [cross, (rate * lift**2).sum() + PULL_STRENGTH]])
        step = np.linalg.solve(curvature, gradient).clip(-0.5, 0.5)
        base, pull = base + float(step[0]), pull + float(step[1])
        if abs(step).max() < EXACT:
            break
    return min(max(pull, 0.0), 1.0)


def _shares(counts: FloatArray) -> FloatArray:
    smoothed = counts + EVEN_STRENGTH / HOURS
    shares: FloatArray = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weigh(
    response: FloatArray,
    sends: FloatArray,
    activity: FloatArray,
    pull: FloatArray,
    level: FloatArray,
    hours: FloatArray,
    weights: FloatArray,
) -> None:
    """Fills `weights`."""
    lift, raw = np.empty(HOURS), np.empty(HOURS)
    for user in range(len(hours)):
        total = 0.0
        for hour in range(HOURS):
            total += hours[user, hour]
        for hour in range(HOURS):
            own = (hours[user, hour] + USER_STRENGTH * activity[hour]) / (total + USER_STRENGTH)
            lift[hour] = np.log(own / activity[hour])
        for channel in range(len(response)):
            for hour in range(HOURS):
                raw[hour] = response[channel, hour] * np.exp(pull[channel] * lift[hour])
            scale, low, high = 1.0, 0.0, np.inf
            for _ in range(ROUNDS):  # clipping moves the mean: Newton between brackets finds the scale that brings it back to 1
                mean, slope = 0.0, 0.0
                for hour in range(HOURS):
                    mean += sends[channel, hour] * min(max(scale * raw[hour], LOWEST), HIGHEST)
                    if LOWEST < scale * raw[hour] < HIGHEST:
                        slope += sends[channel, hour] * raw[hour]
                if abs(mean - 1.0) < EXACT:
                    break
                if mean < 1.0:
                    low = scale
                else:
                    high = scale
                step = scale + (1.0 - mean) / slope if slope > 0.0 else -1.0
                between = 2.0 * scale if high == np.inf else 0.5 * (low + high)
                scale = step if low < step < high else between
            for hour in range(HOURS):
                clipped = min(max(scale * raw[hour], LOWEST), HIGHEST)
                weights[user, channel, hour] = min(max(clipped / level[channel], LOWEST), HIGHEST)
