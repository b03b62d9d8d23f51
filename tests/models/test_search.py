"""Stages of the search on a planted score, without a fit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import timedelta

from notif_rec.models import search
from notif_rec.models.settings import ModelSettings

DAY = timedelta(days=1)


class Planted:
    """A Run whose scores are known."""

    def __init__(self, score: Callable[[ModelSettings], float], best: ModelSettings | None = None) -> None:
        self.score, self.best, self.tried = score, best or ModelSettings(), [best or ModelSettings()]
        self.asked: list[ModelSettings] = []

    def ahead(self, settings: Sequence[ModelSettings]) -> None:
        self.asked += settings

    def full(self, settings: ModelSettings) -> float:
        self.tried.append(settings)
        if self.score(settings) > self.score(self.best):
            self.best = settings
        return self.score(settings)

    rough = full


def around(target: timedelta) -> Callable[[ModelSettings], float]:
    """Best where taste halves within `target`."""
    return lambda s: -abs(math.log((s.half_life or 3650 * DAY) / target))


def test_a_half_life_is_found_by_halving_what_is_known_however_long_that_is() -> None:
    for span, target in ((730 * DAY, 90 * DAY), (14 * DAY, 40 * timedelta(hours=1)), (3650 * DAY, 30 * DAY)):
        run = Planted(around(target))
        search.half_life(run, span)
        assert run.best.half_life and target / 1.5 < run.best.half_life < target * 1.5
    assert all(s.half_life is None or s.half_life <= span for s in run.tried[1:]) and run.asked


def test_halving_ends_where_it_does_not_pay() -> None:
    run = Planted(lambda s: 1.0 if s.half_life is None else 0.0)
    search.half_life(run, 730 * DAY)
    assert run.best.half_life is None and len(run.tried) == 2 + search.HALVINGS_AT_ONCE


def test_no_half_life_is_longer_than_what_is_known() -> None:
    run = Planted(around(DAY), ModelSettings(half_life=None))
    search.half_life(run, timedelta(minutes=10))
    assert run.best.half_life is None


def test_the_weight_of_what_is_popular_is_found_and_no_trend_is_tried_where_times_are_unknown() -> None:
    def score(s: ModelSettings) -> float:
        return -abs((s.trend or 0) - 1) - abs(s.prior - 10) / 10 - abs(math.log((s.recent_half_life or 99 * DAY) / DAY))

    run = Planted(score)
    search.popularity(run, [DAY / 2, DAY, 7 * DAY])
    assert (run.best.trend, run.best.prior, run.best.recent_half_life) == (1.0, 10.0, DAY)
    still = Planted(score)
    search.popularity(still, [])
    assert (still.best.trend, still.best.prior, still.best.recent_half_life) == (ModelSettings().trend, 10.0, None)
