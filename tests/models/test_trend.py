from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from notif_rec.models.fit import LEAST_TREND, trend_of
from notif_rec.models.settings import ModelSettings
from notif_rec.models.trend import DEFAULT, HALF_LIVES, SLICE_US, Pace, fit_pace


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
    hours = fit_pace(item, at, int(item.max()) + 1).half_life / timedelta(hours=1)
    assert least <= hours <= most


def test_the_order_of_the_signs_means_nothing() -> None:
    item, at = world(3.0)
    shuffled = np.random.default_rng(2).permutation(len(item))
    n = int(item.max()) + 1
    assert fit_pace(item, at, n) == fit_pace(item[shuffled], at[shuffled], n)


@pytest.mark.parametrize("n", [0, 1, 50])
def test_too_few_signs_tell_nothing(n: int) -> None:
    item, at = world(3.0)
    assert fit_pace(item[:n], at[:n], 1000) == Pace(DEFAULT, 0.0)


def test_signs_of_one_moment_tell_nothing() -> None:
    assert fit_pace(np.arange(500), np.zeros(500, np.int64), 500) == Pace() and DEFAULT in HALF_LIVES


@pytest.mark.parametrize("days", [4, 10, 13])
def test_a_past_of_a_few_days_is_enough(days: int) -> None:
    item, at = world(0.1, days)
    assert fit_pace(item, at, int(item.max()) + 1).half_life <= timedelta(hours=12)


def test_what_comes_new_does_not_say_how_fast_the_old_fades() -> None:
    """Half of each day's signs fall on items of that day alone, of which nothing can be known; the others never fade."""
    rng = np.random.default_rng(3)
    at = rng.random(12_000) * 60
    item = np.where(rng.random(len(at)) < 0.5, 50 + (at * 100).astype(np.int64), rng.integers(0, 50, len(at)))
    assert fit_pace(item, (at * SLICE_US).astype(np.int64), int(item.max()) + 1).half_life >= timedelta(days=30)


def test_its_gain_is_what_it_foretells_beyond_all_of_the_past() -> None:
    """Each item lives for two days; of those that are asked for, yesterday had a tenth of its signs, and all d days 1 of 10 d."""
    rng = np.random.default_rng(6)
    at = np.sort(rng.random(20_000) * 40)
    moments = (at * SLICE_US).astype(np.int64)
    fading, lasting = at.astype(np.int64) * 5 + rng.integers(0, 10, len(at)), rng.integers(0, 50, len(at))
    assert 0.85 * np.log(32) < fit_pace(fading, moments, 250).gain < np.log(32)
    assert fit_pace(lasting, moments, 50).gain < 0.01


def test_the_weight_of_what_is_popular_follows_the_gain_unless_it_is_given() -> None:
    assert [trend_of(ModelSettings(), gain) for gain in (0.0, 0.2, 2.5, 99.0)] == [LEAST_TREND, LEAST_TREND, 2.5, 10.0]
    assert trend_of(ModelSettings(trend=0.0), 2.5) == 0.0
