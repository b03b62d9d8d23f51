"""A plain model of the reward, for the estimators that lean on one: a linear effect of each feature and one effect a choice.

It need not be right: with known probabilities the doubly robust estimators are unbiased whatever it says, and only their spread
depends on it. Nobody is predicted by a fit that saw them: clusters are split into folds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FOLDS = 10
FEW_CHOICES = 10  # effects of fewer choices are not shrunk: their spread cannot be told
RIDGE = 1e-6  # of the features, as a share of the rows: against columns that say the same


@dataclass(frozen=True)
class RewardModel:
    """Predictions of a fit that did not see the row's cluster.

    base: (n,) without the choice's effect. effect: (n_folds, n_choices). fold: (n,) which one is the row's.
    """

    base: FloatArray
    effect: FloatArray
    fold: IntArray

    def of(self, choice: IntArray) -> FloatArray:
        """(n,) the prediction for a choice a row."""
        return np.asarray(self.base + self.effect[self.fold, choice])

    def direct(self, shares: FloatArray, context: IntArray) -> FloatArray:
        """(n,) Σ_a π(a)·q̂(x, a). shares: (n_contexts, n_choices) the policy in each context; context: (n,) the row's."""
        by_fold = self.effect @ shares.T
        return np.asarray(self.base * shares.sum(axis=1)[context] + by_fold[self.fold, context])


def fit_reward(reward: FloatArray, choice: IntArray, n_choices: int, features: FloatArray, cluster: IntArray, seed: int) -> RewardModel:
    """The cross-fitted model. features: (n, p) finite numbers; choice: codes below n_choices."""
    n, p = features.shape
    scaled = _scaled(features)
    fold = _folds(cluster, seed)
    shown = np.ones((n, 1)), scaled, sparse.csr_matrix((np.ones(n), (np.arange(n), choice)), shape=(n, n_choices))
    design = sparse.hstack([sparse.csr_matrix(part) for part in shown]).tocsr()
    penalty = np.concatenate([[1e-9], np.full(p, RIDGE * n), np.full(n_choices, _shrinkage(reward, choice, n_choices))])
    grams = [design[fold == k].T @ design[fold == k] for k in range(int(fold.max()) + 1)]
    moments = [design[fold == k].T @ reward[fold == k] for k in range(len(grams))]
    gram, moment = sum(g.toarray() for g in grams), sum(moments)
    fits = [linalg.solve(gram - g.toarray() + np.diag(penalty), moment - m, assume_a="pos") for g, m in zip(grams, moments, strict=True)]
    coefficients = np.array(fits)
    base = (np.hstack([np.ones((n, 1)), scaled]) * coefficients[fold, : p + 1]).sum(axis=1)
    return RewardModel(base, coefficients[:, p + 1 :], fold)


def _scaled(features: FloatArray) -> FloatArray:
    """Columns with mean 0 and spread 1; constant ones become 0."""
    centred = features - features.mean(axis=0) if len(features) else features
    spread = centred.std(axis=0) if len(features) else np.ones(features.shape[1])
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _folds(cluster: IntArray, seed: int) -> IntArray:
    n = int(cluster.max(initial=0)) + 1
    order = np.random.default_rng(seed).permutation(n)
    folds: IntArray = order[cluster] % min(FOLDS, n) if n > 1 else np.zeros(len(cluster), dtype=np.int64)
    return folds


def _shrinkage(reward: FloatArray, choice: IntArray, n_choices: int) -> float:
    """Rows of a choice that the mean of all outweighs: within-choice variance over the variance of true means, by moments."""
    count = np.bincount(choice, minlength=n_choices).astype(np.float64)
    seen = count > 1
    if seen.sum() < FEW_CHOICES:
        return 1e-9 * len(reward)
    mean = np.bincount(choice, reward, n_choices)[seen] / count[seen]
    square = np.bincount(choice, reward**2, n_choices)[seen] / count[seen]
    within = float(((square - mean**2) * count[seen]).sum() / (count[seen] - 1).sum())
    between = float(mean.var(ddof=1) - (within / count[seen]).mean())
    return within / between if between > 1e-12 * within and within > 0 else 1e6
