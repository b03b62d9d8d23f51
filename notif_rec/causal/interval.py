"""Intervals of off-policy values: a bootstrap that draws users, and a bound that trusts no bootstrap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from notif_rec.causal.logged import Limits, Logged, cluster_sums, total_by, values

FloatArray = npt.NDArray[np.float64]
DRAWS = 1000
BAGS = 4096  # clusters beyond so many are put into bags at random, which are drawn whole
CHUNK = 256  # draws at a time
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value with its standard error and its 95 % interval."""

    value: float
    error: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"value": self.value, "error": self.error, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Resampled:
    """Estimates by name, from the logs as they are (point) and from each resample of their users (draws); n: drawn each time."""

    point: Mapping[str, float]
    draws: Mapping[str, FloatArray]
    n: int

    def estimates(self) -> dict[str, Estimate]:
        """Every estimator with its interval."""
        return {name: _estimate(self.point[name], self.draws[name], self.n) for name in self.point}

    def difference(self, other: Resampled, name: str, against: str) -> Estimate:
        """`name` here less `against` there, resample by resample: both were drawn with the same seed from the same users."""
        return _estimate(self.point[name] - other.point[against], self.draws[name] - other.draws[against], self.n)


def _estimate(point: float, draws: FloatArray, n: int) -> Estimate:
    """Percentiles taken so far out that few users get Student's width: a bootstrap draws as if their spread were known.

    Source: Hesterberg, "What teachers should know about the bootstrap", 2015, section 5.3 (expanded percentile interval).
    """
    tail = (1.0 - CONFIDENCE) / 2.0
    small = np.sqrt(n / max(1, n - 1))
    outer = float(special.ndtr(small * special.stdtrit(max(1, n - 1), tail)))
    low, high = np.nanquantile(draws, [outer, 1.0 - outer])
    return Estimate(float(point), float(small * np.nanstd(draws)), float(low), float(high))


def resample(logged: Logged, limits: Limits, seed: int, draws: int = DRAWS) -> Resampled:
    """Every estimate of `logged`, and of `draws` samples of its clusters with replacement; the same seed draws the same clusters."""
    random = np.random.default_rng(seed)
    sums = _bagged(cluster_sums(logged, limits), logged.n_clusters, random)
    names, matrix = list(sums), np.stack(list(sums.values()), axis=1)
    point = values(dict(zip(names, matrix.sum(axis=0), strict=True)))
    n = len(matrix)
    parts = [values(_drawn(names, matrix, n, min(CHUNK, draws - at), random)) for at in range(0, draws, CHUNK)]
    return Resampled({k: float(v) for k, v in point.items()}, {k: np.concatenate([p[k] for p in parts]) for k in point}, n)


def _drawn(names: Sequence[str], matrix: FloatArray, n: int, draws: int, random: np.random.Generator) -> dict[str, FloatArray]:
    counts = random.multinomial(n, np.full(n, 1.0 / n), size=draws)
    return dict(zip(names, (counts @ matrix).T, strict=True))


def _bagged(sums: Mapping[str, FloatArray], n: int, random: np.random.Generator) -> dict[str, FloatArray]:
    """The sums of at most BAGS groups of clusters of equal size, give or take one."""
    if n <= BAGS:
        return dict(sums)
    bag = random.permutation(np.arange(n) % BAGS)
    return {name: total_by(bag, column, BAGS) for name, column in sums.items()}


def lower_bound(logged: Logged, confidence: float = CONFIDENCE) -> float:
    """No less than this is the value with `confidence` (one side), whatever the weights: an empirical-Bernstein bound of clipped IPS.

    Rewards are counted from their smallest, so that clipping can only lower the estimate; weights are clipped at √(n/ln(2/δ)), which
    nothing in the data chose. Clusters are the independent draws; where π_e and π_b are right, E[Σ w] is what `expected` says.
    Source: Maurer and Pontil, COLT'09, theorem 4; Thomas, Theocharous and Ghavamzadeh, AAAI'15.
    """
    n, log = logged.n_clusters, float(np.log(2.0 / (1.0 - confidence)))
    if n < 2:
        return -np.inf
    floor = float(logged.reward.min(initial=0.0))
    clip = max(1.0, np.sqrt(n / log))
    total = total_by(logged.cluster, np.minimum(logged.weight, clip) * (logged.reward - floor), n)
    rows = np.bincount(logged.cluster, minlength=n).max(initial=0)
    widest = rows * clip * float((logged.reward - floor).max(initial=0.0))
    mean = total.mean() - np.sqrt(2.0 * total.var(ddof=1) * log / n) - 7.0 * widest * log / (3.0 * (n - 1))
    units = logged.units.mean()
    return float(max(mean, 0.0) / units + floor * logged.expected.mean() / units)
