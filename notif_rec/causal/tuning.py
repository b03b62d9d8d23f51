"""How far to tame large weights: as far as the spread that it saves outweighs the bias that it could bring.

Source: Wang, Agarwal and Dudik, ICML'17, section 4 (variance plus the square of a bound of the bias), here for all three ways of taming.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from notif_rec.causal.logged import Limits, Logged, shrunk, total_by

FloatArray = npt.NDArray[np.float64]
QUANTILES = (1.0, 0.999, 0.995, 0.99, 0.98, 0.95, 0.9, 0.8, 0.7, 0.5)


def tuned_limits(logged: Logged) -> Limits:
    """The clip, switch and shrinkage of the smallest squared error that the logs foretell."""
    positive = logged.weight[logged.weight > 0]
    if not len(positive):
        return Limits()
    steps = np.unique(np.quantile(positive, QUANTILES))[::-1].tolist()
    w = logged.weight
    clip = _least(steps, lambda m: np.minimum(w, m), logged.reward, logged)
    if logged.predicted is None:
        return Limits(clip=clip)
    missed = logged.reward - logged.predicted
    switch = _least(steps, lambda m: w * (w <= m), missed, logged)
    shrink = _least([np.inf, *(m * m for m in steps)], lambda m: shrunk(w, m), missed, logged)
    return Limits(clip, switch, shrink)


def _least(steps: Sequence[float], tamed: Callable[[float], FloatArray], reward: FloatArray, logged: Logged) -> float:
    """The step whose (bound of the bias)² + variance is least; of equals the first, which tames least."""
    return min(steps, key=lambda step: _squared_error(tamed(step), reward, logged))


def _squared_error(tamed: FloatArray, reward: FloatArray, logged: Logged) -> float:
    bias = float(np.abs((logged.weight - tamed) * reward).sum() / logged.units.sum())
    return bias**2 + mean_and_error(tamed * reward, logged)[1] ** 2


def mean_and_error(row: FloatArray, logged: Logged) -> tuple[float, float]:
    """Σ row per unit, and its standard error over clusters (a ratio of sums, by its linear part)."""
    total, units = total_by(logged.cluster, row, logged.n_clusters), logged.units
    value = total.sum() / units.sum()
    return float(value), float(np.sqrt(((total - value * units) ** 2).sum()) / units.sum())
