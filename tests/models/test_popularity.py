from __future__ import annotations

import numpy as np
import pytest

from notif_rec.models.model import POPULAR, RECENT, SEGMENT, Segments
from notif_rec.models.popularity import RECENT_PRIOR, fit_fallback
from notif_rec.models.trend import FEW_LIKES, change_of

TWO = Segments(("country",), (("AT",), ("DE",)), prior=4.0)


def test_recent_shares_are_smoothed_by_all_time_ones() -> None:
    item = np.array([0, 0, 0, 1])
    made = fit_fallback(item, np.ones(4), np.array([0.0, 0.0, 0.0, 1.0]), np.full(4, -1), Segments(), np.zeros(3))
    expected = np.array([RECENT_PRIOR * 0.75, 1 + RECENT_PRIOR * 0.25, 0]) / (1 + RECENT_PRIOR)
    assert made.score[0] == pytest.approx(expected)
    assert made.source[0].tolist() == [POPULAR, RECENT, POPULAR]
    assert made.order[0].tolist() == [0, 1, 2]


def test_a_segment_leans_from_everybody_to_its_own() -> None:
    item, segment = np.array([0, 0, 0, 2, 2]), np.array([0, 0, -1, 1, 1])
    made = fit_fallback(item, np.ones(5), np.ones(5), segment, TWO, np.zeros(3))
    base = made.score[2]
    assert made.score[0] == pytest.approx((np.array([2.0, 0, 0]) + 4 * base) / 6, rel=1e-6)
    assert made.score[1] == pytest.approx((np.array([0.0, 0, 2]) + 4 * base) / 6, rel=1e-6)
    assert made.source[0].tolist() == [SEGMENT, POPULAR, RECENT]
    assert made.order[1].tolist() == [2, 0, 1]


def test_ties_and_nothing_at_all_are_in_item_order() -> None:
    made = fit_fallback(np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0, np.int64), Segments(), np.zeros(4))
    assert made.order.tolist() == [[0, 1, 2, 3]] and not made.score.any()
    tied = fit_fallback(np.array([3, 1]), np.ones(2), np.ones(2), np.full(2, -1), Segments(), np.zeros(4))
    assert tied.order.tolist() == [[1, 3, 0, 2]]


def test_what_nobody_took_yet_gets_the_share_that_is_expected_of_it() -> None:
    item, recency = np.array([0, 0, 1]), np.array([1.0, 1.0, 2.0])
    made = fit_fallback(item, np.ones(3), recency, np.full(3, -1), Segments(), np.array([0.5, 0.0, 0.25, 0.0]))
    shares = np.array([2 + RECENT_PRIOR * 2 / 3, 2 + RECENT_PRIOR / 3, 0.25 * 4, 0])
    assert made.score[0] == pytest.approx(shares / (5 + RECENT_PRIOR), rel=1e-6)
    assert made.order[0].tolist() == [0, 1, 2, 3]


def test_the_change_of_popularity_is_tanh_of_half_the_log_of_its_ratio() -> None:
    now, likes = np.array([0.2, 0.0, 0.6, 0.0], np.float32), np.array([3000.0, 4000.0, 1000.0, 0.0])
    change = change_of(now, likes, 8000.0)
    ratio = (np.array([0.25, 0, 0.75, 0]) + FEW_LIKES / 8000) / (likes / 8000 + FEW_LIKES / 8000)
    assert change == pytest.approx(np.tanh(np.log(ratio) / 2), abs=1e-6) and change[3] == 0
    assert not change_of(np.zeros(3), np.zeros(3), 0.0).any()
    fewer = change_of(now, likes, 200.0)  # what a few pairs say of now may be chance
    assert (np.abs(fewer[:3]) < np.abs(change[:3])).all() and (np.sign(fewer) == np.sign(change)).all()
