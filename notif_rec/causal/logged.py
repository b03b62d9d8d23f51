"""Logged choices with their probabilities → the value of another policy, by eight estimators.

x a context, a the logged choice, r its reward, π_b(a|x) the probability it was logged with, π_e(a|x) that of the policy in question,
w = π_e/π_b, q̂ a model's prediction of r. Every estimator is a few sums over rows, so that a bootstrap needs the sums of each user alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

WITHOUT_MODEL = ("ips", "clipped_ips", "snips")
WITH_MODEL = ("dm", "dr", "sndr", "switch_dr", "dros")


@dataclass(frozen=True)
class Logged:
    """Rows: cluster (the user, from 0 without gaps), reward, weight (w), predicted (q̂ of the logged choice; None without a model).

    Clusters: units, the decisions that the value is per; expected, Σ over them and over every choice of π_e (units, where each
    decision makes exactly one choice): what Σ w estimates; direct, Σ of π_e·q̂ (None without a model); taken, Σ of the rewards
    that the logging policy itself brought.
    """

    cluster: IntArray
    reward: FloatArray
    weight: FloatArray
    units: FloatArray
    expected: FloatArray
    taken: FloatArray
    predicted: FloatArray | None = None
    direct: FloatArray | None = None

    @property
    def n_clusters(self) -> int:
        return len(self.units)

    @property
    def names(self) -> tuple[str, ...]:
        """The estimators that these logs allow."""
        return WITHOUT_MODEL if self.predicted is None else WITHOUT_MODEL + WITH_MODEL


def total_by(group: IntArray, row: FloatArray, n_groups: int) -> FloatArray:
    """(n_groups,) the sum of the rows of each group."""
    return np.bincount(group, weights=row, minlength=n_groups).astype(np.float64)


def one_choice_a_row(
    cluster: IntArray, reward: FloatArray, propensity: FloatArray, target: FloatArray,
    predicted: FloatArray | None = None, direct: FloatArray | None = None,
) -> Logged:  # fmt: skip
    """Logs of a bandit: each row is one decision. propensity: π_b in (0, 1]; target: π_e in [0, 1]; direct: Σ_a π_e(a|x) q̂(x, a)."""
    n = int(cluster.max(initial=-1)) + 1
    units = np.bincount(cluster, minlength=n).astype(np.float64)
    return Logged(
        cluster=cluster,
        reward=reward,
        weight=target / propensity,
        units=units,
        expected=units,
        taken=total_by(cluster, reward, n),
        predicted=predicted,
        direct=None if direct is None else total_by(cluster, direct, n),
    )


@dataclass(frozen=True)
class Limits:
    """How far weights are tamed: min(w, clip); no w above `switch`; shrink·w / (w² + shrink). Infinity leaves them as they are."""

    clip: float = np.inf
    switch: float = np.inf
    shrink: float = np.inf


def shrunk(weight: FloatArray, shrink: float) -> FloatArray:
    """λw / (w² + λ): the weight that minimises a bound of the squared error. Source: Su et al., ICML'20, eq. (9), "optimistic"."""
    return weight if np.isinf(shrink) else np.asarray(shrink * weight / (weight**2 + shrink))


def cluster_sums(logged: Logged, limits: Limits) -> dict[str, FloatArray]:
    """What `values` needs of each cluster, by name."""
    w, r = logged.weight, logged.reward
    sums = {"units": logged.units, "expected": logged.expected, "taken": logged.taken}
    rows = {"w": w, "wr": w * r, "clipped": np.minimum(w, limits.clip) * r}
    if logged.predicted is not None and logged.direct is not None:
        missed = r - logged.predicted
        sums["direct"] = logged.direct
        rows |= {"wq": w * missed, "switched": w * (w <= limits.switch) * missed, "shrunk": shrunk(w, limits.shrink) * missed}
    return sums | {name: total_by(logged.cluster, row, logged.n_clusters) for name, row in rows.items()}


def values(sums: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The estimates from sums over clusters (arrays of one shape: an entry a resample), and `logged`, what the logs themselves brought.

    Source: the definitions as in Saito et al., NeurIPS'21 Datasets (Open Bandit), section 4; the self-normalised ones divide by Σ w
    and multiply by what it estimates.
    """
    units = sums["units"]
    weight = np.where(sums["w"] > 0, sums["w"], np.nan)  # a resample without any weight has no self-normalised value
    normal = sums["expected"] / units / weight
    found = {
        "logged": sums["taken"] / units,
        "ips": sums["wr"] / units,
        "clipped_ips": sums["clipped"] / units,
        "snips": sums["wr"] * normal,
    }
    if "direct" not in sums:
        return found
    direct = sums["direct"] / units
    return found | {
        "dm": direct,
        "dr": direct + sums["wq"] / units,
        "sndr": direct + sums["wq"] * normal,
        "switch_dr": direct + sums["switched"] / units,
        "dros": direct + sums["shrunk"] / units,
    }
