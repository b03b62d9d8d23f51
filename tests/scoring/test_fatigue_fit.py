"""The fit of fatigue: its calculus against differences, its beliefs where data are thin, its findings where the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from benchmarks.fatigue_recovery import CHANNELS, KINDS, World, fitted, simulate
from notif_rec.errors import DataError
from notif_rec.scoring.fatigue import FatigueCurve, Written
from notif_rec.scoring.fatigue_fit import _Known, _Problem, fit_fatigue
from notif_rec.scoring.fatigue_habits import habits_of
from notif_rec.scoring.fatigue_likelihood import FURTHER, Rows, likelihood
from notif_rec.scoring.fatigue_state import DAY_US

WRITTEN = [Written(5 * DAY_US, (0.4, 0.0), True), Written(3 * DAY_US, (0.0, 0.3), False)]


def rows(seed: int) -> tuple[Rows, np.ndarray]:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(0, 9, 40)
    start, n, p = np.concatenate(([0], np.cumsum(sizes))), int(sizes.sum()), 3
    x = np.column_stack([np.ones(n), rng.normal(0, 1, (n, p - 1))])
    expected = rng.gamma(2, 2, 40) * (rng.random(40) < 0.8)
    answered, sent, width = (rng.random(n) < 0.3).astype(np.uint8), rng.poisson(expected) * 1.0, rng.uniform(0.5, 1.5, 40)
    found = Rows(start, answered, x, rng.normal(0, 1, n), sent, expected, width, np.zeros(40), np.ones(40))
    return found, np.array([-1.0, 0.3, -0.2, 0.0, -0.3, 0.1, 0.4, 0.7])


def moved(data: Rows, theta: np.ndarray, place: int, by: float) -> float:
    """The likelihood a step away; the log half-life moves x'β along its slope, as it does to first order."""
    p, there = data.x.shape[1], theta.copy()
    if place == p:
        x = np.column_stack([data.x, data.slope])
        return likelihood(data._replace(x=x), np.concatenate([theta[:p], [by], theta[p:]]))[0]
    there[place] += by
    return likelihood(data, there)[0]


def test_the_gradient_and_the_information_are_those_of_the_likelihood() -> None:
    data, theta = rows(1)
    _, gradient, information = likelihood(data, theta)
    for place in range(len(theta)):
        slope = (moved(data, theta, place, 1e-4) - moved(data, theta, place, -1e-4)) / 2e-4
        assert gradient[place] == pytest.approx(slope, abs=2e-3), place
    p = data.x.shape[1]
    for place in (0, 1, p + 1, p + 2, p + 3):  # not the half-life and the shape, whose information leaves a term out
        high, low = theta.copy(), theta.copy()
        high[place] += 1e-4
        low[place] -= 1e-4
        bend = -(likelihood(data, high)[1] - likelihood(data, low)[1]) / 2e-4
        kept = [n for n in range(p + FURTHER) if n not in (p,)]
        assert information[place, kept] == pytest.approx(bend[kept], rel=0.02, abs=0.03), place


def test_the_integral_over_users_equals_a_fine_sum() -> None:
    data, theta = rows(2)
    u = np.linspace(-9, 9, 20_001)
    p, total = data.x.shape[1], 0.0
    spread, level, link, shape = np.exp(theta[p + 1]), np.exp(theta[p + 2]), theta[p + 3], np.exp(theta[p + 4])
    from scipy.special import gammaln

    for user in range(40):
        low, high = data.start[user], data.start[user + 1]
        if low == high:
            continue
        logit = (data.x[low:high] @ theta[:p])[:, None] + spread * u
        log = (data.answered[low:high, None] * logit - np.logaddexp(0, logit)).sum(axis=0)
        if data.expected[user] > 0:
            mean, n = data.expected[user] * level * np.exp(link * u), data.sent[user]
            log += (
                gammaln(n + shape)
                - gammaln(shape)
                - gammaln(n + 1)
                + shape * np.log(shape / (shape + mean))
                + n * np.log(mean / (shape + mean))
            )
        width = data.width[user]
        total += np.log(np.sum(np.exp(log - 0.5 * (u / width) ** 2)) * (u[1] - u[0]) / np.sqrt(2 * np.pi) / width)
    assert likelihood(data, theta)[0] == pytest.approx(total, abs=0.02)


@pytest.fixture(scope="module")
def worlds() -> dict[str, np.ndarray]:
    """(worlds, 4) truth, estimate, low and high of each number, in small worlds of a sender who looks at what people do."""
    found = [fitted(KINDS["usual"], 10_000, seed) for seed in range(8)]
    return {what: np.array([world[place][1:] for world in found]) for place, (what, *_) in enumerate(found[0])}


def test_known_curves_are_found_again_through_a_sender_who_favours_and_backs_off(worlds: dict[str, np.ndarray]) -> None:
    inside = [np.mean((low <= truth) & (truth <= high)) for truth, _, low, high in (of.T for of in worlds.values())]
    assert np.mean(inside) > 0.8 and min(inside) >= 0.5  # 64 intervals; benchmarks/fatigue_recovery.py counts thousands
    for channel in CHANNELS:
        truth, value, *_ = worlds[f"{channel}: half-life"].T
        assert abs(np.median(value / truth) - 1) < 0.25
        truth, value, *_ = worlds[f"{channel}: strength of {channel}"].T
        assert np.mean(value) == pytest.approx(truth[0], abs=0.06)


def test_users_of_whom_other_channels_say_more_differ_less() -> None:
    history = simulate(World(), 3_000, 6)
    problem = _Problem(history, [habits_of(history, at) for at in (0, 1)], np.zeros((history.n_users, 0)), 1, WRITTEN[1])
    firmly = np.where(np.arange(history.n_users) % 2, 3.0, 0.0)
    for alone, told in ((0.0, True), (-0.5, False)):  # log σ by itself: tastes took variance, or none
        problem.narrow(_Known(np.zeros((history.n_users, 1)), firmly, alone), -0.3)
        vague, firm = problem.width[0], problem.width[1]
        assert (problem.width[problem.user] ** 2).mean() == pytest.approx(1.0)
        assert (firm < 0.8 * vague) if told else (firm == vague == 1.0)


def test_a_fit_that_ignores_how_the_sender_chose_would_be_wrong() -> None:
    """The control: who is sent more answers more, so that a plain regression finds half of the fatigue."""
    history = simulate(KINDS["favour"], 60_000, 5)
    push = history.channel == 0
    from notif_rec.scoring.fatigue_state import fatigue_before

    load = fatigue_before(history.start, history.at_us, history.channel, history.start, history.at_us, 3 * DAY_US, 2)[push]
    x, y, beta = np.column_stack([np.ones(push.sum()), load]), history.answered[push], np.zeros(3)
    for _ in range(20):
        p = 1 / (1 + np.exp(-x @ beta))
        beta = beta + np.linalg.solve(x.T @ (x * (p * (1 - p))[:, None]), x.T @ (y - p))
    truth = World().slope[0][0]
    curve = fit_fatigue(CHANNELS, history, WRITTEN)
    slope = -np.log(1 - curve.of("push").strength[0].value) / (1 - y.mean())
    assert -beta[1] < 0.6 * truth and slope == pytest.approx(truth, rel=0.2)


def test_without_sends_the_config_stands_and_says_that_it_is_a_belief() -> None:
    history = simulate(World(), 3_000, 1)
    nobody = dataclasses.replace(history, answered=np.zeros_like(history.answered))
    for fit in fit_fatigue(CHANNELS, nobody, WRITTEN).fits:
        assert not fit.fitted and fit.half_life_us.value == pytest.approx(fit.written.half_life_us)
        assert [s.value for s in fit.strength] == pytest.approx(fit.written.strength)
        assert fit.half_life_us.low < fit.half_life_us.value / 5 and fit.half_life_us.high > fit.half_life_us.value * 5


def test_thin_data_lean_on_the_config_and_more_data_lean_less() -> None:
    written = [Written(20 * DAY_US, (0.05, 0.0), True), Written(3 * DAY_US, (0.0, 0.3), False)]
    away = [
        abs(np.log(fit_fatigue(CHANNELS, simulate(World(), n, 3), written).of("push").half_life_us.value / (20 * DAY_US)))
        for n in (400, 40_000)
    ]
    assert away[0] < 0.7 and away[1] == pytest.approx(np.log(20 / 3), abs=0.4)


def test_a_curve_comes_back_bit_by_bit_and_a_damaged_one_is_told() -> None:
    curve = fit_fatigue(CHANNELS, simulate(World(), 3_000, 2), WRITTEN)
    assert FatigueCurve.from_json(curve.to_json()) == curve
    with pytest.raises(DataError, match="damaged"):
        FatigueCurve.from_json('{"channels": ["push"]}')


def test_the_same_history_gives_the_same_curve_whatever_lies_behind_it() -> None:
    """No send after the last judged one of a user moves anything that was judged before."""
    history = simulate(World(), 3_000, 4)
    late = history.at_us > 100 * DAY_US
    hidden = dataclasses.replace(history, judged=~late)
    flipped = dataclasses.replace(hidden, answered=np.where(late, ~history.answered, history.answered))
    assert fit_fatigue(CHANNELS, hidden, WRITTEN) == fit_fatigue(CHANNELS, flipped, WRITTEN)
