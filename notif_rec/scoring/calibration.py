"""Margins → log-odds that mean what they say: a rising line, or a rising curve where enough answers show one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
CERTAIN = 1e-9  # probabilities stay this far from 0 and 1

ISOTONIC_FROM = 1000  # positives from which a curve is believed
MOST_KNOTS, POSITIVES_A_KNOT = 24, 60
SLOPE_SD, LEVEL_SD = 0.25, 1.0  # how far a line may stray from the identity, or a channel's from everybody's
ROUNDS, EXACT = 50, 1e-10


class Calibration(NamedTuple):
    """Knots of a curve that never falls, margin → log-odds; beyond the ends it goes on with `slope` ≥ 0."""

    margin: FloatArray
    logit: FloatArray
    slope: float

    def to_json(self) -> dict[str, Any]:
        return {"margin": self.margin.tolist(), "logit": self.logit.tolist(), "slope": self.slope}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Calibration:
        """Raises ValueError where the curve falls."""
        curve = cls(np.asarray(stored["margin"], np.float64), np.asarray(stored["logit"], np.float64), float(stored["slope"]))
        if len(curve.margin) != len(curve.logit) or not len(curve.margin) or curve.slope < 0:
            raise ValueError("a calibration has no knots, or knots that do not fit")
        if (np.diff(curve.margin) <= 0).any() or (np.diff(curve.logit) < 0).any():
            raise ValueError("a calibration falls")
        return curve

    def scaled(self, by: float) -> Calibration:
        """The same for margins that are 1 / `by` times as far apart; by > 0."""
        return self._replace(margin=self.margin / by, slope=self.slope * by)

    def shifted(self, by: float) -> Calibration:
        """The same, `by` higher everywhere."""
        return self._replace(logit=self.logit + by)


def identity() -> Calibration:
    """Margins are log-odds already."""
    return Calibration(np.zeros(1), np.zeros(1), 1.0)


def inside(p: npt.ArrayLike) -> FloatArray:
    """Probabilities kept off 0 and 1."""
    return np.clip(np.asarray(p, np.float64), CERTAIN, 1 - CERTAIN)


def logit(p: npt.ArrayLike) -> FloatArray:
    """ln(p / (1 − p)), p kept off 0 and 1."""
    kept = inside(p)
    odds: FloatArray = np.log(kept / (1 - kept))
    return odds


def calibrated(curve: Calibration, margin: FloatArray) -> FloatArray:
    """Probabilities of any shape of margins, strictly inside (0, 1); never falling in the margin."""
    p = np.empty(margin.shape)
    _apply(curve.margin, curve.logit, curve.slope, np.ascontiguousarray(margin).ravel(), p.reshape(-1))
    return p


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _apply(knots: Any, heights: Any, slope: float, margin: Any, p: Any) -> None:
    last = len(knots) - 1
    for i in range(len(margin)):
        x = margin[i]
        if x <= knots[0]:
            y = heights[0] + slope * (x - knots[0])
        elif x >= knots[last]:
            y = heights[last] + slope * (x - knots[last])
        else:
            k = np.searchsorted(knots, x)
            share = (x - knots[k - 1]) / (knots[k] - knots[k - 1])
            y = heights[k - 1] + share * (heights[k] - heights[k - 1])
        p[i] = min(max(1.0 / (1.0 + np.exp(-y)), CERTAIN), 1.0 - CERTAIN)


def fit_line(margin: FloatArray, label: FloatArray, around: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
    """Level and slope of label ~ Bernoulli(σ(level + slope · margin)), leaning on `around`; the slope is never negative.

    Source: Platt, "Probabilistic outputs for support vector machines", 1999; here with a Gaussian prior, by Newton's method.
    """
    level, slope = around
    penalty = np.array([1 / LEVEL_SD**2, 1 / SLOPE_SD**2])
    for _ in range(ROUNDS):
        p = _sigmoid(level + slope * margin)
        w, miss = p * (1 - p), label - p
        gradient = np.array([miss.sum(), (miss * margin).sum()]) - penalty * (level - around[0], slope - around[1])
        cross = (w * margin).sum()
        curvature = np.array([[w.sum() + penalty[0], cross], [cross, (w * margin**2).sum() + penalty[1]]])
        step = np.linalg.solve(curvature, gradient).clip(-2.0, 2.0)
        level, slope = level + float(step[0]), max(slope + float(step[1]), 0.0)
        if abs(step).max() < EXACT:
            break
    return level, slope


def fit_curve(margin: FloatArray, label: FloatArray, around: tuple[float, float] = (0.0, 1.0)) -> Calibration:
    """The line through the margins, bent to what each part of them shows where there are enough positives.

    Parts of equal positives are shrunk to the line as far as they stray from it by chance alone, then neighbours that fall are pooled
    (pool adjacent violators). A part's place is where the line says what it foretells on the mean: parts are wide.
    """
    level, slope = fit_line(margin, label, around)
    positives = float(label.sum())
    line = Calibration(np.zeros(1), np.full(1, level), slope)
    n_parts = int(min(MOST_KNOTS, positives // POSITIVES_A_KNOT))
    if positives < ISOTONIC_FROM or n_parts < 3 or slope < EXACT:
        return line
    p = _sigmoid(level + slope * margin)
    order = np.argsort(p, kind="stable")
    expected = np.cumsum(p[order])
    _, part = np.unique(np.minimum((expected / expected[-1] * n_parts).astype(np.int64), n_parts - 1), return_inverse=True)
    n, hits, foretold, weight = (np.bincount(part, x[order]).astype(np.float64) for x in (np.ones(len(p)), label, p, p * (1 - p)))
    says, information = logit(foretold / n), np.maximum(weight, EXACT)
    strays = logit((hits + foretold / n) / (n + 1)) - says
    mean, variance = mean_and_spread(strays, information)
    bent = says + (information * strays * variance + mean) / (information * variance + 1)
    height, place = monotone(bent, information, increasing=True), (says - level) / slope
    apart = np.concatenate(([True], np.diff(place) > EXACT))
    return Calibration(place[apart], height[apart], slope)


def mean_and_spread(seen: FloatArray, weight: FloatArray) -> tuple[float, float]:
    """Mean of some effects, and their variance beyond that of chance (1 / weight). Source: DerSimonian and Laird, 1986."""
    whole = float(weight.sum())
    mean = float(weight @ seen) / whole
    extra = float(weight @ (seen - mean) ** 2) - (len(seen) - 1)
    return mean, max(extra / max(whole - float(weight @ weight) / whole, 1e-12), 0.0)


def monotone(values: FloatArray, weights: FloatArray, *, increasing: bool) -> FloatArray:
    """The sequence that never falls (`increasing`) or never rises, nearest to `values` in squares weighed by `weights` > 0."""
    from scipy.optimize import isotonic_regression  # fitting alone needs it; plans import this file too

    return np.asarray(isotonic_regression(values, weights=weights, increasing=increasing).x, dtype=np.float64)


def levelled(curve: Calibration, margin: FloatArray, label: FloatArray) -> Calibration:
    """`curve` shifted so that as much is foretold as happened."""
    wanted, shift = float(label.sum()), 0.0
    if not 0 < wanted < len(label):
        return curve
    odds = logit(calibrated(curve, margin))
    for _ in range(ROUNDS):
        p = _sigmoid(odds + shift)
        step = float((wanted - p.sum()) / (p * (1 - p)).sum())
        shift += min(max(step, -1.0), 1.0)
        if abs(step) < EXACT:
            break
    return curve.shifted(shift)


def _sigmoid(x: FloatArray) -> FloatArray:
    p: FloatArray = 1.0 / (1.0 + np.exp(-x))
    return p
