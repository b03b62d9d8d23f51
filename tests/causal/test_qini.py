"""Doubly robust scores and the Qini curve, against plain arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.causal.qini import GROUPS, judge, qini_of, ranks
from notif_rec.causal.uplift import Experiment, Scores, doubly_robust, folds_of


def experiment(n: int = 4000, seed: int = 1, share: float = 0.6) -> tuple[Experiment, np.ndarray]:
    """Rows of a world whose effect is x0, and that effect."""
    random = np.random.default_rng(seed)
    x = random.random((n, 3)).astype(np.float32)
    treated = random.random(n) < share
    effect = x[:, 0].astype(float) - 0.4
    outcome = x[:, 1] + treated * effect + random.normal(0, 0.3, n)
    return Experiment(x, treated, np.full(n, share), outcome, np.arange(n)), effect


def flat(rows: Experiment) -> Scores:
    return doubly_robust(
        rows, np.full(len(rows.outcome), rows.outcome[~rows.treated].mean()), np.full(len(rows.outcome), rows.outcome[rows.treated].mean())
    )


def test_with_constant_models_the_effect_is_the_difference_in_means() -> None:
    rows, _ = experiment()
    y, a = rows.outcome, rows.treated
    found = judge(flat(rows), np.ones(len(y)), rows.cluster, np.zeros(len(y), np.int64))
    assert found.effect.value == pytest.approx(y[a].mean() - y[~a].mean(), abs=1e-12)
    assert found.everybody.value == pytest.approx(y[a].mean(), abs=1e-12)
    assert found.targeted.value == pytest.approx(found.everybody.value, abs=1e-12)
    assert found.qini.value == pytest.approx(0.0, abs=1e-12), "nobody stands before anybody"
    assert found.effect.error == pytest.approx(np.sqrt(y[a].var() / a.sum() + y[~a].var() / (~a).sum()), rel=0.1)
    assert found.effect_on_alone is None


def test_wrong_models_cost_width_and_bring_no_bias() -> None:
    rows, effect = experiment(40_000)
    for wrong in (np.full(40_000, 7.0), rows.features[:, 2] * 5.0):
        found = doubly_robust(rows, wrong, -wrong).effect.mean()
        assert found == pytest.approx(effect.mean(), abs=0.35)
    right = doubly_robust(rows, rows.features[:, 1].astype(float), rows.features[:, 1] + effect).effect
    assert right.std() < flat(rows).effect.std()


def test_the_area_is_what_brute_force_says() -> None:
    """Σ over rows of the gain of treating all before it, less the straight line; every row its own step."""
    random = np.random.default_rng(3)
    effect, score = random.normal(size=150), random.permutation(150).astype(float)
    order = np.argsort(-score)
    gain = np.concatenate([[0.0], np.cumsum(effect[order])]) / 150
    brute = float(((gain[1:] + gain[:-1]) / 2 / 150).sum() - gain[-1] / 2)
    assert float(qini_of(effect[order], np.ones(150))) == pytest.approx(brute, abs=1e-12)
    found = judge(Scores(np.zeros(150), effect), score, np.arange(150), np.zeros(150, np.int64))
    assert found.qini.value == pytest.approx(brute, abs=1e-12)
    assert found.curve[-1].found.value == pytest.approx(effect.mean(), abs=1e-12)


def test_a_true_ranking_is_found_and_a_turned_one_is_negative() -> None:
    rows, effect = experiment(20_000)
    part = np.zeros(20_000, np.int64)
    found = judge(flat(rows), effect, rows.cluster, part)
    assert found.qini.low < 1 / 12 < found.qini.high, "∫ g(u) − u·g(1) of an effect that is even over [−.4, .6] is 1/12"
    assert found.alone == pytest.approx(0.4, abs=0.01)
    assert found.effect_on_alone is not None and found.effect_on_alone.low < -0.2 < found.effect_on_alone.high
    assert found.over_everybody.low < 0.08 < found.over_everybody.high, "∫ of what is below 0: .4² / 2"
    assert judge(flat(rows), -effect, rows.cluster, part).qini.high < 0.0
    assert [g.share for g in found.groups] == pytest.approx([1 / GROUPS] * GROUPS)


def test_cost_is_paid_by_the_treated_alone() -> None:
    rows, effect = experiment()
    part = np.zeros(len(effect), np.int64)
    free, dear = (judge(flat(rows), effect, rows.cluster, part, cost=cost) for cost in (0.0, 0.3))
    assert dear.nobody.value == free.nobody.value
    assert dear.everybody.value == pytest.approx(free.everybody.value - 0.3)
    assert dear.effect.value == free.effect.value, "an effect is one before what it costs"
    assert dear.alone > free.alone


def test_rows_of_a_user_are_drawn_together() -> None:
    rows, effect = experiment(1000)
    twice = Scores(*(np.repeat(one, 2) for one in (flat(rows).without, flat(rows).treated)))
    part = np.zeros(2000, np.int64)
    whole = judge(twice, np.repeat(effect, 2), np.repeat(np.arange(1000), 2), part)
    apart = judge(twice, np.repeat(effect, 2), np.arange(2000), part)
    assert whole.effect.error == pytest.approx(apart.effect.error * np.sqrt(2), rel=0.1)
    assert len(set(folds_of(np.repeat(np.arange(50), 2), 5, 1)[::2] - folds_of(np.repeat(np.arange(50), 2), 5, 1)[1::2])) == 1


def test_ranks_are_within_a_part() -> None:
    assert ranks(np.array([5.0, 4.0, 1.0, 0.0]), np.array([0, 0, 1, 1])).tolist() == [0.0, 0.5, 0.0, 0.5]
    assert ranks(np.array([1.0, 1.0, 0.0]), np.zeros(3, np.int64)).tolist() == pytest.approx([1 / 6, 1 / 6, 2 / 3])
