"""Intervals of a mean, and of the mean difference of two models on the same users."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
CHUNK = 1 << 22  # values drawn at a time: 32 MB


@dataclass(frozen=True)
class Interval:
    """A mean and the interval that holds it with the stated confidence."""

    mean: float
    low: float
    high: float

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


def mean_interval(values: Floats, seed: int, draws: int = 1000, confidence: float = 0.95) -> Interval:
    """The mean of one value a user, with its bootstrap percentile interval; the same seed gives the same interval.

    Users are drawn with replacement. With no user everything is 0; with one the interval is a point.
    """
    if len(values) == 0:
        return Interval(0.0, 0.0, 0.0)
    means = _resampled_means(values, seed, draws)
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(means, [tail, 1.0 - tail])
    return Interval(float(values.mean()), float(low), float(high))


def paired_interval(values: Floats, against: Floats, seed: int, draws: int = 1000, confidence: float = 0.95) -> Interval:
    """The mean of `values − against`, user by user, with its bootstrap interval; both are of the same users in one order."""
    return mean_interval(values - against, seed, draws, confidence)


def _resampled_means(values: Floats, seed: int, draws: int) -> Floats:
    """The means of `draws` samples of the users with replacement, shape (draws,).

    Equal values are drawn together: what counts is how often each distinct value came, which is multinomial. Differences of
    ranking metrics are mostly zero, so that this is many times cheaper than drawing users one by one.
    """
    random = np.random.default_rng(seed)
    distinct, count = np.unique(values, return_counts=True)
    size = len(values)
    if len(distinct) > size // 4:
        rows = max(1, CHUNK // size)
        parts = [random.choice(values, (min(rows, draws - at), size)).mean(axis=1) for at in range(0, draws, rows)]
        return np.concatenate(parts)
    rows = max(1, CHUNK // len(distinct))
    share = count / size
    parts = [random.multinomial(size, share, min(rows, draws - at)) @ distinct / size for at in range(0, draws, rows)]
    return np.concatenate(parts)
