"""Logistic regression on features, with signs that must not turn: what few answers can carry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy.optimize import minimize

from notif_rec.scoring.features import LOG, LOGIT

FloatArray = npt.NDArray[np.float64]
COEFFICIENT_SD = 0.3  # of a standardised feature, before the data speak
OWN_SD = 0.3  # of how much of the user's own rate counts, about all of it
LEVEL_SD = 3.0
ROUNDS = 200


class Linear(NamedTuple):
    """Adds level + Σ coefficient · (scaled feature − mean) / spread to a margin, of which the user's own rate is taken `own` times."""

    scale: npt.NDArray[np.int8]
    mean: FloatArray
    spread: FloatArray
    coefficient: FloatArray
    level: float
    own: float = 1.0

    def to_json(self) -> dict[str, Any]:
        """Plain lists; floats read back bit by bit."""
        return {name: value if isinstance(value, float) else value.tolist() for name, value in self._asdict().items()}

    def first(self, n: int) -> Linear:
        """What the first n features add, and the level."""
        return self._replace(scale=self.scale[:n], mean=self.mean[:n], spread=self.spread[:n], coefficient=self.coefficient[:n])

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Linear:
        """Raises ValueError where the columns do not fit each other."""
        scale = np.asarray(stored["scale"], np.int8)
        mean, spread, coefficient = (np.asarray(stored[name], np.float64) for name in ("mean", "spread", "coefficient"))
        if len({a.shape for a in (scale, mean, spread, coefficient)}) != 1 or scale.ndim != 1:
            raise ValueError("the columns of a linear model differ in length")
        return cls(scale, mean, spread, coefficient, float(stored["level"]), float(stored["own"]))


def linear_scores(linear: Linear, rows: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) what each row adds to the margin."""
    scores = np.full(len(rows), linear.level)
    slope = np.where(linear.spread > 0, linear.coefficient / np.where(linear.spread > 0, linear.spread, 1), 0.0)
    _add_up(np.ascontiguousarray(rows, np.float32), linear.scale, linear.mean, slope, scores)
    return scores


def fit_linear(
    rows: npt.NDArray[np.float32], label: FloatArray, base: FloatArray, own: FloatArray, weight: FloatArray,
    scale: npt.NDArray[np.int8], signs: npt.NDArray[np.int8],
) -> Linear:  # fmt: skip
    """label ~ Bernoulli(σ(base + c · own + linear)), leaning on own's being taken once and nothing else; coefficients keep their signs
    (0 = free), and c is at least 0: features say again what own says, and none of them may take it back. Constant features get 0.

    weight: (n,) of each row."""
    x: FloatArray = np.empty(rows.shape)
    _scaled(np.ascontiguousarray(rows, np.float32), scale, x)
    mean, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 1e-9, spread, 0.0)
    x -= mean
    x /= np.where(spread > 0, spread, 1.0)
    x[:, spread == 0] = 0.0
    bounds = [(0.0 if sign > 0 else None, 0.0 if sign < 0 else None) for sign in signs.tolist()] + [(None, None), (0.0, None)]
    prior = np.concatenate([np.full(x.shape[1], 1 / COEFFICIENT_SD**2), [1 / LEVEL_SD**2, 1 / OWN_SD**2]])
    start = np.append(np.zeros(x.shape[1] + 1), 1.0)

    def loss(theta: FloatArray) -> tuple[float, FloatArray]:
        margin, far = base + x @ theta[:-2] + theta[-2] + theta[-1] * own, theta - start
        miss = weight * (1 / (1 + np.exp(-margin)) - label)
        gradient = np.concatenate([x.T @ miss, [miss.sum(), own @ miss]]) + prior * far
        return float(weight @ (np.logaddexp(0, margin) - label * margin) + 0.5 * (prior * far**2).sum()), gradient

    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": ROUNDS})
    return Linear(scale, mean, spread, found.x[:-2], float(found.x[-2]), float(found.x[-1]))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rescaled(value: float, scale: int) -> float:
    if scale == LOG:
        return math.log1p(max(value, 0.0))
    if scale == LOGIT:
        inside = min(max(value, 1e-4), 1.0 - 1e-4)
        return math.log(inside / (1.0 - inside))
    return value


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scaled(rows: Any, scale: Any, x: Any) -> None:
    for i in range(len(rows)):
        for f in range(len(scale)):
            x[i, f] = _rescaled(rows[i, f], scale[f])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add_up(rows: Any, scale: Any, mean: Any, slope: Any, scores: Any) -> None:
    """One feature after the other, so that the same row always gives the same bits."""
    for i in range(len(rows)):
        for f in range(len(scale)):
            if slope[f] != 0.0:
                scores[i] += slope[f] * (_rescaled(rows[i, f], scale[f]) - mean[f])
