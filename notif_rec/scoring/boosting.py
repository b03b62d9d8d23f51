"""Gradient-boosted trees by LightGBM, monotone where features must be, each tree about users or about items but never both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
MOST_ROUNDS, PATIENCE = 400, 25
ROWS_A_THREAD = 50_000  # threads that wait for each other on fewer cost more than they bring
PARAMETERS: dict[str, Any] = {
    "objective": "cross_entropy",  # as binary, and takes shares of a click
    "learning_rate": 0.1,
    "num_leaves": 24,
    "min_data_in_leaf": 100,
    "min_sum_hessian_in_leaf": 5.0,
    "lambda_l2": 10.0,
    "max_bin": 63,
    "feature_fraction": 0.7,
    "monotone_constraints_method": "basic",
    "boost_from_average": False,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}
FEW = 30_000  # positives under which trees are smaller and each sees half of the rows: leaves of a few clicks foretell none
STURDY: dict[str, Any] = {"num_leaves": 8, "min_sum_hessian_in_leaf": 30.0, "bagging_fraction": 0.5, "bagging_freq": 1}


@dataclass(frozen=True)
class Lessons:
    """Rows to learn from. label: in [0, 1]. base: margins that trees start from. weight: of each row; None: all alike."""

    rows: npt.NDArray[np.float32]
    label: FloatArray
    base: FloatArray
    weight: FloatArray | None = None


def parameters(positives: float) -> dict[str, Any]:
    """How trees are grown from so many positives."""
    return PARAMETERS | (STURDY if positives < FEW else {})


def grow(
    lessons: Lessons,
    signs: npt.NDArray[np.int8],
    groups: Sequence[Sequence[int]],
    *,
    seed: int,
    threads: int,
    rounds: int = MOST_ROUNDS,
    until: Lessons | None = None,
) -> tuple[list[Mapping[str, Any]], int]:
    """Trees whose sum, added to the base, foretells the label as log-odds, as LightGBM describes them (for trees.flatten); and how many
    rounds they are.

    signs: +1 never falling, −1 never rising, 0 free, per feature. groups: features that may share a tree. until: later rows that
    end the growing where they no longer gain. The same trees for any `threads`.
    """
    import lightgbm as lgb

    told = parameters(float(lessons.label.sum())) | {
        "monotone_constraints": signs.tolist(),
        "interaction_constraints": [list(group) for group in groups],
        "seed": seed % 2**31,
        "num_threads": max(1, min(threads, len(lessons.label) // ROWS_A_THREAD)),
    }
    data = lgb.Dataset(lessons.rows, lessons.label, weight=lessons.weight, init_score=lessons.base, params=told, free_raw_data=True)
    later = [] if until is None else [data.create_valid(until.rows, until.label, init_score=until.base, params=told)]
    stop: list[Any] = [lgb.early_stopping(PATIENCE, verbose=False)] if later else []
    booster = lgb.train(told, data, num_boost_round=rounds, valid_sets=later, callbacks=stop)
    n = booster.best_iteration if later else rounds
    return booster.dump_model(num_iteration=max(n, 1))["tree_info"] if n else [], int(n)
