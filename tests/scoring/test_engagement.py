"""Rates against a world whose truth is known, and at the edges where there is next to nothing to fit."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.errors import DataError
from notif_rec.scoring.calibration import monotone
from notif_rec.scoring.engagement import (
    N_BUCKETS,
    PRIORS,
    Engagement,
    prior_engagement,
    probabilities,
    rank_bucket,
)
from notif_rec.scoring.features import CLICKS, ITEMS, N_FEATURES, OPENS, SENDS
from notif_rec.scoring.item_parts import ANY_ITEM, UNKNOWN, cells_of
from notif_rec.scoring.rates_fit import bucket_rates, click_strength, open_strength
from notif_rec.scoring.rates_fit import fit_rates as fit_engagement
from notif_rec.scoring.send_outcomes import NOT_RANKED, SendOutcomes

CHANNELS = ("push", "email")
TRUE_CLICKS = np.array([0.30, 0.22, 0.15, 0.10, 0.06, 0.03, 0.02])


def outcomes(**columns: npt.ArrayLike) -> SendOutcomes:
    """Sends of one item each on channel 0 unless said otherwise."""
    n = len(np.asarray(columns.get("user", columns.get("opened", []))))
    given = {name: np.asarray(value) for name, value in columns.items()}
    offsets = given.pop("offsets", np.arange(n + 1))
    items = int(offsets[-1])
    empty: dict[str, npt.NDArray[np.generic]] = {
        "user": np.arange(n, dtype=np.int32), "channel": np.zeros(n, np.int8), "at_us": np.arange(n, dtype=np.int64),
        "plan_us": np.arange(n, dtype=np.int64), "hour": np.full(n, 12, np.int16), "opened": np.zeros(n, np.bool_),
        "blind": np.zeros(n, np.bool_), "unsubscribed": np.zeros(n, np.bool_), "leave_known": np.ones(n, np.bool_),
        "features": np.zeros((n, N_FEATURES), np.float32), "segment": np.full(n, -1, np.int32),
        "item": np.zeros(items, np.int32), "item_clicked": np.zeros(items, np.float32), "item_rank": np.full(items, NOT_RANKED, np.int32),
        "item_parts": np.tile(np.array((2, *ANY_ITEM[1:]), np.int8), (items, 1)),
        "hours_row": np.full(n, -1, np.int32), "own_hours": np.zeros((0, 168), np.float32), "activity": np.zeros((1, 168)),
        "own_before": np.zeros((n, 3), np.float32),
    }  # fmt: skip
    return SendOutcomes(**(empty | given | {"offsets": offsets}))  # type: ignore[arg-type]


def known(n_sends: npt.ArrayLike, n_opens: npt.ArrayLike, n_clicks: npt.ArrayLike, n_items: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Features of users of whom only this is known."""
    rows = np.zeros((len(np.asarray(n_sends)), N_FEATURES), np.float32)
    rows[:, SENDS], rows[:, OPENS], rows[:, CLICKS], rows[:, ITEMS] = n_sends, n_opens, n_clicks, n_items
    return rows


def ranked(rank: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Cells of items of which the rank is known and nothing else."""
    parts = np.tile(np.array(ANY_ITEM, np.int8), (rank.size, 1))
    parts[:, 0] = rank_bucket(rank.ravel())
    cells = cells_of(parts).reshape(rank.shape)
    return cells, cells


class Simulated:
    """Users with opens and clicks of their own, sent digests of items of known rank."""

    def __init__(self, n_users: int, sends_each: int, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.open_rate = rng.beta(2, 6, n_users)
        self.ratio = rng.gamma(3, 1 / 3, n_users)
        user = np.repeat(np.arange(n_users, dtype=np.int32), sends_each)
        n = len(user)
        sizes = rng.integers(1, 4, n)
        offsets = np.concatenate(([0], np.cumsum(sizes)))
        item_user = np.repeat(user, sizes)
        rank = rng.integers(-1, 150, len(item_user)).astype(np.int32)
        p_click = np.minimum(TRUE_CLICKS[rank_bucket(rank)] * self.ratio[item_user] * 0.4, 1)
        self.user, self.item_user, self.rank = user, item_user, rank
        self.opened, self.clicked = rng.random(n) < self.open_rate[user], rng.random(len(p_click)) < p_click
        self.unsubscribed = rng.random(n) < 0.01
        self.sends = outcomes(
            user=user, opened=self.opened, unsubscribed=self.unsubscribed, offsets=offsets,
            item=np.zeros(len(rank), np.int32), item_clicked=self.clicked.astype(np.float32), item_rank=rank,
        )  # fmt: skip


def test_predictions_for_later_sends_are_calibrated_overall_and_in_every_fifth() -> None:
    world, later = Simulated(3000, 30, seed=1), Simulated(3000, 40, seed=2)
    fitted = fit_engagement(CHANNELS, world.sends)
    n_sends, n_opens = np.bincount(world.user), np.bincount(world.user, world.opened)
    items, clicks = np.bincount(world.item_user), np.bincount(world.item_user, world.clicked)
    rng = np.random.default_rng(3)
    opened = rng.random(len(later.user)) < world.open_rate[later.user]
    true = np.minimum(TRUE_CLICKS[rank_bucket(later.rank)] * world.ratio[later.item_user] * 0.4, 1)
    clicked = rng.random(len(true)) < true
    users = known(n_sends, n_opens, clicks, items)
    p_open, _, p_leave = probabilities(fitted, 0, ranked(np.zeros((3000, 1), np.int32)), users)
    p_click = probabilities(fitted, 0, ranked(later.rank[:, None]), users[later.item_user])[1][:, 0]
    for p, happened, tolerance in ((p_open[later.user, 0], opened, 0.03), (p_click, clicked, 0.04)):
        assert happened.sum() / p.sum() == pytest.approx(1, abs=tolerance)
        fifths = np.array_split(np.argsort(p, kind="stable"), 5)
        assert [happened[fifth].sum() / p[fifth].sum() for fifth in fifths] == pytest.approx([1] * 5, abs=0.1)
        assert np.corrcoef(p, happened)[0, 1] > 0.1
    assert p_leave[0] == pytest.approx(0.01, rel=0.1)
    assert fitted.open_strength[0] == pytest.approx(8, rel=0.3) and fitted.click_strength[0] == pytest.approx(3, rel=0.3)


def test_a_user_without_a_past_gets_the_channels_rate_and_one_with_much_the_own() -> None:
    fitted = fit_engagement(CHANNELS, Simulated(500, 30, seed=4).sends)
    rank = np.zeros((3, 1), np.int32)
    items = np.array([0, 1e4, 1e4]) / fitted.click_rate[0]
    p_open, p_click, _ = probabilities(fitted, 0, ranked(rank), known([0, 1e6, 1e6], [0, 9e5, 0], [0, 2e4, 0], items))
    assert p_open[:, 0] == pytest.approx([fitted.open_rate[0], 0.9, 0], abs=1e-3)
    first = fitted.click_rate_by_bucket[0, 0]
    assert p_click[:, 0] / (1 - p_click[:, 0]) == pytest.approx(first / (1 - first) * np.array([1, 2, 0]), abs=1e-3)


COUNTS = st.tuples(*[st.floats(0, 1e6)] * 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(COUNTS, min_size=1, max_size=4), st.integers(0, 2**31))
def test_always_inside_and_never_rising_with_rank(history: list[tuple[float, float, float, float]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(0, 60))
    sends = outcomes(
        opened=rng.random(n) < rng.random(), unsubscribed=rng.random(n) < rng.random(),
        item_clicked=(rng.random(n) < rng.random()).astype(np.float32), item_rank=rng.integers(NOT_RANKED, 200, n).astype(np.int32),
    )  # fmt: skip
    fitted = fit_engagement(CHANNELS, sends)
    ranks = np.tile(np.append(np.arange(150), -1).astype(np.int32), (len(history), 1))
    n_sends, n_opens, n_clicks, expected = (np.array(column) for column in zip(*history, strict=True))
    for channel in range(2):
        p_open, p_click, p_leave = probabilities(
            fitted, channel, ranked(ranks), known(n_sends, np.minimum(n_opens, n_sends), n_clicks, expected)
        )
        for p in (p_open, p_click, p_leave):
            assert (p > 0).all() and (p < 1).all()
        assert (np.diff(p_click[:, :-1], axis=1) <= 0).all()


@pytest.mark.parametrize(
    ("opens", "clicks", "words"),
    [
        ([], [], "no past sends with a full attribution window; its rates are benchmarks"),
        ([0] * 150, [0] * 150, "150 past sends and not one open or click; its rates are benchmarks"),
        ([1] * 40, [0] * 40, "only 40 past sends; its rates lean on benchmarks"),
        ([0] * 40, [1, 1, *[0] * 38], "only 40 past sends"),
    ],
)
def test_a_thin_channel_falls_back_and_says_so(opens: list[int], clicks: list[int], words: str) -> None:
    fitted = fit_engagement(CHANNELS, outcomes(opened=np.array(opens, bool), item_clicked=np.array(clicks, np.float32)))
    assert any(warning.startswith("push: ") and words in warning for warning in fitted.warnings)
    assert any(warning.startswith("email: no past sends") for warning in fitted.warnings)
    assert fitted.open_rate[1] == PRIORS["email"].opened
    if not sum(opens) + sum(clicks):
        assert fitted.open_rate[0] == PRIORS["push"].opened and fitted.click_rate[0] == PRIORS["push"].clicked
    if sum(opens) == 40:
        assert 0.6 < fitted.open_rate[0] < 1
    assert fitted.counts["push"]["sends"] == len(opens)


def test_ten_thousand_sends_outweigh_the_benchmark() -> None:
    rng = np.random.default_rng(5)
    fitted = fit_engagement(CHANNELS, outcomes(opened=rng.random(10_000) < 0.6))
    assert fitted.open_rate[0] == pytest.approx(0.6, abs=0.02) and fitted.warnings == (
        "email: no past sends with a full attribution window; its rates are benchmarks",
    )


def test_rates_fall_with_rank_where_noise_says_otherwise_and_keep_their_mean() -> None:
    rank = np.repeat([0, 1, 5, 20, 50, 100, NOT_RANKED], 400).astype(np.int32)
    clicked = np.zeros(len(rank), np.float32)
    for bucket, clicks in enumerate([40, 60, 20, 30, 10, 2, 90]):
        clicked[400 * bucket : 400 * bucket + clicks] = 1
    rates = bucket_rates(clicked.mean(), rank, clicked)
    assert (np.diff(rates) <= 0).all() and rates[0] == rates[1] and rates[2] == rates[3]
    chain = rank >= 0
    assert rates[rank_bucket(rank[chain])].mean() == pytest.approx(clicked[chain].mean(), rel=0.1)


def test_without_ranks_the_shape_is_gentle_and_starts_at_the_channels_rate() -> None:
    rates = bucket_rates(0.1, np.full(50, NOT_RANKED, np.int32), np.ones(50, np.float32))
    assert rates[0] == pytest.approx(0.1) and (np.diff(rates) < 0).all()


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.1, 10)), min_size=1, max_size=7))
def test_pooling_is_the_nearest_falling_sequence(points: list[tuple[float, float]]) -> None:
    values, weights = (np.array(column) for column in zip(*points, strict=True))
    n = len(values)

    def mean(a: int, b: int) -> float:
        return float(np.average(values[a : b + 1], weights=weights[a : b + 1]))

    slow = [max(min(mean(a, b) for a in range(at + 1)) for b in range(at, n)) for at in range(n)]  # max-min formula
    assert monotone(values, weights, increasing=False) == pytest.approx(slow, abs=1e-9)


def test_users_who_do_not_differ_are_shrunk_hard_and_users_who_do_are_not() -> None:
    rng = np.random.default_rng(6)
    user = np.repeat(np.arange(400, dtype=np.int32), 25)
    alike = rng.random(len(user)) < 0.3
    apart = (user % 10) < 3
    assert open_strength(user, alike, 0.3) > 100 and open_strength(user, apart, 0.3) == 1
    expected = np.full(len(user), 0.3)
    assert click_strength(user, alike.astype(np.float32), expected) > 30
    assert click_strength(user, apart.astype(np.float32), expected) < 2
    assert open_strength(user[:1], alike[:1], 0.3) == 20 and click_strength(user[:0], alike[:0].astype(np.float32), expected[:0]) == 2


def test_what_is_stored_reads_back_bit_by_bit() -> None:
    fitted = fit_engagement(CHANNELS, Simulated(50, 5, seed=7).sends)
    read = Engagement.from_json(fitted.to_json())
    assert read.to_json() == fitted.to_json()
    for field in dataclasses.fields(Engagement):
        left, right = getattr(read, field.name), getattr(fitted, field.name)
        if isinstance(left, np.ndarray):
            assert left.tobytes() == right.tobytes(), field.name
    assert read.channels == CHANNELS and read.hours.response.tobytes() == fitted.hours.response.tobytes()


def test_damaged_rates_are_refused() -> None:
    whole = json.loads(prior_engagement(CHANNELS).to_json())
    for broken in ("{", json.dumps({k: v for k, v in whole.items() if k != "hours"}), "[]"):
        with pytest.raises(DataError, match="damaged"):
            Engagement.from_json(broken)
    with pytest.raises(DataError, match=r"shape \(2, 1\)"):
        Engagement.from_json(json.dumps(whole | {"click_rate_by_bucket": [[0.1], [0.1]]}))


@pytest.mark.parametrize("channel", ["push", "email", "in_app", "sms"])
def test_a_first_send_of_one_item_is_worth_its_risk_under_the_default_value(channel: str) -> None:
    """Else a store without sends would plan none, and never have any."""
    p_open, p_click, p_leave = probabilities(prior_engagement((channel,)), 0, ranked(np.zeros((1, 1), np.int32)), known([0], [0], [0], [0]))
    assert 0.1 * p_open[0, 0] + 1.0 * p_click[0, 0] - 30 * p_leave[0] > 0


def test_buckets_of_ranks() -> None:
    ranks = np.array([0, 1, 2, 3, 9, 10, 29, 30, 99, 100, 5000, -1], np.int32)
    assert rank_bucket(ranks).tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, UNKNOWN]
    assert prior_engagement(("sms",)).click_rate_by_bucket.shape == (1, N_BUCKETS)
