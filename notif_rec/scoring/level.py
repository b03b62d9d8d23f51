"""How answers rise and fall for everybody: seasons, a new mail program, a tired list. The level follows what is known day by day."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
DAY_US = 86_400_000_000
MEMORIES = (7, 14, 28, 56, 112, 365)  # half-lives in days to choose from
PRIOR = 1 / 0.3**2  # information that stands for a level of 0
MOST = 1.0  # log-odds that a level may shift at most


def level_shifts(p: FloatArray, label: FloatArray, plan_us: IntArray, delay_us: int, memory_us: int, at_us: IntArray) -> FloatArray:
    """(n_at,) shifts of the log-odds, each from the rows whose answers were in by that moment, older ones fading by half in `memory`.

    p: what was foretold. plan_us: when a row's send was planned; its answer is in `delay_us` later. memory 0: no shift.
    One Newton step of the logistic likelihood: Σ w (label − p) / (Σ w p (1 − p) + prior).
    """
    if not memory_us or not len(p):
        return np.zeros(len(at_us))
    days, of = np.unique(plan_us, return_inverse=True)
    miss, spread = _summed(of, label - p), _summed(of, p * (1 - p))
    moments, place = np.unique(at_us, return_inverse=True)
    known = np.searchsorted(days, moments - delay_us, side="right")  # the days before this place are known
    shifts = np.array([_shift(days[:n], miss[:n], spread[:n], moment, memory_us) for n, moment in zip(known, moments, strict=True)])
    return shifts[place]


def _summed(of: IntArray, values: FloatArray) -> FloatArray:
    return np.bincount(of, values).astype(np.float64)


def _shift(days: IntArray, miss: FloatArray, spread: FloatArray, moment: int, memory_us: int) -> float:
    weight = np.exp2((days - moment) / memory_us)
    return float(np.clip((weight @ miss) / (weight @ spread + PRIOR), -MOST, MOST))


def choose_memory(p: FloatArray, label: FloatArray, plan_us: IntArray, delay_us: int) -> int:
    """The half-life, in µs, whose shifts would have foretold best, day by day; 0 where none would have helped.

    The gain in log-likelihood of a shift s is s · Σ (label − p) − s² / 2 · Σ p (1 − p), summed over days.
    """
    days, of = np.unique(plan_us, return_inverse=True)
    miss, spread = _summed(of, label - p), _summed(of, p * (1 - p))
    best, best_gain = 0, 0.0
    for memory in MEMORIES:
        shifts = level_shifts(p, label, plan_us, delay_us, memory * DAY_US, days)
        gain = float((shifts * miss - shifts**2 / 2 * spread).sum())
        if gain > best_gain:
            best, best_gain = memory * DAY_US, gain
    return best
