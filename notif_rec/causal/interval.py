"""Intervals of off-policy values: a bootstrap that draws users, and a bound that trusts no bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.causal.logged import Limits, Logged, cluster_sums, gradient_of, total_by, value_of

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
class Estimates:
    """values: of the policy, by estimator. differences: to the other policy by the same estimator, or to what the logs brought."""

    values: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    others: Mapping[str, Estimate]  # what the differences are to


def estimate(logged: Logged, limits: Limits, against: tuple[Logged, Limits] | None, seed: int, draws: int = DRAWS) -> Estimates:
    """Every estimator that the logs allow, with its interval; both policies are resampled alike. The same seed, the same users."""
    random = np.random.default_rng(seed)
    mine = cluster_sums(logged, limits)
    theirs = mine if against is None else cluster_sums(*against)
    bag = random.permutation(np.arange(logged.n_clusters) % BAGS) if logged.n_clusters > BAGS else None
    drawn = _Draws(min(logged.n_clusters, BAGS), draws, random)

    def of(sums: FloatArray, less: FloatArray | None = None) -> Estimate:
        both = sums if less is None else np.hstack([sums, less])
        return drawn.estimate(both if bag is None else np.stack([total_by(bag, column, BAGS) for column in both.T], axis=1))

    other = {name: theirs["logged" if against is None else name] for name in logged.names}
    return Estimates(
        values={name: of(mine[name]) for name in ("logged", *logged.names)},
        differences={name: of(mine[name], other[name]) for name in logged.names},
        others={name: of(sums) for name, sums in other.items()},
    )


class _Draws:
    """How often each of n clusters is drawn in each resample, the same for every statistic."""

    def __init__(self, n: int, draws: int, random: np.random.Generator) -> None:
        self.n = n
        self.counts = [random.multinomial(n, np.full(n, 1.0 / n), min(CHUNK, draws - at)).astype(float) for at in range(0, draws, CHUNK)]

    def estimate(self, sums: FloatArray) -> Estimate:
        """The value of (n, 5) sums, or with (n, 10) of the first five less that of the rest, with its bootstrap-t interval.

        Weights make values skewed, and a mean that came out low has too small an error of its own: each resample is measured in its own
        errors. Source: Efron and Tibshirani, "An introduction to the bootstrap", section 12.5; errors by the linear part of the ratio.
        """
        first, second = np.triu_indices(sums.shape[1])
        pairs = sums[:, first] * sums[:, second]
        value, error = _measured(sums.sum(axis=0), pairs.sum(axis=0), first, second)
        small = np.sqrt(self.n / max(1, self.n - 1))
        if not error > 0.0:
            return Estimate(float(value), 0.0, float(value), float(value))
        parts = [_measured(counts @ sums, counts @ pairs, first, second) for counts in self.counts]
        moved, errors = np.concatenate([v for v, _ in parts]) - value, np.concatenate([e for _, e in parts])
        sound = (errors > 0.0) & np.isfinite(moved)
        tail = (1.0 - CONFIDENCE) / 2.0
        below, above = np.quantile(moved[sound] / errors[sound], [1.0 - tail, tail]) if sound.any() else (np.inf, -np.inf)
        return Estimate(float(value), float(small * error), float(value - below * error), float(value - above * error))


def _measured(
    sums: FloatArray, pairs: FloatArray, first: npt.NDArray[np.intp], second: npt.NDArray[np.intp]
) -> tuple[FloatArray, FloatArray]:
    """The value and its standard error from (…, k) sums and the sums of their products. The linear part of a ratio has mean 0."""
    value, gradient = value_of(sums[..., :5]), gradient_of(sums[..., :5])
    if sums.shape[-1] > 5:
        value = value - value_of(sums[..., 5:])
        gradient = np.concatenate([gradient, -gradient_of(sums[..., 5:])], axis=-1)
    twice = np.where(first == second, 1.0, 2.0)
    square = (gradient[..., first] * gradient[..., second] * twice * pairs).sum(axis=-1)
    return value, np.sqrt(np.maximum(square, 0.0))


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
