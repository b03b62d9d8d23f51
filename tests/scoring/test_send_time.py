"""Hour weights against a slow loop, and what they promise: bounds, and no probability out of nothing."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.scoring.send_time import (
    HIGHEST,
    LOWEST,
    WEEK,
    HourProfile,
    fit_hours,
    fit_level,
    fit_pull,
    flat_profile,
    hour_weights,
    lift_before,
    own_lift,
    week_hour,
)  # fmt: skip

NOBODY = np.array([-1])


def profile(seed: int) -> HourProfile:
    rng = np.random.default_rng(seed)
    sends = rng.integers(0, 200, (3, WEEK)) * (rng.random((3, WEEK)) < 0.6)
    fitted = fit_hours(sends.astype(float), rng.binomial(sends, rng.random((3, WEEK))).astype(float), rng.gamma(0.3, 50, (3, WEEK)))
    return dataclasses.replace(fitted, pull=rng.random(3), level=np.ones(3))


def slow(fitted: HourProfile, own: npt.NDArray[np.float32], group: int, channel: int) -> list[float]:
    """One user on one channel, by the words of the page; finds the scale by halving."""
    theirs, all_of_us = fitted.activity[group], fitted.activity[-1]
    near = [0.5 * own[c] + 0.25 * (own[c - 1] + own[(c + 1) % WEEK]) for c in range(WEEK)]
    total, raw = float(own.sum()), []
    for cell in range(WEEK):
        hour = [c for c in range(WEEK) if c % 24 == cell % 24]
        daily = (sum(near[c] for c in hour) + 5 * sum(theirs[c] for c in hour)) / (total + 5)
        spread = daily * theirs[cell] / sum(theirs[c] for c in hour)
        lift = (near[cell] + 120 * spread) / (total + 120) / all_of_us[cell]
        raw.append(fitted.response[channel, cell] * (1 - fitted.pull[channel] + fitted.pull[channel] * lift))
    low, high = 1e-6, 1e6
    for _ in range(200):
        scale = (low * high) ** 0.5
        mean = sum(fitted.sends[channel, c] * min(max(scale * raw[c], LOWEST), HIGHEST) for c in range(WEEK))
        low, high = (scale, high) if mean < 1 else (low, scale)
    return [min(max(scale * value, LOWEST), HIGHEST) for value in raw]


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_weights_equal_a_slow_loop_keep_their_bounds_and_make_no_probability(seed: int) -> None:
    fitted, rng = profile(seed), np.random.default_rng(seed)
    own = (rng.gamma(0.5, 10, (4, WEEK)) * (rng.random((4, WEEK)) < 0.1)).astype(np.float32)
    own[3], segment = 0, rng.integers(-1, 2, 4)
    weights = hour_weights(fitted, own, segment)
    assert weights.shape == (4, 3, WEEK) and weights.min() >= LOWEST and weights.max() <= HIGHEST
    assert np.einsum("uch,ch->uc", weights, fitted.sends) == pytest.approx(np.ones((4, 3)), abs=2e-4)
    lift = own_lift(fitted, own, segment)
    assert lift[3] == pytest.approx(fitted.activity[segment[3]] / fitted.activity[-1])
    for user in range(4):
        assert weights[user, 0] == pytest.approx(slow(fitted, own[user], int(segment[user]), 0), rel=0.01)


def test_an_hour_of_the_week_counts_from_monday() -> None:
    monday = datetime(2026, 11, 23)
    for hours in (0, 1, 23, 24, 167):
        wall_us = int((monday + timedelta(hours=hours, minutes=59) - datetime(1970, 1, 1)).total_seconds()) * 1_000_000
        assert week_hour(wall_us) == hours


def test_nothing_known_is_a_flat_week() -> None:
    assert hour_weights(flat_profile(2), np.zeros((3, WEEK), np.float32), np.full(3, -1)) == pytest.approx(np.ones((3, 2, WEEK)))
    empty = fit_hours(np.zeros((1, WEEK)), np.zeros((1, WEEK)), np.zeros((1, WEEK)))
    assert hour_weights(empty, np.zeros((1, WEEK), np.float32), NOBODY) == pytest.approx(np.ones((1, 1, WEEK)))


def test_the_channel_answers_at_its_hours_and_a_user_at_the_own() -> None:
    sends, answers = np.full((1, WEEK), 200.0), np.full((1, WEEK), 20.0)
    answers.reshape(7, 24)[:, 19:22] = 40
    fitted = fit_hours(sends, answers, np.ones((1, WEEK)) * 100)
    own = np.zeros((2, WEEK), np.float32)
    own[1].reshape(7, 24)[:, 7] = 6
    stranger, early = hour_weights(fitted, own, np.full(2, -1))[:, 0]
    assert stranger[20] > 1.5 * stranger[10] and stranger[7] == pytest.approx(stranger[10])
    assert early.argmax() % 24 == 7 and early[7] > 1.5 * early[10]


def test_a_day_that_is_different_is_found_and_a_user_follows_the_segment_until_the_own_days_are_known() -> None:
    sends, answers = np.full((1, WEEK), 300.0), np.full((1, WEEK), 30.0)
    answers.reshape(7, 24)[5:, :] = 60  # weekends
    fitted = fit_hours(sends, answers, np.ones((1, WEEK)) * 100)
    stranger = hour_weights(fitted, np.zeros((1, WEEK), np.float32), NOBODY)[0, 0].reshape(7, 24)
    assert stranger[5:].mean() > 1.6 * stranger[:5].mean()
    groups = np.full((2, WEEK), 1000.0)
    groups[0].reshape(7, 24)[:5, 9:17] = 0  # a segment that is at work
    flat = fit_hours(np.full((1, WEEK), 300.0), np.full((1, WEEK), 30.0), groups)
    flat = dataclasses.replace(flat, pull=np.ones(1))
    worker = hour_weights(flat, np.zeros((1, WEEK), np.float32), np.array([0]))[0, 0].reshape(7, 24)
    assert worker[:5, 9:17].mean() < 0.8 * worker[5:, 9:17].mean()
    own = np.zeros((1, WEEK), np.float32)
    own.reshape(7, 24)[:5, 9:17] = 20
    known = hour_weights(flat, own, np.array([0]))[0, 0].reshape(7, 24)
    assert known[:5, 9:17].mean() > known[5:, 9:17].mean()


def test_two_answers_at_night_make_no_habit() -> None:
    sends, answers = np.zeros((1, WEEK)), np.zeros((1, WEEK))
    sends[0, 12], answers[0, 12], sends[0, 3], answers[0, 3] = 1000, 100, 2, 2
    response = fit_hours(sends, answers, np.ones((1, WEEK))).response[0]
    assert 1 < response[3] / response[12] < 2


def test_hours_that_differ_by_chance_alone_are_taken_for_equal() -> None:
    rng, sends = np.random.default_rng(8), np.full((1, WEEK), 100)
    response = fit_hours(sends.astype(float), rng.binomial(sends, 0.1).astype(float), np.ones((1, WEEK))).response
    assert np.abs(response - 1).max() < 0.12


@pytest.mark.parametrize("pull", [0.0, 0.3, 0.9])
def test_the_pull_of_own_hours_is_found_and_the_mean_over_past_sends_kept(pull: float) -> None:
    rng, n = np.random.default_rng(9), 40_000
    flat, nobody = flat_profile(2), np.full(n, -1)
    own = (rng.gamma(2, 10, (n, 1)) * (np.arange(WEEK) % 24 == rng.integers(0, 24, n)[:, None]) / 7).astype(np.float32)
    hour = np.where(rng.random(n) < 0.3, own.argmax(axis=1), rng.integers(0, WEEK, n))  # often when people are there anyway
    lift = own_lift(flat, own, nobody)[np.arange(n), hour]
    answered, push = rng.random(n) < 0.05 * (1 - pull + pull * lift), np.zeros(n, np.int8)
    fitted = fit_level(fit_pull(flat, lift, push, hour, answered), own, nobody, push, hour)
    assert fitted.pull == pytest.approx([min(pull, 0.95), 0.2], abs=0.05) and fitted.level[1] == 1
    weights = hour_weights(fitted, own, nobody)[np.arange(n), 0, hour]
    assert (weights * answered.mean()).sum() == pytest.approx(answered.sum(), rel=0.03)


def test_what_was_known_before_a_send_gives_the_same_lift() -> None:
    fitted, rng = profile(4), np.random.default_rng(4)
    own, hour = rng.gamma(1, 3, (6, WEEK)).astype(np.float32), rng.integers(0, WEEK, 6)
    near = 0.5 * own + 0.25 * (np.roll(own, 1, axis=1) + np.roll(own, -1, axis=1))
    told = np.stack([near[np.arange(6), hour], near.reshape(6, 7, 24).sum(axis=1)[np.arange(6), hour % 24], own.sum(axis=1)], axis=1)
    segment = rng.integers(-1, 2, 6)
    whole = own_lift(fitted, own, segment)[np.arange(6), hour]
    assert lift_before(fitted, told.astype(np.float32), segment, hour) == pytest.approx(whole, rel=1e-5)


def test_a_level_divides_what_a_channel_has_in_its_rates_already() -> None:
    fitted = dataclasses.replace(flat_profile(1), level=np.array([1.25]))
    assert hour_weights(fitted, np.zeros((1, WEEK), np.float32), NOBODY) == pytest.approx(np.full((1, 1, WEEK), 0.8))


def test_one_row_of_users_never_moves_another() -> None:
    fitted, own = profile(1), np.random.default_rng(2).gamma(1, 5, (5, WEEK)).astype(np.float32)
    own[1:3] = 0  # strangers share one row
    segment = np.array([0, 1, 1, -1, 0])
    weights = hour_weights(fitted, own, segment)
    for user in range(5):
        assert (weights[user] == hour_weights(fitted, own[user : user + 1], segment[user : user + 1])[0]).all()
