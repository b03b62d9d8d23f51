"""How answers rise and fall for everybody: seasons, a new mail program, a tired list, an issue that pleased. Days move together, and the
level follows what is known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import logit, mean_and_spread

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
DAY_US = 86_400_000_000
YEAR = 365.25
LEVEL_SD = 0.3  # of the level before anything is known
WANDERS = (0.0, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)  # variances a day to choose from
SPREADS = (0.0, 0.001, 0.004, 0.01, 0.02, 0.04, 0.08, 0.16)
WAVES = (0.0, 0.003, 0.01, 0.03)
ENOUGH_YEARS = 1.25  # of answers, under which a year's wave and a trend look alike
MOST = 1.0  # log-odds that a level may shift at most
ROUNDS = 6


class Drift(NamedTuple):
    """How everybody's log-odds move: wander, variance a day of a level that goes where it likes; spread, variance of single days about it;
    wave, variance of the size of a yearly wave."""

    wander: float = 0.0
    spread: float = 0.0
    wave: float = 0.0


STILL = Drift()


class Days(NamedTuple):
    """What rows of the same day showed. day: since 1970, ascending. known_us: when their last answers were in. seen: log-odds above what
    was foretold. weight: the information in it."""

    day: FloatArray
    known_us: IntArray
    seen: FloatArray
    weight: FloatArray


def days_of(p: FloatArray, label: FloatArray, plan_us: IntArray, delay_us: int) -> Days:
    """One entry a day of rows that were foretold p, and whose answers came in `delay_us` after their plan."""
    day, of = np.unique(plan_us // DAY_US, return_inverse=True)
    known = np.full(len(day), np.iinfo(np.int64).min)
    np.maximum.at(known, of, plan_us + delay_us)
    seen, weight, _ = _by_day(logit(p), label, of, len(day), lambda *_: (0.0, LEVEL_SD**2))  # no day's depends on another's
    return Days(day.astype(np.float64), known, seen, weight)


def level_shifts(drift: Drift, days: Days, at_us: IntArray) -> FloatArray:
    """(n_at,) what to add to the log-odds at some moments, of the days that were known by then."""
    if not (drift.wander or drift.wave) or not len(days.day):
        return np.zeros(len(at_us))
    states, _ = _filtered([drift], days)
    moments, place = np.unique(at_us, return_inverse=True)
    known = np.searchsorted(np.maximum.accumulate(days.known_us), moments, side="right")
    shifts = (_waves(moments / DAY_US) * states[known, 0]).sum(axis=1)
    kept: FloatArray = np.clip(shifts, -MOST, MOST)[place]
    return kept


def fit_drift(days: Days) -> Drift:
    """The drift under which the days are most likely, each foretold from those before it."""
    if len(days.day) < 3:
        return STILL
    waves = WAVES if days.day[-1] - days.day[0] >= ENOUGH_YEARS * YEAR else WAVES[:1]
    drifts = [Drift(wander, spread, wave) for wave in waves for wander in WANDERS for spread in SPREADS]
    return drifts[int(np.argmax(_filtered(drifts, days)[1]))]


def _waves(day: Any) -> FloatArray:
    turn = 2 * np.pi * np.asarray(day, np.float64) / YEAR
    return np.stack([np.ones_like(turn), np.cos(turn), np.sin(turn)], axis=-1)


def _filtered(drifts: Sequence[Drift], days: Days) -> tuple[FloatArray, FloatArray]:
    """(n_days + 1, n_drifts, 3) level and size of the two halves of a yearly wave, known after so many days, and each drift's likelihood.

    Source: Kalman filter; Durbin and Koopman, "Time series analysis by state space methods", 2012, section 4.3.
    """
    wander, spread, wave = (np.array(column) for column in zip(*drifts, strict=True))
    state, spreads = np.zeros((len(days.day) + 1, len(drifts), 3)), np.zeros((len(drifts), 3, 3))
    spreads[:, 0, 0], spreads[:, 1, 1], spreads[:, 2, 2] = LEVEL_SD**2, wave, wave
    seen_by, likely = _waves(days.day), np.zeros(len(drifts))
    passed = np.diff(days.day, prepend=days.day[:1])
    for i, h in enumerate(seen_by):
        spreads[:, 0, 0] += wander * passed[i]
        pull = spreads @ h
        variance = pull @ h + spread + 1 / max(days.weight[i], 1e-12)
        miss = days.seen[i] - state[i] @ h
        likely -= 0.5 * (miss**2 / variance + np.log(variance))
        state[i + 1] = state[i] + pull * (miss / variance)[:, None]
        spreads -= pull[:, :, None] * pull[:, None, :] / variance[:, None, None]
    return state, likely


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
