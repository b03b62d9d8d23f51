"""An experiment, row by row, and doubly robust scores of it: what each row would have brought without treatment, and with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Experiment:
    """One row a decision that chance made. features: (n, p) finite, known before it. propensity: in (0, 1), the chance of treatment.
    cluster: the user, from 0 without gaps; rows of a user are drawn together."""

    features: npt.NDArray[np.float32]
    treated: npt.NDArray[np.bool_]
    propensity: FloatArray
    outcome: FloatArray
    cluster: IntArray

    def where(self, pick: npt.NDArray[Any]) -> Experiment:
        """The rows that `pick`, a mask or indices, picks; clusters are counted anew."""
        cluster = np.unique(self.cluster[pick], return_inverse=True)[1].astype(np.int64)
        return Experiment(self.features[pick], self.treated[pick], self.propensity[pick], self.outcome[pick], cluster)


@dataclass(frozen=True)
class Scores:
    """(n,) each; means over any rows that the outcome did not choose are unbiased for the mean outcome of these, had nobody of them, or
    everybody, been treated."""

    without: FloatArray
    treated: FloatArray

    @property
    def effect(self) -> FloatArray:
        """Scores of what treatment changes."""
        return self.treated - self.without


def doubly_robust(experiment: Experiment, without: FloatArray, treated: FloatArray) -> Scores:
    """μ̂_a + 1[A = a] / P(A = a) · (Y − μ̂_a). without, treated: μ̂ of models that saw no row of the cluster; whatever they say, known
    propensities keep the scores unbiased, and good models make them less noisy.

    Source: Kennedy, "Towards optimal doubly robust estimation of heterogeneous causal effects", EJS 2023, algorithm 1.
    """
    a, p, y = experiment.treated, experiment.propensity, experiment.outcome
    return Scores(without + ~a / (1.0 - p) * (y - without), treated + a / p * (y - treated))


def folds_of(cluster: IntArray, k: int, seed: int) -> IntArray:
    """(n,) the fold of each row, below k; whole clusters, by chance alone."""
    order = np.random.default_rng(seed).permutation(int(cluster.max(initial=-1)) + 1)
    folds: IntArray = order[cluster] % k
    return folds
