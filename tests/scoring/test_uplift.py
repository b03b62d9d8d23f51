"""The learner of effects in worlds whose effect is known."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

from notif_rec.causal.qini import judge
from notif_rec.causal.uplift import Experiment
from notif_rec.scoring.uplift import Surface, fit_uplift, judged_apart

Effect = Callable[[np.ndarray], np.ndarray]


def world(effect: Effect, n: int = 12_000, share: float = 0.8, seed: int = 1) -> Experiment:
    """Visits of probability 0.2 to 0.4, and what `effect` of the features adds to it where treated."""
    random = np.random.default_rng(seed)
    x = random.random((n, 4)).astype(np.float32)
    treated = random.random(n) < share
    p = 0.2 + 0.2 * x[:, 1] + treated * effect(x)
    return Experiment(x, treated, np.full(n, share), (random.random(n) < p).astype(float), np.arange(n))


def stepped(x: np.ndarray) -> np.ndarray:
    return np.where(x[:, 0] > 0.5, 0.25, -0.1)


def test_a_known_effect_is_recovered() -> None:
    model, x = fit_uplift(world(stepped)), np.random.default_rng(9).random((2000, 4)).astype(np.float32)
    foretold, truth = model.uplift.of(x), stepped(x)
    assert np.sqrt(((foretold - truth) ** 2).mean()) < 0.06, "one number for all would be off by 0.175"
    assert (foretold[x[:, 0] > 0.55] > 0).mean() > 0.97
    assert (foretold[x[:, 0] < 0.45] < 0).mean() > 0.9
    assert np.abs(model.without.of(x) - (0.2 + 0.2 * x[:, 1])).mean() < 0.03


def test_the_same_effect_on_all_makes_nobody_different() -> None:
    model = fit_uplift(world(lambda x: np.full(len(x), 0.1)))
    assert model.uplift.flat
    assert model.uplift.level == pytest.approx(0.1, abs=0.03)


def test_the_other_half_sees_who_changes_and_chance_is_no_finding() -> None:
    rows = world(stepped)
    scores, foretold, half = judged_apart(rows)
    found = judge(scores, foretold, rows.cluster, half)
    assert found.qini.low > 0.02
    assert found.over_everybody.low > 0.0, "to leave alone whom it harms is better than to treat all"
    shuffled = Experiment(rows.features, np.random.default_rng(4).permutation(rows.treated), rows.propensity, rows.outcome, rows.cluster)
    scores, foretold, half = judged_apart(shuffled)
    found = judge(scores, foretold, rows.cluster, half)
    assert found.qini.low <= 0.0 <= found.qini.high
    assert found.effect.low < 0.0 < found.effect.high


def test_the_model_is_text_and_the_same_again() -> None:
    rows = world(stepped, 3000)
    one, two = fit_uplift(rows, seed=3), fit_uplift(rows, seed=3, threads=2)
    assert json.dumps(one.uplift.to_json()) == json.dumps(two.uplift.to_json())
    back = Surface.from_json(json.loads(json.dumps(one.uplift.to_json())), 4)
    assert (back.of(rows.features) == one.uplift.of(rows.features)).all()
    with pytest.raises(ValueError, match="other features"):
        Surface.from_json(one.uplift.to_json(), 0)


def test_few_rows_are_their_mean() -> None:
    rows = world(stepped, 60)
    model = fit_uplift(rows)
    assert model.uplift.flat and model.without.flat
    assert model.without.level == pytest.approx(rows.outcome[~rows.treated].mean())
