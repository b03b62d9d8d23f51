"""Hour weights against a slow loop, and what they promise: bounds, and no probability out of nothing."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.scoring.send_time import HIGHEST, LOWEST, HourProfile, fit_hours, flat_profile, hour_weights


def profile(seed: int) -> HourProfile:
    rng = np.random.default_rng(seed)
    sends = rng.integers(0, 500, (3, 24)) * (rng.random((3, 24)) < 0.6)
    return fit_hours(sends.astype(float), rng.binomial(sends, rng.random((3, 24))).astype(float), rng.gamma(0.3, 50, 24))


def slow(fitted: HourProfile, own: npt.NDArray[np.float32], channel: int) -> list[float]:
    """One user on one channel; finds the scale by halving."""
    lift = [(own[h] + 10 * fitted.activity[h]) / (own.sum() + 10) / fitted.activity[h] for h in range(24)]
    raw = [fitted.response[channel, h] * lift[h] for h in range(24)]
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
    assert early.argmax() == 7 and early[7] == HIGHEST


def test_two_answers_at_night_make_no_habit() -> None:
    sends, answers = np.zeros((1, 24)), np.zeros((1, 24))
    sends[0, 12], answers[0, 12], sends[0, 3], answers[0, 3] = 1000, 100, 2, 2
    response = fit_hours(sends, answers, np.ones(24)).response[0]
    assert 1 < response[3] / response[12] < 1.5


def test_one_row_of_users_never_moves_another() -> None:
    fitted, own = profile(1), np.random.default_rng(2).gamma(1, 5, (5, 24)).astype(np.float32)
    assert (hour_weights(fitted, own)[3] == hour_weights(fitted, own[3:4])[0]).all()
