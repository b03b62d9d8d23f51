"""Hour weights against a slow loop, and what they promise: bounds, and no probability out of nothing."""

from __future__ import annotations

import dataclasses

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.scoring.send_time import HIGHEST, LOWEST, HourProfile, fit_hours, fit_pull, flat_profile, hour_weights, own_lift


def profile(seed: int) -> HourProfile:
    rng = np.random.default_rng(seed)
    sends = rng.integers(0, 500, (3, 24)) * (rng.random((3, 24)) < 0.6)
    fitted = fit_hours(sends.astype(float), rng.binomial(sends, rng.random((3, 24))).astype(float), rng.gamma(0.3, 50, 24))
    return dataclasses.replace(fitted, pull=rng.random(3), level=np.ones(3))


def slow(fitted: HourProfile, own: npt.NDArray[np.float32], channel: int) -> list[float]:
    """One user on one channel; finds the scale by halving."""
    lift = [(own[h] + 10 * fitted.activity[h]) / (own.sum() + 10) / fitted.activity[h] for h in range(24)]
    raw = [fitted.response[channel, h] * lift[h] ** fitted.pull[channel] for h in range(24)]
    low, high = 1e-6, 1e6
    for _ in range(200):
        scale = (low * high) ** 0.5
        mean = sum(fitted.sends[channel, h] * min(max(scale * raw[h], LOWEST), HIGHEST) for h in range(24))
        low, high = (scale, high) if mean < 1 else (low, scale)
    return [min(max(scale * value, LOWEST), HIGHEST) for value in raw]


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_weights_equal_a_slow_loop_keep_their_bounds_and_make_no_probability(seed: int) -> None:
    fitted, rng = profile(seed), np.random.default_rng(seed)
    own = (rng.gamma(0.5, 10, (4, 24)) * (rng.random((4, 24)) < 0.3)).astype(np.float32)
    weights = hour_weights(fitted, own)
    assert weights.shape == (4, 3, 24) and weights.min() >= LOWEST and weights.max() <= HIGHEST
    assert np.einsum("uch,ch->uc", weights, fitted.sends) == pytest.approx(np.ones((4, 3)), abs=2e-4)
    for user in range(4):
        for channel in range(3):
            assert weights[user, channel] == pytest.approx(slow(fitted, own[user], channel), rel=0.01)


def test_nothing_known_is_a_flat_day() -> None:
    assert hour_weights(flat_profile(2), np.zeros((3, 24), np.float32)) == pytest.approx(np.ones((3, 2, 24)))
    empty = fit_hours(np.zeros((1, 24)), np.zeros((1, 24)), np.zeros(24))
    assert hour_weights(empty, np.zeros((1, 24), np.float32)) == pytest.approx(np.ones((1, 1, 24)))


def test_the_channel_answers_at_its_hours_and_a_user_at_the_own() -> None:
    sends, answers = np.full((1, 24), 1000.0), np.full((1, 24), 100.0)
    answers[0, 19:22] = 200
    fitted = fit_hours(sends, answers, np.ones(24) * 100)
    own = np.zeros((2, 24), np.float32)
    own[1, 7] = 40
    stranger, early = hour_weights(fitted, own)[:, 0]
    assert stranger[20] > 1.5 * stranger[10] and stranger[7] == pytest.approx(stranger[10])
    assert early.argmax() == 7 and early[7] > 1.5 * early[8]


def test_two_answers_at_night_make_no_habit() -> None:
    sends, answers = np.zeros((1, 24)), np.zeros((1, 24))
    sends[0, 12], answers[0, 12], sends[0, 3], answers[0, 3] = 1000, 100, 2, 2
    response = fit_hours(sends, answers, np.ones(24)).response[0]
    assert 1 < response[3] / response[12] < 1.5


def test_hours_that_differ_by_chance_alone_are_taken_for_equal() -> None:
    rng, sends = np.random.default_rng(8), np.full((1, 24), 300)
    response = fit_hours(sends.astype(float), rng.binomial(sends, 0.1).astype(float), np.ones(24)).response
    assert np.abs(response - 1).max() < 0.08


@pytest.mark.parametrize("pull", [0.0, 0.4, 1.0])
def test_the_pull_of_own_hours_is_found_and_the_mean_over_past_sends_kept(pull: float) -> None:
    rng, n = np.random.default_rng(9), 40_000
    flat = flat_profile(2)
    own = (rng.gamma(2, 10, (n, 1)) * (np.arange(24) == rng.integers(0, 24, n)[:, None])).astype(np.float32)
    hour = np.where(rng.random(n) < 0.3, own.argmax(axis=1), rng.integers(0, 24, n))  # often when people are there anyway
    answered = rng.random(n) < 0.05 * own_lift(flat, own)[np.arange(n), hour] ** pull
    fitted = fit_pull(flat, own, np.zeros(n, np.int8), hour, answered)
    assert fitted.pull == pytest.approx([pull, 0.3], abs=0.06) and fitted.level[1] == 1
    weights = hour_weights(fitted, own)[np.arange(n), 0, hour]
    assert (weights * answered.mean()).sum() == pytest.approx(answered.sum(), rel=0.03)


def test_a_level_divides_what_a_channel_has_in_its_rates_already() -> None:
    fitted = dataclasses.replace(flat_profile(1), level=np.array([1.25]))
    assert hour_weights(fitted, np.zeros((1, 24), np.float32)) == pytest.approx(np.full((1, 1, 24), 0.8))


def test_one_row_of_users_never_moves_another() -> None:
    fitted, own = profile(1), np.random.default_rng(2).gamma(1, 5, (5, 24)).astype(np.float32)
    assert (hour_weights(fitted, own)[3] == hour_weights(fitted, own[3:4])[0]).all()
