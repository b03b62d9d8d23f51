from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from notif_rec.models.fit import Evidence, fit_channel
from notif_rec.models.model import ALS, CONTENT, POPULAR, RECENT, SEGMENT, SIMILAR, ChannelModel, Segments
from notif_rec.models.settings import ModelSettings
from notif_rec.models.taste import Taste, channel_weights, saturate, taste_of
from notif_rec.scoring.candidates import Candidates, Lists, retrieve
from tests.models.test_als import pairs

N_USERS, N_ITEMS = 40, 23
KNOWN = np.flatnonzero(np.diff(pairs().indptr))  # users with taste
NOBODY = Taste(np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.float32))


@cache
def model(blend: float = 0.4) -> ChannelModel:
    segment = (np.arange(N_USERS) % 3 - 1).astype(np.int32)
    evidence = Evidence(taste_of(pairs(), 0), N_ITEMS, segment=segment, segments=Segments(("t",), (("a",), ("b",)), 10.0))
    return fit_channel("push", 0, evidence, ModelSettings(factors=16, iterations=4, blend=blend).without_repeats(), seed=1)


def ask(rows: np.ndarray, k: int = 5, blend: float = 0.4, strange: bool = False, **more: object) -> Candidates:
    """Lists for users of the training data, as themselves or as strangers with the same taste."""
    known = np.full(len(rows), -1) if strange else rows
    return retrieve(model(blend), taste_of(pairs()[rows], 0), known, k, **more)  # type: ignore[arg-type]


def plain_lists(rows: list[list[int]]) -> Lists:
    return Lists(np.cumsum([0] + [len(r) for r in rows]).astype(np.int64), np.array([i for r in rows for i in r], np.int32))


@settings(max_examples=120, deadline=None)
@given(
    seed=st.integers(0, 10**6), k=st.integers(1, N_ITEMS + 5), blend=st.sampled_from([0.0, 0.4, 1.0]), live=st.floats(0, 1),
    banned=st.floats(0, 1), strange=st.booleans(), groups=st.integers(0, 3),
)  # fmt: skip
def test_never_a_forbidden_item_at_any_k(seed: int, k: int, blend: float, live: float, banned: float, strange: bool, groups: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(N_USERS)[: rng.integers(1, 9)]
    eligible = rng.random(N_ITEMS) < live
    no = [rng.permutation(N_ITEMS)[: int(rng.random() * banned * (N_ITEMS + 1))].tolist() for _ in rows]
    audience_of_item = rng.integers(-1, groups, N_ITEMS) if groups else np.full(N_ITEMS, -1)
    audience = rng.random((len(rows), groups)) < 0.5
    found = ask(
        rows, k, blend, strange, eligible=eligible, exclude=plain_lists(no), audience_of_item=audience_of_item, audience=audience,
        segment=rng.integers(-1, 2, len(rows)),
    )  # fmt: skip
    for u in range(len(rows)):
        items = found.item_index[u][found.item_index[u] >= 0].tolist()
        allowed = {
            i for i in range(N_ITEMS) if eligible[i] and i not in no[u] and (audience_of_item[i] < 0 or audience[u, audience_of_item[i]])
        }
        assert len(items) == len(set(items)) == min(k, len(allowed)) and set(items) <= allowed
        assert (found.item_index[u, len(items) :] == -1).all()
        assert (np.diff(found.score[u, : len(items)]) <= 0).all() and np.isfinite(found.score[u, : len(items)]).all()
        assert (found.score[u, len(items) :] == -np.inf).all() and (found.source[u, len(items) :] == -1).all()
        assert (found.source[u, : len(items)] >= 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), blend=st.sampled_from([0.0, 0.4]), strange=st.booleans(), threads=st.integers(1, 2))
def test_a_user_gets_the_same_in_any_company(seed: int, blend: float, strange: bool, threads: int) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.permutation(N_USERS)
    whole = ask(rows, 6, blend, strange, threads=threads)
    cut = int(rng.integers(1, N_USERS))
    for part, start in ((rows[:cut], 0), (rows[cut:], cut)):
        found = ask(part, 6, blend, strange)
        for name in ("item_index", "score", "source"):
            assert getattr(found, name).tobytes() == getattr(whole, name)[start : start + len(part)].tobytes(), name


@pytest.mark.parametrize("blend", [0.0, 0.4, 1.0])
def test_scores_are_the_blend_of_standard_scores(blend: float) -> None:
    change = np.random.default_rng(4).uniform(-1, 1, N_ITEMS).astype(np.float32)
    fitted = replace(model(blend), trend=0.2, prior=5.0, drift=2.0, change=change)
    found = retrieve(fitted, taste_of(pairs(), 0), np.arange(N_USERS), N_ITEMS)
    als = fitted.user_factors.astype(float) @ fitted.item_factors.astype(float).T
    weights = saturate(channel_weights(taste_of(pairs(), 0), 0, 0.5, N_ITEMS), fitted.unit).toarray().astype(float)
    near = fitted.similar
    walk = weights @ sparse.csr_matrix((near.weight, near.item_index, near.offsets), shape=(N_ITEMS, N_ITEMS)).toarray()

    def standard(x: np.ndarray) -> np.ndarray:
        spread = x.std(axis=1, keepdims=True)
        return np.where(spread > 0, (x - x.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1), 0)  # type: ignore[no-any-return]

    crowd = standard(np.sqrt(fitted.fallback.score[-1].astype(float))[None, :])
    trust = 0.2 + 5.0 / np.maximum(weights.sum(axis=1, keepdims=True), 0.1)
    expected = (1 - blend) * standard(als) + blend * standard(walk) + trust * crowd + 2.0 * change
    for u in KNOWN:
        np.testing.assert_allclose(found.score[u], np.take(expected[u], found.item_index[u]), atol=1e-4)


def test_strangers_with_taste_are_folded_in_and_rank_much_as_known_users() -> None:
    alone = replace(model(0.0), prior=0.0)
    known, strange = (retrieve(alone, taste_of(pairs()[KNOWN], 0), who, 5) for who in (KNOWN, np.full(len(KNOWN), -1)))
    same = [len(set(a) & set(b)) for a, b in zip(known.item_index.tolist(), strange.item_index.tolist(), strict=True)]
    assert np.mean(same) > 4
    assert (strange.source[0] == ALS).all()


@pytest.mark.parametrize(("segment", "row"), [(0, 0), (1, 1), (-1, 2), (9, 2)])
def test_users_of_whom_nothing_is_known_get_their_segments_favourites(segment: int, row: int) -> None:
    fallback = model().fallback
    found = retrieve(model(), NOBODY, np.array([-1]), 4, segment=np.array([segment]), exclude=plain_lists([[int(fallback.order[row, 0])]]))
    assert found.item_index[0].tolist() == fallback.order[row, 1:5].tolist()
    assert found.score[0].tolist() == fallback.score[row][fallback.order[row, 1:5]].tolist()
    assert set(found.source[0].tolist()) <= {POPULAR, SEGMENT, RECENT}


def test_an_unknown_row_counts_as_a_stranger() -> None:
    beyond = retrieve(model(), taste_of(pairs()[KNOWN[:1]], 0), np.array([N_USERS + 5]), 4)
    assert beyond.item_index.tolist() == ask(KNOWN[:1], 4, strange=True).item_index.tolist()


def test_items_excluded_that_the_model_does_not_know_change_nothing() -> None:
    odd = plain_lists([[-1, N_ITEMS, N_ITEMS + 7]])
    assert ask(KNOWN[:1], exclude=odd).item_index.tolist() == ask(KNOWN[:1]).item_index.tolist()


def test_each_candidate_says_what_made_it() -> None:
    def sources(blend: float, **changes: object) -> set[int]:
        made = replace(model(blend), **{"prior": 0.0, **changes})  # type: ignore[arg-type]
        return set(np.unique(retrieve(made, taste_of(pairs()[KNOWN[:5]], 0), KNOWN[:5], 5).source).tolist())

    assert sources(1.0) == {SIMILAR} and sources(0.0) == {ALS}
    assert sources(0.0, content=np.ones(N_ITEMS, np.float32)) == {CONTENT}
    assert sources(0.4, trend=100.0) <= {POPULAR, RECENT}


def test_a_prior_of_many_pairs_leaves_what_is_popular_alone() -> None:
    lists = [retrieve(replace(model(), prior=prior), taste_of(pairs()[KNOWN], 0), KNOWN, 3).item_index for prior in (0.0, 2.0, 1e6)]
    popular = model().fallback.order[-1]
    shared = [np.isin(found, popular[:3]).sum(axis=1) for found in lists]
    assert (shared[2] == 3).all() and (shared[0] <= shared[1]).mean() > 0.8


def test_a_model_without_any_event_still_fills_lists() -> None:
    empty = fit_channel("push", 0, Evidence(taste_of(sparse.csr_matrix((0, 6), dtype=np.float32)), 6), ModelSettings(), seed=1)
    found = retrieve(empty, NOBODY, np.array([-1]), 4, eligible=np.array([1, 0, 1, 1, 1, 1], bool))
    assert found.item_index.tolist() == [[0, 2, 3, 4]] and (found.source == POPULAR).all()
