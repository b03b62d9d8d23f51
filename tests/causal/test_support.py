"""When logs are refused, and what is asked for then; how large weights are tamed."""

from __future__ import annotations

import numpy as np
import pytest

from notif_rec.causal.logged import Logged, one_choice_a_row
from notif_rec.causal.support import support_of
from notif_rec.causal.tuning import QUANTILES, tuned_limits
from tests.causal.test_logged import random_logs


def logs(weight: np.ndarray) -> Logged:
    n = len(weight)
    return one_choice_a_row(np.arange(n), np.ones(n), np.full(n, 0.001), weight * 0.001)


def test_the_effective_size_is_that_of_the_weights() -> None:
    logged, d = random_logs(1)
    w, support = d["target"] / d["propensity"], support_of(logged)
    assert support.ess == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert (support.rows, support.clusters) == (200, logged.n_clusters)
    assert support.largest == w.max()
    assert support.largest_share == pytest.approx(w.max() / w.sum())
    assert support.mean == pytest.approx(w.mean())


@pytest.mark.parametrize(
    ("matched", "rows", "refused"), [(100, 100, False), (99, 99, True), (99, 5000, True), (100, 10_000, False), (199, 20_000, True)]
)
def test_fewer_than_a_hundred_effective_rows_or_one_in_a_hundred_are_refused(matched: int, rows: int, refused: bool) -> None:
    assert support_of(logs((np.arange(rows) < matched).astype(float))).refused == refused


def test_what_to_log_is_told() -> None:
    few = support_of(logs(np.ones(50)))
    assert few.what_to_log().startswith("log 100 rows like these, or leave a share")
    rare = support_of(logs((np.arange(20_000) < 10).astype(float)))
    assert rare.what_to_log(40).startswith("more rows of this kind will not help")
    assert "no weight larger than 800, and 80,000 rows enough" in rare.what_to_log(40)
    assert "effective size of 10 (0.05%; at least 100 and 1% are needed)" in rare.why_refused
    assert support_of(logs(np.zeros(10))).refused


def test_a_mean_weight_far_from_one_is_told() -> None:
    assert not support_of(logs(np.ones(500))).warnings
    assert "the mean weight is 2.000" in support_of(logs(np.full(500, 2.0))).warnings[0]


def test_limits_are_those_of_the_least_foretold_error() -> None:
    logged, d = random_logs(2, 400)
    logged = type(logged)(**{**vars(logged), "weight": logged.weight**3})
    w, r, q = logged.weight, d["reward"], d["predicted"]
    steps = np.quantile(w[w > 0], QUANTILES)
    n = len(w)

    def error(tamed: np.ndarray, missed: np.ndarray) -> float:
        t = np.bincount(d["cluster"], tamed * missed)
        u = np.bincount(d["cluster"])
        return np.abs((w - tamed) * missed).mean() ** 2 + ((t - t.sum() / n * u) ** 2).sum() / n**2

    found = tuned_limits(logged)
    assert found.clip == min(steps, key=lambda m: error(np.minimum(w, m), r))
    assert found.switch == min(steps, key=lambda m: error(np.where(w <= m, w, 0), r - q))
    assert found.clip < steps[0]  # weights this wild are worth taming


def test_even_weights_are_left_alone() -> None:
    logged, _ = random_logs(2, 400)
    even = type(logged)(**{**vars(logged), "weight": np.ones(400)})
    found = tuned_limits(even)
    assert (found.clip, found.switch, found.shrink) == (1.0, 1.0, np.inf)
