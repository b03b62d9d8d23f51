"""Metrics of probabilities against slow definitions, and intervals that hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.scoring.reliability import Trial, auc, judge, lead, log_losses


def trial(label: np.ndarray, user: np.ndarray | None = None, day: np.ndarray | None = None) -> Trial:
    n = len(label)
    rows = np.arange(n)
    return Trial(label.astype(np.float64), rows if user is None else user, np.zeros(n, np.int64) if day is None else day, {})


def test_auc_is_the_share_of_pairs_in_the_right_order_shares_of_a_click_counted() -> None:
    rng = np.random.default_rng(1)
    p, label = rng.choice(np.linspace(0.1, 0.9, 7), 60), rng.choice([0.0, 0.5, 1.0], 60)
    above = (p[:, None] > p[None, :]) + 0.5 * (p[:, None] == p[None, :])
    weight = label[:, None] * (1 - label)[None, :]
    assert auc(p, label) == pytest.approx(float((above * weight).sum() / weight.sum()))
    assert auc(p, np.ones(60)) is None and auc(p, np.zeros(60)) is None


def test_a_verdict_adds_up() -> None:
    rng = np.random.default_rng(2)
    p = rng.beta(2, 8, 5000)
    label = (rng.random(5000) < p).astype(np.float64)
    cohorts = {"half": np.where(np.arange(5000) < 2500, "first", "second")}
    found = judge(p, Trial(label, np.arange(5000), np.zeros(5000, np.int64), cohorts))
    assert found.log_loss == pytest.approx(-np.mean(label * np.log(p) + (1 - label) * np.log(1 - p)))
    mean = label.mean()
    assert found.ne == pytest.approx(found.log_loss / -(mean * np.log(mean) + (1 - mean) * np.log(1 - mean))) and found.ne < 1
    assert found.whole.observed == label.sum() == pytest.approx(sum(t.observed for t in found.tenths))
    assert sum(r.expected for r in found.cohorts.values()) == pytest.approx(p.sum()) and found.ece < 0.02
    assert judge(2 * p / 3, trial(label)).whole.ratio == pytest.approx(1.5 * found.whole.ratio)


def test_the_interval_of_observed_over_expected_holds_the_truth_where_days_are_good_or_bad_together() -> None:
    rng, inside = np.random.default_rng(3), 0
    user, day = np.tile(np.arange(60), 30), np.repeat(np.arange(30), 60)
    for _ in range(200):
        odds = np.exp(rng.normal(0, 0.3, 30))[day] * np.exp(rng.normal(0, 0.3, 60))[user] * 0.25
        label = (rng.random(1800) < odds / (1 + odds)).astype(np.float64)
        p = np.full(1800, 0.2098)  # the mean over worlds
        whole = judge(p, trial(label, user, day)).whole
        inside += whole.low <= 1 <= whole.high
    assert 0.88 <= inside / 200 <= 0.99


def test_a_lead_has_the_sign_it_should_and_an_interval_that_holds_it() -> None:
    rng, inside, wins = np.random.default_rng(4), 0, 0
    for _ in range(100):
        p = rng.beta(1, 5, 2000)
        worse = np.clip(p + rng.normal(0, 0.05, 2000), 0.01, 0.99)
        label = (rng.random(2000) < p).astype(np.float64)
        found = lead(p, worse, trial(label))
        expected = float((log_losses(worse, p) - log_losses(p, p)).mean())
        inside += found["log_loss"].low <= expected <= found["log_loss"].high
        wins += found["auc"].mean > 0
        assert found["auc"].mean == pytest.approx((auc(p, label) or 0) - (auc(worse, label) or 0))
    assert inside >= 88 and wins >= 85
    same = lead(p, p, trial(label))
    assert same["auc"].low == same["auc"].high == same["log_loss"].high == 0
