"""The holdout's arithmetic against a permutation of labels, the textbook rule, and groups drawn again and again."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.causal.experiment import Group, compare, mismatch, users_needed


def draw(random: np.random.Generator, n: int, p: float) -> Group:
    return Group.of((random.random(n) < p).astype(float))


def test_the_interval_holds_the_truth_in_95_of_100_experiments() -> None:
    random = np.random.default_rng(1)
    found = [compare(draw(random, 4000, 0.11), draw(random, 400, 0.10)) for _ in range(2000)]
    assert np.mean([e.low <= 0.01 <= e.high for e in found]) == pytest.approx(0.95, abs=0.015)


def test_the_error_is_that_of_permuted_labels() -> None:
    random = np.random.default_rng(2)
    values, held = random.exponential(size=3000), np.arange(3000) < 300
    found = compare(Group.of(values[~held]), Group.of(values[held]))
    moved = [values[~m].mean() - values[m].mean() for m in (random.permutation(held) for _ in range(2000))]
    assert found.error == pytest.approx(np.std(moved), rel=0.08)
    assert found.value == pytest.approx(values[~held].mean() - values[held].mean())


@pytest.mark.parametrize(("p", "delta"), [(0.1, 0.001), (0.02, 0.004), (0.5, 0.05)])
def test_sixteen_s_squared_over_d_squared(p: float, delta: float) -> None:
    needed = users_needed(p * (1 - p), delta)
    assert needed == pytest.approx(16 * p * (1 - p) / delta**2, rel=0.02)
    even = Group(needed, p, p * (1 - p))
    assert compare(even, even).detectable == pytest.approx(delta, rel=1e-3)


def test_power_is_how_often_an_effect_of_that_size_is_found() -> None:
    random, n = np.random.default_rng(3), 2000
    delta = compare(Group(n, 0.2, 0.16), Group(n, 0.2, 0.16)).detectable
    found = [compare(draw(random, n, 0.2 + delta), draw(random, n, 0.2)) for _ in range(2000)]
    assert np.mean([e.low > 0 for e in found]) == pytest.approx(0.8, abs=0.03)
    at_that = Group(n, 0.2 + delta, (0.2 + delta) * (0.8 - delta)), Group(n, 0.2, 0.16)
    assert compare(*at_that).power == pytest.approx(0.8, abs=0.03)


def test_groups_of_the_wrong_size_stand_out() -> None:
    assert abs(mismatch(50, 950, 0.05)) < 1e-9
    assert abs(mismatch(520, 9480, 0.05)) < 2
    assert mismatch(400, 9600, 0.05) < -4


def test_nobody_held_out_breaks_nothing() -> None:
    found = compare(Group.of(np.ones(5)), Group.of(np.zeros(0)))
    assert (found.relative, found.value) == (None, 1.0)
