"""Intervals: the bootstrap against a loop that draws users one by one, and the bound against the truth."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.causal.interval import BAGS, estimate, lower_bound
from notif_rec.causal.logged import Limits, one_choice_a_row
from tests.causal.test_logged import estimates, random_logs


def test_the_error_is_that_of_drawing_whole_users_one_by_one() -> None:
    logged, d = random_logs(3, 300)
    found = estimate(logged, Limits(), None, seed=1).values
    random, w, n = np.random.default_rng(2), d["target"] / d["propensity"], logged.n_clusters
    draws: dict[str, list[float]] = {"ips": [], "snips": [], "dr": []}
    for _ in range(2000):
        rows = np.concatenate([np.flatnonzero(d["cluster"] == user) for user in random.integers(0, n, n)])
        draws["ips"].append(np.mean((w * d["reward"])[rows]))
        draws["snips"].append(np.sum((w * d["reward"])[rows]) / np.sum(w[rows]))
        draws["dr"].append(np.mean((d["direct"] + w * (d["reward"] - d["predicted"]))[rows]))
    for name, values in draws.items():
        assert found[name].error == pytest.approx(np.std(values) * np.sqrt(n / (n - 1)), rel=0.07), name
        assert found[name].low < found[name].value < found[name].high


def test_points_are_the_estimates_and_a_seed_draws_the_same_users() -> None:
    logged, _ = random_logs(4)
    found = estimate(logged, Limits(), None, seed=7)
    assert {k: v.value for k, v in found.values.items()} == pytest.approx(estimates(logged, Limits()))
    assert estimate(logged, Limits(), None, seed=7) == found
    assert estimate(logged, Limits(), None, seed=8) != found
    same = estimate(logged, Limits(), (logged, Limits()), seed=7).differences["dr"]
    assert (same.value, same.low, same.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)


def test_a_difference_is_narrower_than_two_values_that_were_drawn_apart() -> None:
    logged, d = random_logs(5, 2000)
    near = one_choice_a_row(d["cluster"], d["reward"], d["propensity"], d["target"] * 0.99, d["predicted"], d["direct"])
    found = estimate(logged, Limits(), (near, Limits()), seed=1)
    gap = found.differences["ips"]
    assert gap.value == pytest.approx(0.01 * found.values["ips"].value)
    assert gap.error == pytest.approx(0.01 * found.values["ips"].error, rel=0.05)


def test_intervals_of_few_skewed_users_hold_the_truth_as_often_as_they_say() -> None:
    random, n = np.random.default_rng(9), 60
    inside, plain = [], []
    for seed in range(200):
        reward = np.exp(1.3 * random.normal(size=n))
        logged = one_choice_a_row(np.arange(n), reward, np.full(n, 0.5), np.full(n, 0.5))
        found = estimate(logged, Limits(), None, seed=seed, draws=300).values["ips"]
        truth = np.exp(1.3**2 / 2)
        inside.append(found.low <= truth <= found.high)
        plain.append(abs(found.value - truth) <= 1.96 * found.error)
    assert np.mean(inside) >= 0.9 and np.mean(inside) > np.mean(plain) + 0.02  # a plain normal interval misses more often


def test_more_users_than_bags_have_the_interval_of_their_mean() -> None:
    random, n = np.random.default_rng(5), 3 * BAGS + 17
    reward = random.normal(size=n)
    logged = one_choice_a_row(np.arange(n), reward, np.full(n, 0.5), np.full(n, 0.5))
    found = estimate(logged, Limits(), None, seed=1).values["ips"]
    assert found.error == pytest.approx(reward.std() / np.sqrt(n), rel=0.1)
    assert found.high - found.low == pytest.approx(2 * 1.96 * reward.std() / np.sqrt(n), rel=0.15)


def test_the_lower_bound_holds_far_more_often_than_it_must_and_grows_with_the_logs() -> None:
    random = np.random.default_rng(6)
    bounds = {n: [lower_bound(bandit(random, n)) for _ in range(200)] for n in (500, 20_000)}
    assert max(np.mean(np.array(b) > 0.5) for b in bounds.values()) <= 0.05
    assert np.mean(bounds[20_000]) > 0.4 > np.mean(bounds[500])


def test_the_lower_bound_takes_losses_as_well() -> None:
    random = np.random.default_rng(7)
    logged = bandit(random, 20_000)
    moved = type(logged)(**{**vars(logged), "reward": logged.reward - 3.0})
    assert lower_bound(moved) == pytest.approx(lower_bound(logged) - 3.0, abs=1e-9)


def bandit(random: np.random.Generator, n: int):  # type: ignore[no-untyped-def]
    """Two actions, the target always takes the second, which is logged one time in five and pays half the time."""
    a = random.random(n) < 0.2
    reward = (random.random(n) < np.where(a, 0.5, 0.1)).astype(float)
    return one_choice_a_row(np.arange(n), reward, np.where(a, 0.2, 0.8), a.astype(float))
