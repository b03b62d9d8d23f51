"""The estimators against their definitions, row by row, and against every log that a tiny bandit can write."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from notif_rec.causal.logged import Limits, Logged, cluster_sums, gradient_of, one_choice_a_row, shrunk, value_of

LIMITS = Limits(clip=3.0, switch=2.0, shrink=4.0)


def random_logs(seed: int, n: int = 200) -> tuple[Logged, dict[str, np.ndarray]]:
    random = np.random.default_rng(seed)
    rows = {
        "cluster": np.sort(random.integers(0, 30, n)),
        "reward": random.normal(size=n),
        "propensity": random.uniform(0.05, 1, n),
        "target": random.uniform(0, 1, n),
        "predicted": random.normal(size=n),
        "direct": random.normal(size=n),
    }
    rows["cluster"] = np.unique(rows["cluster"], return_inverse=True)[1]
    return one_choice_a_row(**rows), rows


def estimates(logged: Logged, limits: Limits = LIMITS) -> dict[str, float]:
    return {name: float(value_of(sums.sum(axis=0))) for name, sums in cluster_sums(logged, limits).items()}


@pytest.mark.parametrize("name", ["ips", "snips", "dm", "sndr"])
def test_the_gradient_is_what_a_small_step_moves(name: str) -> None:
    sums = cluster_sums(random_logs(6)[0], LIMITS)[name].sum(axis=0)
    for column in range(5):
        step = np.zeros(5)
        step[column] = 1e-4
        moved = (value_of(sums + step) - value_of(sums - step)) / 2e-4
        if column != 4 or sums[4] != 0.0:
            assert gradient_of(sums)[column] == pytest.approx(float(moved), abs=1e-8)


@pytest.mark.parametrize("seed", range(5))
def test_every_estimator_is_its_definition(seed: int) -> None:
    logged, d = random_logs(seed)
    w, r, q, direct = d["target"] / d["propensity"], d["reward"], d["predicted"], d["direct"]
    expected = {
        "logged": np.mean(r),
        "ips": np.mean(w * r),
        "clipped_ips": np.mean(np.minimum(w, 3.0) * r),
        "snips": np.sum(w * r) / np.sum(w),
        "dm": np.mean(direct),
        "dr": np.mean(direct + w * (r - q)),
        "sndr": np.mean(direct) + np.sum(w * (r - q)) / np.sum(w),
        "switch_dr": np.mean(direct + np.where(w <= 2.0, w, 0.0) * (r - q)),
        "dros": np.mean(direct + 4.0 * w / (w**2 + 4.0) * (r - q)),
    }
    assert estimates(logged) == pytest.approx(expected)


def test_without_limits_the_tamed_ones_are_the_plain_ones() -> None:
    found = estimates(random_logs(1)[0], Limits())
    assert found["clipped_ips"] == pytest.approx(found["ips"])
    assert found["switch_dr"] == pytest.approx(found["dr"])
    assert found["dros"] == pytest.approx(found["dr"])


def test_shrinking_never_raises_a_weight_and_keeps_small_ones() -> None:
    w = np.array([0.0, 0.01, 1.0, 5.0, 100.0])
    assert (shrunk(w, 25.0) <= w).all()
    assert shrunk(w, 25.0)[1] == pytest.approx(0.01, rel=1e-4)
    assert shrunk(w, 25.0).max() <= 5.0 / 2 + 1e-12  # √λ / 2 at w = √λ


BEHAVIOUR = np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]])  # by context and action
TARGET = np.array([[0.0, 0.9, 0.1], [1.0, 0.0, 0.0]])
CLICK = np.array([[0.2, 0.5, 0.9], [0.7, 0.4, 0.1]])
MODEL = np.array([[0.9, 0.1, 0.3], [0.2, 0.2, 0.2]])  # wrong on purpose
CONTEXT = np.array([0.6, 0.4])
TRUTH = float((CONTEXT[:, None] * TARGET * CLICK).sum())


def expectation(told: np.ndarray, n: int = 2) -> dict[str, float]:
    """The mean of each estimate over all logs of n decisions, each weighed by its probability; `told`: the propensities written down."""
    outcomes = list(product(range(2), range(3), range(2)))
    total: dict[str, float] = {}
    for log in product(outcomes, repeat=n):
        x, a, r = (np.array(column) for column in zip(*log, strict=True))
        chance = float(np.prod(CONTEXT[x] * BEHAVIOUR[x, a] * np.where(r == 1, CLICK[x, a], 1 - CLICK[x, a])))
        direct = (TARGET[x] * MODEL[x]).sum(axis=1)
        logged = one_choice_a_row(np.arange(n), r.astype(float), told[x, a], TARGET[x, a], MODEL[x, a], direct)
        for name, value in estimates(logged, Limits()).items():
            total[name] = total.get(name, 0.0) + chance * (value if np.isfinite(value) else 0.0)
    return total


def test_weighted_and_doubly_robust_values_are_right_on_average_over_every_possible_log() -> None:
    found = expectation(BEHAVIOUR)
    assert found["ips"] == pytest.approx(TRUTH, abs=1e-12)
    assert found["dr"] == pytest.approx(TRUTH, abs=1e-12)
    assert found["logged"] == pytest.approx(float((CONTEXT[:, None] * BEHAVIOUR * CLICK).sum()), abs=1e-12)
    assert abs(found["dm"] - TRUTH) > 0.1  # the model is wrong
    assert abs(found["snips"] - TRUTH) > 1e-3  # self-normalised: biased in small logs


def test_with_wrong_propensities_they_are_not() -> None:
    found = expectation(np.full((2, 3), 1 / 3))
    assert abs(found["ips"] - TRUTH) > 0.05
    assert abs(found["dr"] - TRUTH) > 0.05
