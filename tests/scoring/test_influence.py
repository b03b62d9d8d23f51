"""Shares of a probability: they sum to the whole way, and go to what did it."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from notif_rec.scoring.calibration import logit
from notif_rec.scoring.engagement import CLICKED, LEFT, OPENED, Engagement, probabilities
from notif_rec.scoring.engagement_fit import Effort, fit_engagement
from notif_rec.scoring.features import FEATURES
from notif_rec.scoring.influence import THEMES, influences, shapley
from notif_rec.scoring.item_parts import AFFINITY, ANY_ITEM, N_PARTS, RANK, cells_of
from tests.scoring.test_engagement import outcomes
from tests.scoring.test_scorer import DAY_US, world


@pytest.fixture(scope="module")
def fitted() -> Engagement:
    """Learned from sends whose answers hang on features and on the item."""
    made = world(8000, wanted=0.4)
    assert made.parts is not None
    sends = outcomes(
        user=np.arange(8000) % 400, at_us=made.plan_us, plan_us=made.plan_us, opened=made.label > 0, features=made.features,
        item_clicked=made.label.astype(np.float32), item_rank=np.maximum(made.parts[:, RANK], 0).astype(np.int32),
        item_parts=made.parts[:, [1, 1, 2, 3, 4]], offsets=np.arange(8001),
    )  # fmt: skip
    return fit_engagement(("push", "email"), sends, int(made.plan_us.max()) + 40 * DAY_US, Effort((DAY_US, DAY_US, DAY_US)))


def test_every_feature_has_one_theme() -> None:
    assert sorted(name for theme in THEMES for name in theme.features) == sorted(feature.name for feature in FEATURES)
    assert all(set(theme.leads) <= set(theme.features) for theme in THEMES)


def test_shares_are_means_over_all_orders_of_arrival() -> None:
    worth = np.random.default_rng(1).normal(size=(2,) * 4)
    means = np.zeros(4)
    for order in permutations(range(4)):
        there = [0, 0, 0, 0]
        for player in order:
            before = worth[tuple(there)]
            there[player] = 1
            means[player] += (worth[tuple(there)] - before) / 24
    assert shapley(worth) == pytest.approx(means)


def test_odds_multiply_to_the_way_from_the_typical_user(fitted: Engagement) -> None:
    rng = np.random.default_rng(2)
    mine, parts = world(50, seed=9).features[3], np.stack([rng.integers(0, size, 2) for size in (7, 6, 6, 6, 3)], axis=1).astype(np.int8)
    found = influences(fitted, 0, mine, parts)
    for outcome, name in ((OPENED, "opened"), (CLICKED, "clicked"), (LEFT, "unsubscribed")):
        typical = fitted.scorers[0][outcome].typical
        rows = np.stack([mine, typical if len(typical) else np.zeros_like(mine)])
        here, anyone = cells_of(parts), cells_of(np.array([ANY_ITEM], np.int8))
        cells = tuple(np.array([[here[which]], [anyone[0]]]) for which in (OPENED, CLICKED))
        p = probabilities(fitted, 0, cells, rows)[outcome].reshape(2)  # type: ignore[arg-type]
        whole = np.prod([one.odds for one in found if one.outcome == name])
        assert np.log(whole) == pytest.approx(float(logit(p)[0] - logit(p)[1]), abs=1e-9)


def test_what_made_the_answers_is_named_and_what_is_typical_is_not(fitted: Engagement) -> None:
    scorer = fitted.scorers[0][CLICKED]
    mine, parts = scorer.typical.copy(), np.tile(np.array(ANY_ITEM, np.int8), (2, 1))
    assert [one for one in influences(fitted, 0, mine, parts) if one.outcome == "clicked"] == []
    mine[[feature.name for feature in FEATURES].index("open_rate")] = 0.9
    parts[:, AFFINITY] = 5
    told = {one.name: one for one in influences(fitted, 0, mine, parts) if one.outcome == "clicked"}
    assert set(told) == {"own answers", "affinity"} and told["affinity"].words == "of a favourite"
    assert min(one.odds for one in told.values()) > 1.1
    assert parts.shape[1] == N_PARTS
