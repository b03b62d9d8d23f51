from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

from notif_rec.models.fit import LEAST_TREND, drift_of, trend_of
from notif_rec.models.popularity import RECENT_PRIOR
from notif_rec.models.settings import ModelSettings
from notif_rec.models.trend import DEFAULT, DOUBT, FEW_LIKES, HALF_LIVES, MOST_DRIFT, SLICE_US, UNIT, Pace, fit_pace


def world(lives: float, days: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """200 signs a day; every item is liked only for `lives` days around a day of its own."""
    rng = np.random.default_rng(seed)
    at = rng.random(200 * days) * days
    item = np.floor((at + rng.exponential(lives, len(at))) * 3).astype(np.int64)
    return item, (at * SLICE_US).astype(np.int64)


def pace_of(item: np.ndarray, at: np.ndarray, n_items: int) -> Pace:
    """Every sign by a user of its own."""
    return fit_pace(np.arange(len(item)), item, at, n_items)


@pytest.mark.parametrize(("lives", "least", "most"), [(0.3, 2, 12), (6.0, 24, 400), (1e4, 700, 1e9)])
def test_it_is_as_short_as_the_lives_of_the_items(lives: float, least: float, most: float) -> None:
    item, at = world(lives)
    if lives > 1e3:
        item = np.random.default_rng(1).integers(0, 50, len(item))
    hours = pace_of(item, at, int(item.max()) + 1).half_life / timedelta(hours=1)
    assert least <= hours <= most


def test_the_order_of_the_signs_means_nothing() -> None:
    item, at = world(3.0)
    shuffled = np.random.default_rng(2).permutation(len(item))
    n, user = int(item.max()) + 1, np.arange(len(item)) % 40
    assert fit_pace(user, item, at, n) == fit_pace(user[shuffled], item[shuffled], at[shuffled], n)


@pytest.mark.parametrize("n", [0, 1, 50])
def test_too_few_signs_tell_nothing(n: int) -> None:
    item, at = world(3.0)
    assert pace_of(item[:n], at[:n], 1000) == Pace(DEFAULT, 0.0, 0.0)


def test_signs_of_one_moment_tell_nothing() -> None:
    assert pace_of(np.arange(500), np.zeros(500, np.int64), 500) == Pace() and DEFAULT in HALF_LIVES


@pytest.mark.parametrize("days", [4, 10, 13])
def test_a_past_of_a_few_days_is_enough(days: int) -> None:
    item, at = world(0.1, days)
    assert pace_of(item, at, int(item.max()) + 1).half_life <= timedelta(hours=12)


def test_what_comes_new_does_not_say_how_fast_the_old_fades() -> None:
    """Half of each day's signs fall on items of that day alone, of which nothing can be known; the others never fade."""
    rng = np.random.default_rng(3)
    at = rng.random(12_000) * 60
    item = np.where(rng.random(len(at)) < 0.5, 50 + (at * 100).astype(np.int64), rng.integers(0, 50, len(at)))
    assert pace_of(item, (at * SLICE_US).astype(np.int64), int(item.max()) + 1).half_life >= timedelta(days=30)


def test_its_gain_is_what_it_foretells_beyond_all_of_the_past() -> None:
    """Each item lives for two days; of those that are asked for, yesterday had a tenth of its signs, and all d days 1 of 10 d."""
    rng = np.random.default_rng(6)
    at = np.sort(rng.random(20_000) * 40)
    moments = (at * SLICE_US).astype(np.int64)
    fading, lasting = at.astype(np.int64) * 5 + rng.integers(0, 10, len(at)), rng.integers(0, 50, len(at))
    assert 0.85 * np.log(32) < pace_of(fading, moments, 250).gain < np.log(32)
    assert pace_of(lasting, moments, 50).gain < 0.01


def shop(log_odds: Callable[[np.ndarray], np.ndarray], days: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """400 signs a day of 60 items by the log-odds of each at a time from 0 to 1: (item, at_us)."""
    rng = np.random.default_rng(8)
    item = []
    for day in range(days):
        odds = np.exp(log_odds(np.array(day / days)))
        item.append(rng.choice(len(odds), 400, p=odds / odds.sum()))
    return np.concatenate(item), ((np.arange(400 * days) + 0.5) / 400 * SLICE_US).astype(np.int64)


def test_the_weight_of_change_is_high_where_changes_go_on_and_nothing_where_they_revert() -> None:
    slope, base = np.linspace(-1.5, 1.5, 60), np.random.default_rng(9).normal(0, 0.5, 60)
    grows = pace_of(*shop(lambda t: base + 2 * slope * t), 60).drift
    reverts = pace_of(*shop(lambda t: base + slope * np.cos(np.pi * 40 * t)), 60).drift  # every other day the other way
    passed = pace_of(*shop(lambda t: base + 2 * slope * (t > 0.5) * (t < 0.6)), 60).drift
    assert grows > 2.5 and (reverts, passed) == (0.0, 0.0)
    chance = pace_of(*shop(lambda t: base), 60)
    assert chance.half_life == HALF_LIVES[-1] and chance.gain < 0.001  # so slow that next to nothing has changed


def test_a_user_who_takes_all_there_is_says_no_more_of_change_than_another() -> None:
    """Beside those by whom changes go on, on every day one user takes each item once."""
    slope = np.linspace(-1.5, 1.5, 60)
    item, at = shop(lambda t: 2 * slope * t**2)
    alone, user = pace_of(item, at, 60), np.arange(len(item))
    every = np.arange(40 * 60 * 5)
    user, item = np.append(user, len(user) + every // (60 * 5)), np.append(item, every % 60)
    at = np.append(at, (every // (60 * 5) + 0.5) * SLICE_US).astype(np.int64)
    as_one, apart = fit_pace(user, item, at, 60), pace_of(item, at, 60)
    assert as_one.drift > 2 * apart.drift and as_one.drift > 0.8 * alone.drift


def test_the_drift_is_what_a_grid_of_likelihoods_says() -> None:
    """Ten lines of the same, day by day; one sign a user and day."""
    item, at = shop(lambda t: 2 * np.linspace(-1.5, 1.5, 60) * t**2)
    pace, day = pace_of(item, at, 60), at // SLICE_US
    drifts, likely = np.linspace(0, MOST_DRIFT, 1001), -((np.linspace(0, MOST_DRIFT, 1001) / DOUBT) ** 2) / 2
    for asked in range(26, 40):
        before = day < asked
        ever = np.bincount(item[before], minlength=60)
        age = (at.max() - at[before]) / SLICE_US - (40 - asked)
        counts = np.bincount(item[before], np.exp2(-age / (pace.half_life / timedelta(days=1))), 60)
        now, then = (counts + RECENT_PRIOR * ever / ever.sum()) / (counts.sum() + RECENT_PRIOR), ever / ever.sum()
        change = (now - then) / (now + then + FEW_LIKES / ever.sum() + FEW_LIKES / min(counts.sum(), ever.sum()))
        odds = np.sqrt(now * then) * np.exp(UNIT * drifts[:, None] * change)
        likely = likely + np.log(odds / odds.sum(axis=1, keepdims=True))[:, item[day == asked]].sum(axis=1)
    assert pace.drift == pytest.approx(drifts[likely.argmax()], abs=0.011)


def test_the_weights_of_what_is_popular_and_of_change_follow_the_data_unless_they_are_given() -> None:
    assert [trend_of(ModelSettings(), Pace(gain=gain)) for gain in (0.0, 0.1, 2.5, 99.0)] == [LEAST_TREND, LEAST_TREND, 2.5, 10.0]
    assert trend_of(ModelSettings(trend=0.0), Pace(gain=2.5)) == 0.0
    assert (drift_of(ModelSettings(), Pace(drift=1.5)), drift_of(ModelSettings(drift=4.0), Pace(drift=1.5))) == (1.5, 4.0)
