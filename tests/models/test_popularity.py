from __future__ import annotations

import numpy as np
import pytest

from notif_rec.models.model import POPULAR, RECENT, SEGMENT, Segments
from notif_rec.models.popularity import RECENT_PRIOR, fit_fallback

TWO = Segments(("country",), (("AT",), ("DE",)), prior=4.0)


def test_recent_shares_are_smoothed_by_all_time_ones() -> None:
    item = np.array([0, 0, 0, 1])
    made = fit_fallback(item, np.ones(4), np.array([0.0, 0.0, 0.0, 1.0]), np.full(4, -1), Segments(), 3)
    expected = np.array([RECENT_PRIOR * 0.75, 1 + RECENT_PRIOR * 0.25, 0]) / (1 + RECENT_PRIOR)
    assert made.score[0] == pytest.approx(expected)
    assert made.source[0].tolist() == [POPULAR, RECENT, POPULAR]
    assert made.order[0].tolist() == [0, 1, 2]


def test_a_segment_leans_from_everybody_to_its_own() -> None:
    item, segment = np.array([0, 0, 0, 2, 2]), np.array([0, 0, -1, 1, 1])
    made = fit_fallback(item, np.ones(5), np.ones(5), segment, TWO, 3)
    base = made.score[2]
    assert made.score[0] == pytest.approx((np.array([2.0, 0, 0]) + 4 * base) / 6, rel=1e-6)
    assert made.score[1] == pytest.approx((np.array([0.0, 0, 2]) + 4 * base) / 6, rel=1e-6)
    assert made.source[0].tolist() == [SEGMENT, POPULAR, RECENT]
    assert made.order[1].tolist() == [2, 0, 1]


def test_ties_and_nothing_at_all_are_in_item_order() -> None:
    made = fit_fallback(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64), Segments(), 4)
    assert made.order.tolist() == [[0, 1, 2, 3]] and not made.score.any()
    tied = fit_fallback(np.array([3, 1]), np.ones(2), np.ones(2), np.full(2, -1), Segments(), 4)
    assert tied.order.tolist() == [[1, 3, 0, 2]]
