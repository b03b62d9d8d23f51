"""Logged choices with their probabilities → the value of another policy, by eight estimators.

x a context, a the logged choice, r its reward, π_b(a|x) the probability it was logged with, π_e(a|x) that of the policy in question,
w = π_e/π_b, q̂ a model's prediction of r. Every estimator is a few sums over rows, so that a bootstrap needs the sums of each user alone.
"""

from __future__ import annotations

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
    """(n_clusters, 5) for every estimator, and `logged` (what the logs themselves brought): the sums that `value_of` needs, COLUMNS.

    Source: the definitions as in Saito et al., NeurIPS'21 Datasets (Open Bandit), section 4.
    """
    w, r, none = logged.weight, logged.reward, np.zeros(logged.n_clusters)

    def total(row: FloatArray) -> FloatArray:
        return total_by(logged.cluster, row, logged.n_clusters)

    weighted = total(w * r)
    parts = {
        "logged": (logged.taken, none),
        "ips": (weighted, none),
        "clipped_ips": (total(np.minimum(w, limits.clip) * r), none),
        "snips": (none, weighted),
    }
    if logged.predicted is not None and logged.direct is not None:
        missed, direct = r - logged.predicted, logged.direct
        parts |= {
            "dm": (direct, none),
            "dr": (direct + total(w * missed), none),
            "sndr": (direct, total(w * missed)),
            "switch_dr": (direct + total(w * (w <= limits.switch) * missed), none),
            "dros": (direct + total(shrunk(w, limits.shrink) * missed), none),
        }
    shared = logged.units, logged.expected, total(w)
    return {name: np.stack([*shared, plain, normal], axis=1) for name, (plain, normal) in parts.items()}


COLUMNS = ("units", "expected", "weight", "plain", "normal")


def value_of(sums: FloatArray) -> FloatArray:
    """(…) the estimate from (…, 5) sums: (plain + normal · expected / weight) / units; the second part is what is self-normalised.

    NaN where something is to be normalised and nothing has a weight.
    """
    units, expected, weight, plain, normal = np.moveaxis(sums, -1, 0)
    share = np.where(normal == 0.0, 0.0, normal * expected / np.where(weight > 0.0, weight, np.nan))
    found: FloatArray = (plain + share) / units
    return found


def gradient_of(sums: FloatArray) -> FloatArray:
    """(…, 5) how the estimate moves with each sum."""
    units, expected, weight, _, normal = np.moveaxis(sums, -1, 0)
    ratio = expected / np.where(weight > 0.0, weight, np.nan)
    used = normal != 0.0
    by_weight = np.where(used, -normal * ratio / np.where(weight > 0.0, weight, np.nan), 0.0)
    parts = (-value_of(sums), np.where(used, normal / np.where(weight > 0.0, weight, np.nan), 0.0), by_weight, np.ones_like(units), ratio)
    found: FloatArray = np.stack(parts, axis=-1) / units[..., None]
    return np.where(np.isnan(found) & ~used[..., None], 0.0, found)
