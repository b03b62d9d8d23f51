"""Scorers: trees against LightGBM's own predictions, signs that hold for any row, calibration, and where answers are few."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest

from notif_rec.scoring import boosting, scorer_fit
from notif_rec.scoring.boosting import Lessons, grow, parameters
from notif_rec.scoring.calibration import Calibration, calibrated, fit_curve, fit_line, identity, levelled, monotone
from notif_rec.scoring.features import FEATURES, LOGIT, N_FEATURES, PLAIN, SCALES, SIGNS
from notif_rec.scoring.item_parts import AFFINITY, N_CELLS, N_RANKED, RANK, REPEATS, SIZES, UNKNOWN, cells_of, every_cell, keeps_signs
from notif_rec.scoring.linear import fit_linear, linear_scores
from notif_rec.scoring.reliability import auc, log_losses
from notif_rec.scoring.scorer import LOGISTIC, RATES, TREES, Scorer
from notif_rec.scoring.scorer_fit import Examples, Recipe, fit_scorer, foretold, margins
from notif_rec.scoring.trees import flatten, parted, tree_scores

Floats = npt.NDArray[np.float64]
DAY_US = 86_400_000_000
NAMES = [feature.name for feature in FEATURES]


def sigmoid(x: Floats) -> Floats:
    return np.asarray(1 / (1 + np.exp(-x)))


def random_features(rng: np.random.Generator, n: int) -> npt.NDArray[np.float32]:
    """Counts, hours and rates of made-up users, each by its scale."""
    columns = [rng.beta(2, 6, n) if f.scale == LOGIT else rng.gamma(0.8, 12, n) for f in FEATURES]
    return np.stack(columns, axis=1).astype(np.float32)


def world(n: int, seed: int = 1, clicks: bool = True, wanted: float = 0.15) -> Examples:
    """Answers that features tell of, some of them against the signs that a model must keep."""
    rng = np.random.default_rng(seed)
    rows = random_features(rng, n)
    parts = np.stack([rng.integers(0, size, n) for size in SIZES], axis=1).astype(np.int8)
    parts[rng.random(n) < 0.3, RANK] = UNKNOWN
    margin = (
        3 * rows[:, 15]
        - 0.02 * rows[:, 5]
        + 0.02 * rows[:, 6] * (rows[:, 24] > 5)
        + (0.2 * parts[:, AFFINITY] - 0.2 * np.maximum(parts[:, RANK], 0)) * clicks
    )
    margin += np.log(wanted / (1 - wanted)) - margin.mean()
    label = (rng.random(n) < sigmoid(margin)).astype(np.float64)
    base = np.full(n, np.log(wanted / (1 - wanted)))
    return Examples(rows, parts if clicks else None, label, base, np.sort(rng.integers(0, 100, n)) * DAY_US)


def recipe(most: str = TREES, threads: int = 1) -> Recipe:
    return Recipe(SIGNS, SCALES, 2 * DAY_US, most, seed=1, threads=threads)


@pytest.fixture(scope="module")
def fitted() -> Scorer:
    return fit_scorer(world(30_000), recipe())


def test_trees_are_lightgbms_own_whatever_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    import lightgbm as lgb

    examples = world(4000)
    lessons = Lessons(
        np.concatenate([examples.features, examples.parts[:, AFFINITY:REPEATS]], axis=1).astype(np.float32), examples.label, examples.base
    )
    signs, groups = np.append(SIGNS, np.int8(1)), [list(range(N_FEATURES)), [N_FEATURES]]
    described, rounds = grow(lessons, signs, groups, seed=1, threads=1, rounds=30)
    monkeypatch.setattr(boosting, "ROWS_A_THREAD", 1000)
    again, _ = grow(lessons, signs, groups, seed=1, threads=2, rounds=3)
    assert rounds == 30 and described[:3] == again
    trees = flatten(described)
    told = parameters(lessons.label.sum()) | {
        "monotone_constraints": signs.tolist(),
        "interaction_constraints": groups,
        "seed": 1,
        "num_threads": 1,
    }
    booster = lgb.train(told, lgb.Dataset(lessons.rows, lessons.label, init_score=lessons.base, params=told), num_boost_round=30)
    rows = np.concatenate([random_features(np.random.default_rng(2), 500), np.arange(500)[:, None] % 6], axis=1).astype(np.float32)
    assert tree_scores(trees, rows) == pytest.approx(booster.predict(rows, raw_score=True), abs=1e-9)
    about_user, about_item = parted(described, N_FEATURES)
    assert len(about_item.root) > 0 and tree_scores(about_user, rows) + tree_scores(about_item, rows) == pytest.approx(
        tree_scores(trees, rows)
    )
    moved = rows.copy()
    moved[:, N_FEATURES] = 5 - moved[:, N_FEATURES]
    assert np.array_equal(tree_scores(about_user, rows), tree_scores(about_user, moved))


def test_a_row_gets_the_same_bits_alone_and_in_company(fitted: Scorer) -> None:
    rows = random_features(np.random.default_rng(3), 1001)
    whole = fitted.probabilities(fitted.user_part(rows))
    alone = [fitted.probabilities(fitted.user_part(rows[i : i + 1]))[0] for i in range(0, 1001, 50)]
    assert whole[::50].tolist() == alone


@pytest.mark.parametrize("most", [LOGISTIC, TREES])
def test_more_sends_and_shorter_gaps_never_raise_p(fitted: Scorer, most: str) -> None:
    scorer = fitted if most == TREES else fit_scorer(world(5000), recipe(LOGISTIC))
    assert scorer.kind == most
    rng = np.random.default_rng(4)
    rows = random_features(rng, 100_000)
    worse = rows.copy()
    for place, feature in enumerate(FEATURES):
        if feature.sign:
            change = rng.random(len(rows)) * rows[:, place] * (rng.random(len(rows)) < 0.3)
            worse[:, place] = rows[:, place] - np.float32(feature.sign) * change.astype(np.float32)
    before, after = (scorer.probabilities(scorer.user_part(of)) for of in (rows, worse))
    assert (after <= before).all() and (after < before).mean() > 0.5
    assert (before > 0).all() and (before < 1).all()
    assert keeps_signs(scorer.item_part()) and (most == LOGISTIC or len(np.unique(scorer.item_part())) > 20)


def test_without_signs_some_rows_break_them() -> None:
    """Negative control of the test above: the made-up answers do rise with sends where nothing forbids it."""
    free = fit_scorer(world(30_000), Recipe(np.zeros_like(SIGNS), SCALES, 2 * DAY_US))
    rows = random_features(np.random.default_rng(4), 5000)
    more = rows.copy()
    more[:, 6] *= 3
    assert (free.user_part(more) > free.user_part(rows)).mean() > 0.2


def test_who_somebody_is_tells_nothing_of_what_they_will_do() -> None:
    """Features that name the user, answers by a coin: nothing is gained on later rows; one feature that peeks gains all."""
    rng = np.random.default_rng(12)
    people, user = random_features(rng, 500), rng.integers(0, 500, 30_000)
    label, day = (rng.random(30_000) < 0.2).astype(np.float64), np.sort(rng.integers(0, 100, 30_000)) * DAY_US
    base = np.full(30_000, np.log(0.25))
    named = Examples(people[user], None, label, base, day)
    peeking = Examples(named.features.copy(), None, label, base, day)
    peeking.features[:, 15] = 0.1 + 0.5 * label + 0.3 * rng.random(30_000)
    later, gains = day >= 70 * DAY_US, []
    for examples in (named, peeking):
        p = foretold(fit_scorer(examples.where(~later), recipe()), examples.where(later))
        gains.append(
            (
                float(log_losses(np.full(int(later.sum()), 0.2), label[later]).mean() - log_losses(p, label[later]).mean()),
                auc(p, label[later]),
            )
        )
    assert -0.01 < gains[0][0] < 0.002 and gains[0][1] == pytest.approx(0.5, abs=0.03)
    assert gains[1][0] > 0.3 and (gains[1][1] or 0) > 0.95


def test_later_answers_are_foretold_as_often_as_they_come(fitted: Scorer) -> None:
    later = world(40_000, seed=5)
    p = foretold(fitted, later)
    tenths = np.array_split(np.argsort(p), 10)
    assert later.label.sum() / p.sum() == pytest.approx(1, abs=0.04)
    assert [later.label[t].sum() / p[t].sum() for t in tenths[1:]] == pytest.approx([1] * 9, abs=0.2)


def test_sampled_negatives_are_made_up_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_fit, "MOST_ROWS", 6000)
    later = world(30_000, seed=6, wanted=0.06)
    p = foretold(fit_scorer(world(30_000, seed=7, wanted=0.06), recipe()), later)
    assert later.label.sum() / p.sum() == pytest.approx(1, abs=0.06)


def test_few_answers_carry_less() -> None:
    kinds = [fit_scorer(world(n, clicks=False), recipe()).kind for n in (300, 3000, 30_000)]
    assert kinds == [RATES, LOGISTIC, TREES]
    assert fit_scorer(world(30_000, clicks=False), recipe(RATES)).kind == RATES


@pytest.mark.parametrize("answer", [0.0, 1.0])
def test_answers_that_are_all_alike_leave_the_rates_alone(answer: float) -> None:
    examples = world(5000)
    whole = Examples(examples.features, examples.parts, np.full(5000, answer), examples.base, examples.plan_us)
    scorer = fit_scorer(whole, recipe())
    assert scorer.kind == RATES and margins(scorer, whole) == pytest.approx(examples.base)


def test_constant_features_say_nothing() -> None:
    examples = world(20_000)
    rows = np.ones_like(examples.features)
    rows[:, 15] = examples.features[:, 15]
    scorer = fit_scorer(Examples(rows, examples.parts, examples.label, examples.base, examples.plan_us), recipe())
    assert scorer.kind == TREES and set(scorer.trees.feature.tolist()) <= {15}
    assert np.flatnonzero(scorer.linear.coefficient).tolist() == [15] if scorer.linear else False


def test_what_is_stored_reads_back_bit_by_bit_and_nonsense_is_refused(fitted: Scorer) -> None:
    told = json.loads(json.dumps(fitted.to_json()))
    read = Scorer.from_json(told, N_FEATURES)
    rows = random_features(np.random.default_rng(8), 100)
    assert read.probabilities(read.user_part(rows)).tobytes() == fitted.probabilities(fitted.user_part(rows)).tobytes()
    assert read.to_json() == fitted.to_json()
    loops = told | {"trees": told["trees"] | {"left": [0] * len(told["trees"]["left"])}}
    beyond = told | {"trees": told["trees"] | {"feature": [N_FEATURES] * len(told["trees"]["feature"])}}
    rising = told | {"item": [*told["item"][:7], 9.0, *told["item"][8:]]}
    falling = told | {"calibration": {"margin": [0.0, 1.0], "logit": [1.0, 0.0], "slope": 1.0}}
    for broken in (loops, beyond, rising, falling):
        with pytest.raises(ValueError):
            Scorer.from_json(broken, N_FEATURES)


def test_a_logistic_regression_finds_what_made_the_answers_but_keeps_its_signs() -> None:
    rng = np.random.default_rng(9)
    rows = rng.normal(size=(20_000, 3)).astype(np.float32)
    label = (rng.random(20_000) < sigmoid(-1 + 0.8 * rows[:, 0] - 0.5 * rows[:, 1] + 0.4 * rows[:, 2])).astype(np.float64)
    plain = np.full(3, PLAIN, np.int8)
    free = fit_linear(rows, label, np.zeros(20_000), np.zeros(20_000), np.ones(20_000), plain, np.zeros(3, np.int8))
    assert free.coefficient == pytest.approx([0.8, -0.5, 0.4], abs=0.08)
    bound = fit_linear(rows, label, np.zeros(20_000), np.zeros(20_000), np.ones(20_000), plain, np.array([1, 1, -1], np.int8))
    assert bound.coefficient[1] == 0 and bound.coefficient[2] == 0 and bound.coefficient[0] > 0
    assert linear_scores(free, rows[:5]).tolist() == [linear_scores(free, rows[i : i + 1])[0] for i in range(5)]


def test_a_curve_never_falls_and_stays_inside() -> None:
    rng = np.random.default_rng(10)
    margin = rng.normal(-2, 1, 40_000)
    label = (rng.random(40_000) < sigmoid(0.3 + 0.6 * margin)).astype(np.float64)
    curve = fit_curve(margin, label)
    at = np.concatenate([np.linspace(-700, 700, 50_000), curve.margin])
    p = calibrated(curve, np.sort(at))
    assert (np.diff(p) >= 0).all() and (p > 0).all() and (p < 1).all() and len(curve.margin) > 5
    assert calibrated(curve, np.linspace(-4, 0, 9)) == pytest.approx(sigmoid(0.3 + 0.6 * np.linspace(-4, 0, 9)), rel=0.15)
    assert fit_line(margin, label) == pytest.approx((0.3, 0.6), abs=0.06)
    few = fit_curve(margin[:100], label[:100])
    assert len(few.margin) == 1 and 0.4 < few.slope < 1.1
    level = levelled(identity(), margin, label)
    assert calibrated(level, margin).sum() == pytest.approx(label.sum(), rel=1e-6)
    assert levelled(identity(), margin, np.zeros(40_000)) == identity()
    assert monotone(np.array([1.0, 0.0, 2.0]), np.ones(3), increasing=True).tolist() == [0.5, 0.5, 2.0]
    curve = fit_curve(margin, label)
    assert calibrated(curve.scaled(0.8), margin / 0.8) == pytest.approx(calibrated(curve, margin), rel=1e-9)
    with pytest.raises(ValueError, match="falls"):
        Calibration.from_json({"margin": [0, 1], "logit": [1, 0], "slope": 1})


def test_cells_are_numbered_as_they_are_listed_and_signs_are_checked_along_each_part() -> None:
    assert cells_of(every_cell()).tolist() == list(range(N_CELLS)) and len(every_cell()) == N_CELLS
    fair = 0.1 * every_cell()[:, AFFINITY] - 0.2 * np.maximum(every_cell()[:, RANK], 0)
    assert keeps_signs(fair) and not keeps_signs(-fair)
    for at in (0, N_RANKED):
        bent = fair.copy()
        bent[at] += 5.0
        assert not keeps_signs(bent)


def test_a_curve_bends_where_answers_do_and_stays_the_line_where_chance_does() -> None:
    rng = np.random.default_rng(22)
    margin = rng.normal(-3, 1.5, 60_000)
    straight, bent = (
        fit_curve(margin, (rng.random(60_000) < sigmoid(truth)).astype(np.float64))
        for truth in (0.2 + 0.9 * margin, np.maximum(margin, -3.5))
    )
    at = np.linspace(-6, 0, 25)
    assert calibrated(straight, at) == pytest.approx(sigmoid(0.2 + 0.9 * at), rel=0.08)
    assert calibrated(bent, at[8:]) == pytest.approx(sigmoid(np.maximum(at, -3.5))[8:], rel=0.2)


def test_few_answers_tell_of_items_too() -> None:
    scorer = fit_scorer(world(5000), recipe(LOGISTIC))
    cells = every_cell()
    liked = [scorer.item_part()[cells[:, AFFINITY] == value].mean() for value in range(SIZES[AFFINITY])]
    assert (np.diff(liked) > 0.1).all() and keeps_signs(scorer.item_part())


def test_what_features_say_again_of_the_own_rate_is_not_counted_twice() -> None:
    """Users asleep or awake: the last few sends tell more than the whole rate, which a logistic bound to it in full would overstate."""
    rng = np.random.default_rng(21)
    n = 20_000
    awake, keen = rng.random(n) < 0.5, rng.normal(0, 0.7, n)
    before = np.where(rng.random(n) < 0.25, ~awake, awake)  # most of the rate is of a time when they may have been the other
    rate = (rng.binomial(20, sigmoid(np.where(before, 0.5, -3.0) + keen)) + 1) / 25
    rows = np.zeros((n, N_FEATURES), np.float32)
    rows[:, NAMES.index("open_rate")] = rate
    rows[:, NAMES.index("open_rate_fast")] = (rng.binomial(4, sigmoid(np.where(awake, 0.5, -3.0) + keen)) + 0.2) / 5
    label = (rng.random(n) < sigmoid(np.where(awake, 0.5, -3.0) + keen)).astype(np.float64)
    own, level, even = np.log(rate / (1 - rate)), np.zeros(n), np.arange(n) % 2 == 0
    slopes = []
    for base, apart in ((level, own), (own, level)):
        linear = fit_linear(rows[even], label[even], base[even], apart[even], np.ones(n // 2), SCALES, SIGNS)
        slopes.append(fit_line((base + linear.own * apart + linear_scores(linear, rows))[~even], label[~even])[1])
    assert slopes[0] == pytest.approx(1.0, abs=0.06) and slopes[1] < 0.85
