"""What moves everybody: the level against the same sums by matrices, and days that please everybody beside what tells users apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from notif_rec.scoring.calibration import logit
from notif_rec.scoring.features import SCALES, SIGNS
from notif_rec.scoring.level import LEVEL_SD, YEAR, Days, Drift, day_effects, days_of, level_shifts
from notif_rec.scoring.scorer import LOGISTIC, bare_scorer
from notif_rec.scoring.scorer_fit import Examples, Recipe, fit_scorer, follow, foretold

Floats = npt.NDArray[np.float64]
DAY_US = 86_400_000_000


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def answered(shift: Floats, seed: int = 11) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """What was foretold of 200 rows a day, their answers where log-odds moved by so much, and when they were planned."""
    rng = np.random.default_rng(seed)
    day = np.repeat(np.arange(len(shift)), 200)
    p = rng.beta(2, 8, len(day))
    return p, (rng.random(len(day)) < sigmoid(logit(p) + shift[day])).astype(np.float64), day * DAY_US


def test_the_level_follows_what_was_known_and_stays_where_nothing_moves() -> None:
    p, moved, plan = answered(0.8 * (np.arange(300) >= 150))
    days, at = days_of(p, moved, plan, 8 * DAY_US), np.array([100, 155, 250], np.int64) * DAY_US
    shifts = level_shifts(days, at)
    assert shifts == pytest.approx([0, 0, 0.8], abs=0.15)  # five days after the step its answers are not in yet
    examples = Examples(np.zeros((len(p), len(SIGNS)), np.float32), None, moved, logit(p), plan)
    assert not follow(bare_scorer(), examples, at, 8 * DAY_US).any()  # rates alone move with no day
    future = days_of(p, np.where(plan > 92 * DAY_US, 1 - moved, moved), plan, 8 * DAY_US)
    assert level_shifts(future, at)[0] == shifts[0]
    p, still, plan = answered(np.zeros(300))
    assert abs(level_shifts(days_of(p, still, plan, 8 * DAY_US), at)).max() < 0.06
    assert not level_shifts(days_of(p[:400], still[:400], plan[:400], DAY_US), at).any()  # two days say nothing


def test_single_days_that_please_move_no_level_while_waves_come_back_and_trends_go_on() -> None:
    rng = np.random.default_rng(3)
    p, pleased, plan = answered(rng.normal(0, 0.4, 300))
    assert abs(level_shifts(days_of(p, pleased, plan, DAY_US), np.array([301 * DAY_US]))[0]) < 0.1
    day = np.arange(0, 900, 3)
    for truth, later, wanted in (
        (0.5 * np.cos(2 * np.pi * day / YEAR), (1006, 1096), (0.0, 0.5)),
        (0.0012 * (day - 450), (930,), (0.576,)),
    ):
        p, moved, plan = answered(truth, seed=4)
        shifts = level_shifts(days_of(p, moved, day[plan // DAY_US] * DAY_US, DAY_US), np.array(later, np.int64) * DAY_US)
        assert shifts == pytest.approx(wanted, abs=0.15)


def test_of_rare_answers_the_level_is_that_of_the_mean_day_not_of_the_middle_one() -> None:
    rng = np.random.default_rng(7)
    day, pleased = np.repeat(np.arange(120), 1000), rng.normal(0, 0.5, 120)
    p = np.full(len(day), 0.03)
    label = (rng.random(len(day)) < sigmoid(logit(p) + (pleased - pleased.mean())[day])).astype(np.float64)
    days = days_of(p, label, day * DAY_US, DAY_US)
    ahead, whole = np.array([121 * DAY_US]), sigmoid(logit(0.03) + rng.normal(0, 0.5, 100_000)).mean()
    assert sigmoid(logit(0.03) + level_shifts(days, ahead)) == pytest.approx([whole], rel=0.04)
    assert sigmoid(logit(0.03) + level_shifts(days._replace(bend=0 * days.bend), ahead)) < 0.93 * whole


def test_the_level_is_what_matrices_say_and_the_mean_of_what_drifts_say() -> None:
    rng = np.random.default_rng(5)
    day = np.sort(rng.choice(600, 80, replace=False)).astype(np.float64)
    days = Days(day, (day * DAY_US).astype(np.int64), rng.normal(0, 0.3, 80), rng.gamma(2, 20, 80), np.full(80, 0.5))
    drifts, at = (Drift(0.001, 0.02, 0.01, 1e-6), Drift(0.0, 0.1, 0.0, 1e-5)), np.array([700])

    def together(drift: Drift, one: Floats, other: Floats) -> Floats:
        (one, other), apart = (one - day[0], other - day[0]), one[:, None] - other[None, :]
        walked, risen = np.minimum(one[:, None], other[None, :]), one[:, None] * other[None, :]
        return np.asarray(LEVEL_SD**2 + drift.wander * walked + drift.wave * np.cos(2 * np.pi * apart / YEAR) + drift.slope * risen)

    levels, likely = np.zeros(2), np.zeros(2)
    for place, drift in enumerate(drifts):
        seen = together(drift, day, day) + np.diag(drift.spread + 1 / days.weight)
        levels[place] = (together(drift, at, day) @ np.linalg.solve(seen, days.seen))[0] + 0.25 * drift.spread
        likely[place] = -0.5 * (np.linalg.slogdet(seen)[1] + days.seen @ np.linalg.solve(seen, days.seen))
        assert level_shifts(days, at * DAY_US, [drift])[0] == pytest.approx(levels[place], rel=1e-9)
    weight = np.exp(likely - likely.max())
    assert level_shifts(days, at * DAY_US, drifts)[0] == pytest.approx(weight @ levels / weight.sum(), rel=1e-9)


def test_what_pleased_everybody_on_a_day_is_no_merit_of_a_feature() -> None:
    rng = np.random.default_rng(6)
    day = np.sort(rng.integers(0, 60, 30_000))
    pleased, own = rng.normal(0, 0.5, 60), rng.beta(2, 6, 30_000)
    margin = -2 + 3 * (own - 0.25)
    label = (rng.random(30_000) < sigmoid(margin + pleased[day])).astype(np.float64)
    effects = day_effects(margin, label, day * DAY_US)
    assert np.corrcoef(effects, pleased[day])[0, 1] > 0.95
    assert not day_effects(margin, np.round(sigmoid(margin), 3), day * DAY_US).any()  # days are alike
    features = np.zeros((30_000, len(SIGNS)), np.float32)
    features[:, 15], features[:, 10] = own, 24 + 10 * pleased[day]  # a gap that names the day; believed, it would weigh 0.57
    scorer = fit_scorer(Examples(features, None, label, np.full(30_000, -2.0), day * DAY_US), Recipe(SIGNS, SCALES, DAY_US, LOGISTIC))
    assert scorer.linear is not None and scorer.linear.coefficient[10] < 0.1 < 0.3 < scorer.linear.coefficient[15]
    p = foretold(scorer, Examples(features, None, label, np.full(30_000, -2.0), day * DAY_US))
    assert np.corrcoef(logit(p), margin)[0, 1] > 0.9
