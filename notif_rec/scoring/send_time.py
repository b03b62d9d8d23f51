"""When people answer: each channel's response by local hour, and each user's own hours shrunk to everybody's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]

HOURS = 24
LOWEST, HIGHEST = 0.5, 2.0
USER_STRENGTH = 10.0  # own engagements that weigh as much as everybody's hours
RATE_STRENGTH = 5.0  # answers, spread over the day, that a channel's flat response is worth
EVEN_STRENGTH = 24.0  # sends or engagements, one an hour, that stand in for what was never seen
ROUNDS, EXACT = 40, 1e-4


@dataclass(frozen=True)
class HourProfile:
    """The day as channels and people see it; every row is by local hour.

    response: (n_channels, 24) answers a send at that hour gets, over the channel's mean; 1 where nothing is known.
    sends: (n_channels, 24) share of the channel's sends, sums to 1. activity: (24,) share of everybody's engagements and visits.
    """

    response: FloatArray
    sends: FloatArray
    activity: FloatArray

    def to_json(self) -> dict[str, Any]:
        return {"response": self.response.tolist(), "sends": self.sends.tolist(), "activity": self.activity.tolist()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> HourProfile:
        return cls(*(np.asarray(stored[name], np.float64) for name in ("response", "sends", "activity")))


def flat_profile(n_channels: int) -> HourProfile:
    """A day on which every hour is as good as any other."""
    even = np.full(HOURS, 1.0 / HOURS)
    return HourProfile(np.ones((n_channels, HOURS)), np.tile(even, (n_channels, 1)), even)


def fit_hours(n_sends: FloatArray, n_answers: FloatArray, activity: FloatArray) -> HourProfile:
    """The profile of (n_channels, 24) sends and answered sends by local hour, and of (24,) engagements and visits.

    An hour's rate is shrunk to the channel's mean (Gamma-Poisson), so that two opens at 3 a.m. do not make a habit.
    """
    total = n_sends.sum(axis=1, keepdims=True)
    mean = np.divide(n_answers.sum(axis=1, keepdims=True), total, out=np.zeros_like(total), where=total > 0)
    response = (n_answers + RATE_STRENGTH) / (n_sends * mean + RATE_STRENGTH)
    sends = _shares(n_sends)
    return HourProfile(response / (response * sends).sum(axis=1, keepdims=True), sends, _shares(activity))


def hour_weights(profile: HourProfile, hours: npt.NDArray[np.float32]) -> FloatArray:
    """Multipliers of p_open and p_click, (n_users, n_channels, 24) by the user's local hour, in [0.5, 2].

    hours: (n_users, 24) own engagements and visits by local hour, decayed. Under the hours at which a channel sends, a user's
    multipliers have mean 1, so that they move probability between hours and make none.
    """
    weights = np.empty((len(hours), len(profile.response), HOURS))
    _weigh(profile.response, profile.sends, profile.activity, np.ascontiguousarray(hours, np.float64), weights)
    return weights


def _shares(counts: FloatArray) -> FloatArray:
    smoothed = counts + EVEN_STRENGTH / HOURS
    shares: FloatArray = smoothed / smoothed.sum(axis=-1, keepdims=True)
    return shares


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _weigh(response: FloatArray, sends: FloatArray, activity: FloatArray, hours: FloatArray, weights: FloatArray) -> None:
    lift = np.empty(HOURS)
    for user in range(len(hours)):
        total = 0.0
        for hour in range(HOURS):
            total += hours[user, hour]
        for hour in range(HOURS):
            own = (hours[user, hour] + USER_STRENGTH * activity[hour]) / (total + USER_STRENGTH)
            lift[hour] = own / activity[hour]
        for channel in range(len(response)):
            scale, low, high = 1.0, 0.0, np.inf
            for _ in range(ROUNDS):  # clipping moves the mean: Newton between brackets finds the scale that brings it back to 1
                mean, slope = 0.0, 0.0
                for hour in range(HOURS):
                    raw = response[channel, hour] * lift[hour]
                    mean += sends[channel, hour] * min(max(scale * raw, LOWEST), HIGHEST)
                    if LOWEST < scale * raw < HIGHEST:
                        slope += sends[channel, hour] * raw
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
                weights[user, channel, hour] = min(max(scale * response[channel, hour] * lift[hour], LOWEST), HIGHEST)
