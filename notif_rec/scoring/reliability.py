"""Do probabilities mean what they say, and do they tell answers apart: log loss, AUC, observed over expected, against other models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.bootstrap import Interval
from notif_rec.scoring.calibration import inside

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Z95 = 1.959964
TENTHS = 10


@dataclass(frozen=True)
class Trial:
    """Answers that came after what foretold them. label: in [0, 1]. user, day: of each row; rows that share one are no independent
    witnesses. cohorts: by name, the group of each row."""

    label: FloatArray
    user: IntArray
    day: IntArray
    cohorts: Mapping[str, npt.NDArray[np.str_]]


@dataclass(frozen=True)
class Ratio:
    """Observed over expected of some rows; the interval holds the truth in 95 of 100 cases."""

    n: int
    observed: float
    expected: float
    low: float
    high: float

    @property
    def ratio(self) -> float:
        return self.observed / self.expected

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {"n": self.n, "observed": self.observed, "expected": self.expected, "oe": self.ratio, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class Verdict:
    """One model on one trial. ne: log loss over that of the trial's own mean rate. ece: mean distance of observed and expected over ten
    parts of equal size. auc is None where all answers are alike."""

    log_loss: float
    auc: float | None
    ne: float | None
    ece: float
    whole: Ratio
    tenths: tuple[Ratio, ...]
    cohorts: Mapping[str, Ratio]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        told = {"log_loss": self.log_loss, "auc": self.auc, "ne": self.ne, "ece": self.ece, "oe": self.whole.to_json()}
        cohorts = {name: ratio.to_json() for name, ratio in self.cohorts.items()}
        return {**told, "tenths": [ratio.to_json() for ratio in self.tenths], "cohorts": cohorts}


def judge(p: FloatArray, trial: Trial) -> Verdict:
    """How one model's probabilities did; there must be rows."""
    loss, mean = float(log_losses(p, trial.label).mean()), float(trial.label.mean())
    entropy = float(log_losses(np.array([mean]), np.array([mean]))[0]) if 0 < mean < 1 else 0.0
    parts = np.array_split(np.argsort(p, kind="stable"), min(TENTHS, len(p)))
    tenths = tuple(ratio_of(p, trial, part) for part in parts)
    cohorts = {
        f"{name}: {value}": ratio_of(p, trial, np.flatnonzero(groups == value))
        for name, groups in trial.cohorts.items()
        for value in np.unique(groups).tolist()
    }
    return Verdict(
        log_loss=loss,
        auc=auc(p, trial.label),
        ne=loss / entropy if entropy > 0 else None,
        ece=sum(abs(t.observed - t.expected) for t in tenths) / len(p),
        whole=ratio_of(p, trial, np.arange(len(p))),
        tenths=tenths,
        cohorts=cohorts,
    )


def log_losses(p: FloatArray, label: FloatArray) -> FloatArray:
    """(n,) −label · ln p − (1 − label) · ln(1 − p)."""
    kept = inside(p)
    losses: FloatArray = -label * np.log(kept) - (1 - label) * np.log1p(-kept)
    return losses


def ratio_of(p: FloatArray, trial: Trial, rows: IntArray) -> Ratio:
    """Observed over expected of some rows, errors clustered by user and by day: an issue that nobody liked hits all its readers.

    Source: Cameron, Gelbach and Miller, "Robust inference with multiway clustering", 2011: V = V_user + V_day − V_both.
    """
    observed, expected, miss = float(trial.label[rows].sum()), float(p[rows].sum()), trial.label[rows] - p[rows]
    by_user = _clustered(miss, trial.user[rows])
    both = _clustered(miss, trial.user[rows] * (int(trial.day.max(initial=0)) + 1) + trial.day[rows])
    error = np.sqrt(max(by_user, by_user + _clustered(miss, trial.day[rows]) - both))
    return Ratio(len(rows), observed, expected, (observed - Z95 * error) / expected, (observed + Z95 * error) / expected)


def _clustered(values: FloatArray, group: IntArray) -> float:
    """Σ over groups of (Σ values)²."""
    _, of = np.unique(group, return_inverse=True)
    return float((np.bincount(of, values) ** 2).sum())


def auc(p: FloatArray, label: FloatArray) -> float | None:
    """The chance that an answered row is put above an unanswered one, ties half; None where there are not both."""
    hits, misses = float(label.sum()), float((1 - label).sum())
    if hits <= 0 or misses <= 0:
        return None
    return float(label @ _placed(p, 1 - label)) / hits


def _placed(p: FloatArray, weight: FloatArray) -> FloatArray:
    """(n,) the share of `weight` that lies below each row, ties half."""
    _, place = np.unique(p, return_inverse=True)
    mass = np.bincount(place, weight)
    share: FloatArray = ((np.cumsum(mass) - mass / 2) / weight.sum())[place]
    return share


def lead(p: FloatArray, against: FloatArray, trial: Trial) -> dict[str, Interval]:
    """How far p leads another model on the same rows, in log loss and AUC (positive: better), with 95 % intervals clustered by user.

    The AUC's by its influence function. Source: DeLong et al., 1988, here summed by user as in Obuchowski, 1997.
    """
    gain = log_losses(against, trial.label) - log_losses(p, trial.label)
    found = {"log_loss": _interval(float(gain.mean()), (gain - gain.mean()) / len(gain), trial.user)}
    if auc(p, trial.label) is not None:
        (mine, pull), (theirs, push) = _influence(p, trial.label), _influence(against, trial.label)
        found["auc"] = _interval(mine - theirs, pull - push, trial.user)
    return found


def _influence(p: FloatArray, label: FloatArray) -> tuple[float, FloatArray]:
    """The AUC, and (n,) how each row pulls it."""
    hits, misses = label.sum(), (1 - label).sum()
    below, above = _placed(p, 1 - label), 1 - _placed(p, label)
    found = float(label @ below / hits)
    pull: FloatArray = label * (below - found) / hits + (1 - label) * (above - found) / misses
    return found, pull


def _interval(mean: float, influence: FloatArray, user: IntArray) -> Interval:
    error = float(np.sqrt(_clustered(influence, user)))
    return Interval(mean, mean - Z95 * error, mean + Z95 * error)
