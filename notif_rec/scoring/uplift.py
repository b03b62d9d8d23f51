"""What a treatment changes for whom: a doubly robust learner on boosted trees, fitted to a randomised experiment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.causal.uplift import Experiment, Scores, doubly_robust, folds_of
from notif_rec.scoring.trees import Trees, flatten, joined, no_trees, tree_scores

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Rows = npt.NDArray[np.float32]
FOLDS = 5
MOST_ROUNDS, PATIENCE = 150, 15
MOST_ROWS = 400_000  # more are not learned from: a sample of the users is
FEW_ROWS = 100  # of an arm, under which its mean stands for everybody
CLEARLY = 2.0  # standard errors by which differences between users must foretell better than none
ONE_IN_TEN = 1.645  # standard errors beyond which chance goes once in ten times
LEAST = 1e-9  # of squares, under which answers do not differ
ROWS_A_THREAD = 50_000
PARAMETERS: dict[str, Any] = {
    "objective": "regression",
    "learning_rate": 0.08,
    "num_leaves": 6,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "boost_from_average": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Surface:
    """A number for every row of features: level + what trees add."""

    level: float
    trees: Trees

    def of(self, rows: Rows) -> FloatArray:
        """(n,) of each row."""
        return self.level + tree_scores(self.trees, rows)

    @property
    def flat(self) -> bool:
        """Whether it is one number for all."""
        return not len(self.trees.value)

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats read back bit by bit."""
        return {"level": self.level, "trees": self.trees.to_json()}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], n_features: int) -> Surface:
        """Raises ValueError, KeyError or TypeError where `stored` is not what `to_json` wrote of so many features."""
        trees = Trees.from_json(stored["trees"])
        if (trees.feature >= n_features).any():
            raise ValueError(f"a model of other features than the {n_features} of this version")
        return cls(float(stored["level"]), trees)


@dataclass(frozen=True)
class UpliftModel:
    """without, treated: the mean outcome without treatment and with it, each fitted alone. uplift: what treatment adds, fitted to
    doubly robust scores: not their difference, which follows the noise of both."""

    without: Surface
    treated: Surface
    uplift: Surface


def fit_uplift(experiment: Experiment, *, seed: int = 1, threads: int = 1) -> UpliftModel:
    """The model of an experiment that holds both arms: an effect that grows with the mean outcome of both, as far as that shows, and trees
    for the rest of it. One effect for all where neither shows.

    Source: Kennedy, EJS 2023, algorithm 1 (DR-learner), cross-fitted over FOLDS folds of users. The same model for any `threads`.
    """
    experiment = _sampled(experiment, seed)
    told = {"seed": seed % 2**31, "num_threads": max(1, min(threads, len(experiment.outcome) // ROWS_A_THREAD))}
    fold = folds_of(experiment.cluster, FOLDS, seed)
    rows, y = experiment.features, experiment.outcome
    arms, means = [], []
    for arm in (~experiment.treated, experiment.treated):
        surface, apart = _cross_fitted(rows, y, arm, fold, told)
        arms.append(surface)
        means.append(apart)
    effect = doubly_robust(experiment, *means).effect
    answers, apart = _cross_fitted(rows, y, np.ones(len(y), np.bool_), fold, told)
    slope = _slope(apart, effect)
    rest = effect - slope * apart
    uplift = _sum(slope, answers, _surface(rows, rest, _rounds(rows, rest, fold, told, CLEARLY), told))
    return UpliftModel(arms[0], arms[1], uplift)


def _sampled(experiment: Experiment, seed: int) -> Experiment:
    """All rows of as many users, chosen by chance, as have about MOST_ROWS."""
    n, users = len(experiment.outcome), int(experiment.cluster.max(initial=-1)) + 1
    if n <= MOST_ROWS:
        return experiment
    return experiment.where(np.random.default_rng(seed).random(users)[experiment.cluster] < MOST_ROWS / n)


def judged_apart(experiment: Experiment, *, seed: int = 1, threads: int = 1) -> tuple[Scores, FloatArray, IntArray]:
    """Doubly robust scores, and foretold effects, of each half of the users by models of the other half; and the half of each row."""
    half = folds_of(experiment.cluster, 2, seed)
    without, treated, uplift = (np.zeros(len(half)) for _ in range(3))
    for side in (0, 1):
        mine = half == side
        model, rows = fit_uplift(experiment.where(~mine), seed=seed, threads=threads), experiment.features[mine]
        without[mine], treated[mine], uplift[mine] = (s.of(rows) for s in (model.without, model.treated, model.uplift))
    return doubly_robust(experiment, without, treated), uplift, half


def _cross_fitted(
    rows: Rows, y: FloatArray, arm: npt.NDArray[np.bool_], fold: IntArray, told: Mapping[str, Any]
) -> tuple[Surface, FloatArray]:
    """The mean outcome of an arm, and what it is for each row by a fit that did not see the row's fold."""
    rounds = _rounds(rows[arm], y[arm], fold[arm], told, 0.0)
    apart = np.zeros(len(y))
    for k in range(FOLDS):
        others, mine = arm & (fold != k), fold == k
        apart[mine] = _surface(rows[others], y[others], rounds, told).of(rows[mine])
    return _surface(rows[arm], y[arm], rounds, told), apart


def _surface(rows: Rows, target: FloatArray, rounds: int, told: Mapping[str, Any]) -> Surface:
    """Trees on top of the mean; of no round, or few rows, the mean."""
    level = float(target.mean()) if len(target) else 0.0
    if not rounds or len(target) < FEW_ROWS:
        return Surface(level, no_trees())
    import lightgbm as lgb

    data = lgb.Dataset(rows, target - level, params=(given := _given(len(target), told)), free_raw_data=True)
    booster = lgb.train(given, data, num_boost_round=rounds)
    return Surface(level, flatten(booster.dump_model()["tree_info"]))


def _slope(answers: FloatArray, effect: FloatArray) -> float:
    """How the effect grows with what a row answers anyhow, shrunk by what chance alone makes of it; 0 where it may well be chance.

    What people answer shows in every row, what treatment changes only in a difference of rows: where the two go together the first tells
    more of the second than the second itself.
    """
    apart, rest = answers - answers.mean(), effect - effect.mean()
    room = float(apart @ apart)
    if len(effect) < FEW_ROWS or room < LEAST:
        return 0.0
    slope = float(apart @ rest) / room
    error = float(np.sqrt((((rest - slope * apart) * apart) ** 2).sum())) / room
    return slope * (1 - (error / slope) ** 2) if abs(slope) > ONE_IN_TEN * error else 0.0


def _sum(slope: float, of: Surface, rest: Surface) -> Surface:
    """slope · of + rest: trees again."""
    if not slope:
        return rest
    return Surface(rest.level + slope * of.level, joined(of.trees._replace(value=slope * of.trees.value), rest.trees))


def _rounds(rows: Rows, target: FloatArray, fold: IntArray, told: Mapping[str, Any], clearly: float) -> int:
    """The rounds of boosting that foretell best out of fold; 0 where they do not beat the mean by `clearly` standard errors."""
    if len(target) < FEW_ROWS or len(np.unique(fold)) < FOLDS:
        return 0
    import lightgbm as lgb

    level = target.mean()
    given = _given(len(target), told)
    parts = [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(FOLDS)]
    data = lgb.Dataset(rows, target - level, params=given, free_raw_data=False)
    stop = [lgb.early_stopping(PATIENCE, verbose=False)]
    found = lgb.cv(given, data, MOST_ROUNDS, folds=parts, callbacks=stop, return_cvbooster=True)
    best = int(found["cvbooster"].best_iteration)
    saved = np.zeros(len(target))
    for (learn, test), booster in zip(parts, found["cvbooster"].boosters, strict=True):
        p = booster.predict(rows[test], num_iteration=best) + level
        saved[test] = (target[test] - target[learn].mean()) ** 2 - (target[test] - p) ** 2
    return best if saved.mean() > clearly * saved.std() / np.sqrt(len(saved)) else 0


def _given(n: int, told: Mapping[str, Any]) -> dict[str, Any]:
    return {**PARAMETERS, **told, "min_data_in_leaf": int(np.clip(n // 100, 20, 500))}
