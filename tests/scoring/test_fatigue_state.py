"""Fading sums, ignored runs and days in each state against slow loops over one user after another."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.scoring.fatigue_state import (
    AGE_LEVELS,
    CELLS,
    DAY_US,
    RECENT_LEVELS,
    RECENT_US,
    RUN_LEVELS,
    fatigue_and_slope,
    fatigue_before,
    past_choices,
)  # fmt: skip

HOUR_US = DAY_US // 24


def ragged(rng: np.random.Generator, users: int, most: int, span: int) -> tuple[np.ndarray, np.ndarray]:
    """Starts and times, ascending within each user, several of them equal."""
    sizes = rng.integers(0, most, users)
    times = [np.sort(rng.integers(0, span, n) * 6 * HOUR_US) for n in sizes]
    return np.concatenate(([0], np.cumsum(sizes))), np.concatenate([*times, np.zeros(0, np.int64)]).astype(np.int64)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.1, 30.0))
def test_fatigue_equals_the_sum_by_its_definition(seed: int, half_life_days: float) -> None:
    rng = np.random.default_rng(seed)
    start, at_us = ragged(rng, 4, 9, 60)
    asked_start, asked_us = ragged(rng, 4, 5, 80)
    channel, half_life = rng.integers(0, 3, len(at_us)).astype(np.int8), half_life_days * DAY_US
    found = fatigue_before(start, at_us, channel, asked_start, asked_us, half_life, 3)
    for user in range(4):
        for asked in range(asked_start[user], asked_start[user + 1]):
            before = [i for i in range(start[user], start[user + 1]) if at_us[i] < asked_us[asked]]
            for c in range(3):
                truth = math.fsum(2.0 ** (-(asked_us[asked] - at_us[i]) / half_life) for i in before if channel[i] == c)
                assert found[asked, c] == pytest.approx(truth, rel=1e-9, abs=1e-12)


def test_the_slope_is_the_derivative_by_the_log_half_life() -> None:
    rng = np.random.default_rng(3)
    start, at_us = ragged(rng, 5, 12, 60)
    channel, h, step = rng.integers(0, 2, len(at_us)), 2.5 * DAY_US, 1e-5
    _, slope = fatigue_and_slope(start, at_us, channel, start, at_us, h, 2)
    high, low = (fatigue_before(start, at_us, channel, start, at_us, h * math.exp(s), 2) for s in (step, -step))
    assert slope == pytest.approx((high - low) / (2 * step), abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31))
def test_runs_visits_and_days_in_each_state_equal_a_walk_by_the_hour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    start, at_us = ragged(rng, 3, 9, 80)
    distinct = np.array([n == 0 or at_us[n] != at_us[n - 1] or n in start for n in range(len(at_us))], np.bool_)
    start, at_us = np.concatenate(([0], np.cumsum(distinct)))[start], at_us[distinct]
    heard_start, heard_us = ragged(rng, 3, 6, 100)
    heard_us, visit = heard_us + 3 * HOUR_US, rng.random(len(heard_us)) < 0.5
    end_us = rng.integers(60, 130, 3) * 6 * HOUR_US
    run, visits, cell, days = past_choices(start, at_us, heard_start, heard_us, visit, end_us)
    for user in range(3):
        sends = at_us[start[user] : start[user + 1]].tolist()
        heard = heard_us[heard_start[user] : heard_start[user + 1]].tolist()
        seen = [t for t, v in zip(heard, visit[heard_start[user] : heard_start[user + 1]], strict=True) if v]
        spent = np.zeros(CELLS)
        for place, at in enumerate(sends):
            ignored, recent, age = state(at, sends, heard)
            assert run[start[user] + place] == ignored
            assert visits[start[user] + place] == sum(at - RECENT_US < t < at for t in seen)
            assert cell[start[user] + place] == (number(ignored, recent, age) if place else -1)
        for at in range(sends[0], int(end_us[user]), HOUR_US) if sends else ():
            spent[number(*state(at + HOUR_US // 2, sends, heard))] += 1 / 24
        assert days[user] == pytest.approx(spent, abs=1e-4)


def state(at: int, sends: list[int], heard: list[int]) -> tuple[int, int, int]:
    """Ignored in a row, answers of the last week and time since the last send, just before `at`."""
    last = max((t for t in heard if t < at), default=-(10**18))
    before = [s for s in sends if s < at]
    return sum(last < s <= at - DAY_US for s in sends), sum(at - RECENT_US < t < at for t in heard), at - before[-1] if before else 0


def number(ignored: int, recent: int, age: int) -> int:
    level = 0 if age < DAY_US else 1 if age < 3 * DAY_US else 2
    return (min(ignored, RUN_LEVELS - 1) * RECENT_LEVELS + min(recent, RECENT_LEVELS - 1)) * AGE_LEVELS + level
