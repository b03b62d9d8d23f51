from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from notif_rec.models.trend import DEFAULT, HALF_LIVES, SLICE_US, choose_half_life


def world(lives: float, days: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """200 signs a day; every item is liked only for `lives` days around a day of its own."""
    rng = np.random.default_rng(seed)
    at = rng.random(200 * days) * days
    item = np.floor((at + rng.exponential(lives, len(at))) * 3).astype(np.int64)
    return item, (at * SLICE_US).astype(np.int64)


@pytest.mark.parametrize(("lives", "least", "most"), [(0.3, 2, 12), (6.0, 24, 400), (1e4, 700, 1e9)])
def test_it_is_as_short_as_the_lives_of_the_items(lives: float, least: float, most: float) -> None:
    item, at = world(lives)
    if lives > 1e3:
        item = np.random.default_rng(1).integers(0, 50, len(item))
    hours = choose_half_life(item, at, int(item.max()) + 1) / timedelta(hours=1)
    assert least <= hours <= most


def test_the_order_of_the_signs_means_nothing() -> None:
    item, at = world(3.0)
    shuffled = np.random.default_rng(2).permutation(len(item))
    n = int(item.max()) + 1
    assert choose_half_life(item, at, n) == choose_half_life(item[shuffled], at[shuffled], n)


@pytest.mark.parametrize("n", [0, 1, 50])
def test_too_few_signs_tell_nothing(n: int) -> None:
    item, at = world(3.0)
    assert choose_half_life(item[:n], at[:n], 1000) == DEFAULT


def test_signs_of_one_moment_tell_nothing() -> None:
    assert choose_half_life(np.arange(500), np.zeros(500, np.int64), 500) == DEFAULT and DEFAULT in HALF_LIVES


@pytest.mark.parametrize("days", [4, 10, 13])
def test_a_past_of_a_few_days_is_enough(days: int) -> None:
    item, at = world(0.1, days)
    assert choose_half_life(item, at, int(item.max()) + 1) <= timedelta(hours=12)


def test_what_comes_new_does_not_say_how_fast_the_old_fades() -> None:
    """Half of each day's signs fall on items of that day alone, of which nothing can be known; the others never fade."""
    rng = np.random.default_rng(3)
    at = rng.random(12_000) * 60
    item = np.where(rng.random(len(at)) < 0.5, 50 + (at * 100).astype(np.int64), rng.integers(0, 50, len(at)))
    assert choose_half_life(item, (at * SLICE_US).astype(np.int64), int(item.max()) + 1) >= timedelta(days=30)
