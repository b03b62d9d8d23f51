"""Intervals: seeded, covering, and equal however they are drawn."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.models.bootstrap import mean_interval, paired_interval


def test_same_seed_same_interval_other_seed_other() -> None:
    values = np.random.default_rng(1).normal(size=500)
    assert mean_interval(values, 7) == mean_interval(values, 7)
    assert mean_interval(values, 7) != mean_interval(values, 8)


@pytest.mark.parametrize("decimals", [1, 12])  # few distinct values take the multinomial way, many the plain one
def test_width_is_that_of_the_normal_approximation(decimals: int) -> None:
    values = np.round(np.random.default_rng(2).normal(0.3, 2.0, size=4000), decimals)
    found = mean_interval(values, 3, draws=4000)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.05)
    assert found.low < found.mean < found.high


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(4)
    inside = 0
    for trial in range(200):
        found = mean_interval(random.exponential(size=200), trial, draws=300)
        inside += found.low <= 1.0 <= found.high
    assert 178 <= inside <= 199


def test_paired_is_tighter_than_each_where_users_differ() -> None:
    random = np.random.default_rng(5)
    users = random.normal(size=1000)
    better, worse = users + 0.1 + random.normal(scale=0.05, size=1000), users
    found = paired_interval(better, worse, 1)
    assert 0.09 < found.low < found.high < 0.11
    assert mean_interval(better, 1).low < mean_interval(worse, 1).high


def test_ends() -> None:
    assert mean_interval(np.zeros(0), 1).to_json() == {"mean": 0.0, "low": 0.0, "high": 0.0}
    one = mean_interval(np.array([0.25]), 1)
    assert (one.low, one.high) == (0.25, 0.25)
