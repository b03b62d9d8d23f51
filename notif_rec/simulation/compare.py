"""What each policy came to, user by user, and how far apart two are: every user lived through both with the same luck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.bootstrap import Interval, mean_interval, paired_interval

FloatArray = npt.NDArray[np.float64]
METRICS = ("clicks", "opens", "sessions", "sends", "unsubscribes", "reach_30d", "value")
DRAWS = 2000


@dataclass(frozen=True)
class Difference:
    """How far `first` is above `other`, in totals over all users, with the paired 95 % interval; share: of the other's total."""

    first: str
    other: str
    metrics: Mapping[str, Interval]
    share: Mapping[str, float | None]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        told = {name: {**found.to_json(), "share": self.share[name]} for name, found in self.metrics.items()}
        return {"first": self.first, "other": self.other, "metrics": told}


def totals(per_user: Mapping[str, FloatArray], seed: int) -> dict[str, Interval]:
    """Each metric's total over all users, with the interval that drawing other users of the kind would give."""
    return {name: _times(mean_interval(values, seed, DRAWS), len(values)) for name, values in per_user.items()}


def difference(names: tuple[str, str], first: Mapping[str, FloatArray], other: Mapping[str, FloatArray], seed: int) -> Difference:
    """`first` minus `other`, metric by metric; users in the same order in both."""
    metrics = {name: _times(paired_interval(first[name], other[name], seed, DRAWS), len(first[name])) for name in METRICS}
    base = {name: float(other[name].sum()) for name in METRICS}
    share = {name: metrics[name].mean / abs(base[name]) if base[name] else None for name in METRICS}
    return Difference(*names, metrics, share)


def _times(found: Interval, n: int) -> Interval:
    return Interval(found.mean * n, found.low * n, found.high * n)
