"""The plain model of the reward: what it finds, and that nobody is predicted from their own reward."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.causal.reward_model import fit_reward

EFFECT = np.array([0.0, 1.0, -2.0])


def data(seed: int, n: int = 3000) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    features = random.normal(size=(n, 2)) * [1.0, 50.0] + [0.0, 200.0]
    choice = random.integers(0, 3, n)
    reward = 5.0 + 3.0 * features[:, 0] - 0.02 * features[:, 1] + EFFECT[choice] + random.normal(size=n) * 0.1
    return reward, choice, features, np.arange(n) // 10


def test_effects_are_found_and_averaged_over_a_policy() -> None:
    reward, choice, features, cluster = data(1)
    model = fit_reward(reward, choice, 3, features, cluster, seed=1)
    assert np.abs(model.of(choice) - reward).mean() < 0.12
    assert model.of(np.ones(3000, int)) - model.of(np.zeros(3000, int)) == pytest.approx(np.full(3000, 1.0), abs=0.05)
    shares = np.array([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]])
    context = np.arange(3000) % 2
    direct = sum(shares[context, a] * model.of(np.full(3000, a)) for a in range(3))
    assert model.direct(shares, context) == pytest.approx(direct)


def test_nobody_is_predicted_from_their_own_rewards() -> None:
    reward, choice, features, cluster = data(2, 400)
    moved = reward.copy()
    moved[cluster == 7] += 1000.0
    before, after = (fit_reward(r, choice, 3, features, cluster, seed=1) for r in (reward, moved))
    mine = cluster == 7
    assert before.of(choice)[mine] == pytest.approx(after.of(choice)[mine], abs=1e-6)
    assert np.abs(before.of(choice)[~mine] - after.of(choice)[~mine]).max() > 1.0


def test_choices_that_only_chance_tells_apart_are_shrunk_together() -> None:
    random = np.random.default_rng(3)
    choice, reward = random.integers(0, 50, 2000), (random.random(2000) < 0.1).astype(float)
    model = fit_reward(reward, choice, 50, np.zeros((2000, 0)), np.arange(2000), seed=1)
    means = np.bincount(choice, reward) / np.bincount(choice)
    assert np.ptp(model.effect[0]) < 0.2 * np.ptp(means)


def test_columns_that_say_the_same_and_constant_ones_do_no_harm() -> None:
    reward, choice, features, cluster = data(4, 300)
    doubled = np.hstack([features, features, np.ones((300, 1))])
    plain, same = (fit_reward(reward, choice, 3, f, cluster, seed=1).of(choice) for f in (features, doubled))
    assert same == pytest.approx(plain, abs=1e-3)
