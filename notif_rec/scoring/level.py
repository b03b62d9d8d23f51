"""How answers rise and fall for everybody: seasons, a new mail program, a tired list, an issue that pleased. Days move together, and the
level follows what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import logit, mean_and_spread

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
DAY_US = 86_400_000_000
YEAR = 365.25
LEVEL_SD = 0.3  # of the level before anything is known
WANDERS = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 1e-2)
SPREADS = (0.0, 0.003, 0.01, 0.02, 0.04, 0.1, 0.3)
WAVES = (0.0, 0.01)
SLOPES = (0.0, 1e-6)
ENOUGH_YEARS = 1.25  # of answers, under which a year's wave and a trend look alike
FEWEST_DAYS = 3
MOST = 1.0  # log-odds that a level may shift at most
ROUNDS = 6


class Drift(NamedTuple):
    """How everybody's log-odds may move: wander, variance a day of a level that goes where it likes; spread, variance of single days about
    it; wave, variance of the size of a yearly wave; slope, variance of what it rises by a day, for good."""

    wander: float
    spread: float
    wave: float
    slope: float


DRIFTS = tuple(Drift(*one) for one in product(WANDERS, SPREADS, WAVES, SLOPES))


class Days(NamedTuple):
    """What rows of the same day showed. day: since 1970, ascending. known_us: when their last answers were in. seen: log-odds above what
    was foretold. weight: the information in it. bend: how much more a day gains that pleases than one loses that does not, of which the
    mean answer is the higher; 1 where answers are rare, 0 where every other one comes."""

    day: FloatArray
    known_us: IntArray
    seen: FloatArray
    weight: FloatArray
    bend: FloatArray


def days_of(p: FloatArray, label: FloatArray, plan_us: IntArray, delay_us: int) -> Days:
    """One entry a day of rows that were foretold p, and whose answers came in `delay_us` after their plan."""
    day, of = np.unique(plan_us // DAY_US, return_inverse=True)
    known = np.full(len(day), np.iinfo(np.int64).min)
    np.maximum.at(known, of, plan_us + delay_us)
    seen, weight, _ = _by_day(logit(p), label, of, len(day), lambda *_: (0.0, LEVEL_SD**2))  # no day's depends on another's
    bend = np.bincount(of, p * (1 - p) * (1 - 2 * p), len(day)) / np.bincount(of, p * (1 - p), len(day))
    return Days(day.astype(np.float64), known, seen, weight, bend)


def level_shifts(days: Days, at_us: IntArray, drifts: Sequence[Drift] = DRIFTS) -> FloatArray:
    """(n_at,) what to add to the log-odds at some moments, of the days that were known by then: the mean over drifts, each as far as it
    made these days likely. The likeliest alone would be believed too much: a hundred days tell few apart. Nobody knows how a coming day
    will please, so that the shift is that of the mean answer over days: E σ(x + e) ≈ σ(x + bend · Var e / 2).

    Source: Bayesian model averaging; Hoeting et al., 1999.
    """
    moments, place = np.unique(at_us, return_inverse=True)
    known = np.searchsorted(np.maximum.accumulate(days.known_us), moments, side="right")
    shifts, enough = np.zeros(len(moments)), known >= FEWEST_DAYS
    if enough.any():
        states, likely = (of[known[enough]] for of in _filtered(drifts, days))
        levels = (states * _seen_by(moments[enough] / DAY_US, days.day[0])[:, None]).sum(axis=2)
        bend = (np.cumsum(days.weight * days.bend) / np.cumsum(days.weight))[known[enough] - 1]
        levels += bend[:, None] * np.array([drift.spread for drift in drifts]) / 2
        young = days.day[known[enough] - 1] - days.day[0] < ENOUGH_YEARS * YEAR
        likely[np.ix_(young, [drift.wave > 0 for drift in drifts])] = -np.inf
        weight = np.exp(likely - likely.max(axis=1, keepdims=True))
        shifts[enough] = (weight * levels).sum(axis=1) / weight.sum(axis=1)
    kept: FloatArray = np.clip(shifts, -MOST, MOST)[place]
    return kept


def _seen_by(day: FloatArray, first: float) -> FloatArray:
    """(n, 4) how much of each part of a state shows on some days."""
    turn = 2 * np.pi * day / YEAR
    return np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn), day - first], axis=-1)


def _filtered(drifts: Sequence[Drift], days: Days) -> tuple[FloatArray, FloatArray]:
    """(n_days + 1, n_drifts, 4) level, size of the two halves of a yearly wave, and slope, known after so many days; and
    (n_days + 1, n_drifts) log-likelihoods of these days, each foretold from those before it.

    Source: Kalman filter; Durbin and Koopman, "Time series analysis by state space methods", 2012, section 4.3.
    """
    wander, spread, wave, slope = (np.array(column) for column in zip(*drifts, strict=True))
    spreads = np.stack([np.full(len(drifts), LEVEL_SD**2), wave, wave, slope], axis=1)[:, :, None] * np.eye(4)
    states, likely = np.zeros((len(days.day) + 1, len(drifts), 4)), np.zeros((len(days.day) + 1, len(drifts)))
    passed = np.diff(days.day, prepend=days.day[:1])
    for i, h in enumerate(_seen_by(days.day, days.day[0])):
        spreads[:, 0, 0] += wander * passed[i]
        pull = spreads @ h
        variance = pull @ h + spread + 1 / max(days.weight[i], 1e-12)
        miss = days.seen[i] - states[i] @ h
        likely[i + 1] = likely[i] - 0.5 * (miss**2 / variance + np.log(variance))
        states[i + 1] = states[i] + pull * (miss / variance)[:, None]
        spreads -= pull[:, :, None] * pull[:, None, :] / variance[:, None, None]
    return states, likely


def day_effects(margin: FloatArray, label: FloatArray, plan_us: IntArray) -> FloatArray:
    """(n,) log-odds by which the rows of a day were answered more than the margins say, shrunk as far as days differ by chance alone.

    What pleased everybody on a day is no merit of what was known of one user, and is not to be learned as that.
    Source: random intercepts, by penalised likelihood; their variance by moments, DerSimonian and Laird, 1986.
    """
    day, of = np.unique(plan_us // DAY_US, return_inverse=True)
    return _by_day(margin, label, of, len(day), mean_and_spread)[2][of]


def _by_day(
    margin: FloatArray, label: FloatArray, of: IntArray, n: int, spread_of: Callable[[FloatArray, FloatArray], tuple[float, float]]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(n,) each of some days: what the day alone says, the information in that, and its effect beside the mean one, shrunk.

    spread_of: mean and variance of days' effects, from what they say and the information in it.
    """
    mean, effect, seen, weight = 0.0, np.zeros(n), np.zeros(n), np.zeros(n)
    for _ in range(ROUNDS):
        p = 1 / (1 + np.exp(-(margin + effect[of])))
        weight = np.maximum(np.bincount(of, p * (1 - p), n), 1e-12)
        seen = effect + np.bincount(of, label - p, n) / weight
        mean, variance = spread_of(seen, weight)
        effect = (weight * seen * variance + mean) / (weight * variance + 1)
    return seen, weight, effect - mean
