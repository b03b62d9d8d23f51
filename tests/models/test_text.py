from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from notif_rec.models.ages import read_created
from notif_rec.models.fit import Evidence, fit_channel
from notif_rec.models.settings import ModelSettings
from notif_rec.models.taste import taste_of
from notif_rec.models.text import HALF_HEARD, RIDGE, Texts, foretold, read_texts, with_text
from notif_rec.scoring.candidates import CONTENT, Lists, retrieve
from notif_rec.store.store import Store
from tests.store.rows import table

SINCE, NOW = datetime(2026, 1, 1), datetime(2026, 3, 1)


def read(store: Store, items: list[dict[str, object]]) -> Texts:
    with store.lock():
        codes, new = store.item_codes(pa.array([str(i["id"]) for i in items]), create=True)
        rows = [{"item": c, **i} for c, i in zip(codes.to_pylist(), items, strict=True) if len(i) > 1]
        store.commit("items", {"item_ids": new, "items": table("items", rows)})
    with store.connect() as con:
        known = np.array(codes.to_pylist(), np.int32)
        return read_texts(con, known, read_created(con, known), SINCE, NOW)


def test_words_are_those_of_title_text_category_and_tags(store: Store) -> None:
    texts = read(
        store,
        [
            {"id": "a", "title": "Blue LAMP", "text": "for the desk", "category": "home office", "tags": ["light"]},
            {"id": "b", "title": "blue-grey chair", "category": "home office"},
            {"id": "c", "title": "Lámp über 3000", "tags": ["light", "única"]},
            {"id": "d", "title": "über 3000 única"},
            {"id": "e", "title": "nothing like these"},
            {"id": "f"},
        ],
    )
    rows = texts.words.toarray()
    assert rows.shape == (6, 9)  # those of two items or more: 3000 blue home light office über única, a category, a tag
    assert (rows[0] > 0).sum() == 6 and (rows[1] > 0).sum() == 4
    assert not rows[4].any() and not rows[5].any()
    assert np.linalg.norm(rows[:4], axis=1) == pytest.approx(1.0)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] > rows[0] @ rows[3] == 0


def test_how_long_an_item_was_around(store: Store) -> None:
    texts = read(
        store,
        [
            {"id": "old", "title": "x", "created_at": SINCE - timedelta(days=9)},
            {"id": "new", "title": "x", "created_at": NOW},
            {"id": "half", "title": "x", "created_at": SINCE + (NOW - SINCE) / 2},
            {"id": "undated", "title": "x"},
            {"id": "without a row"},
        ],
    )
    assert texts.around.tolist() == [1.0, 0.0, 0.5, 0.0, 0.0]


def test_foretold_factors_are_the_ridge_solution() -> None:
    rng = np.random.default_rng(0)
    words, items = sparse.random(60, 12, 0.3, format="csr", random_state=1), rng.standard_normal((60, 5)).astype(np.float32)
    evidence = rng.integers(0, 40, 60).astype(np.float64)
    heard, dense = evidence / (evidence + HALF_HEARD), words.toarray()
    left = (dense * heard[:, None]).T @ dense + RIDGE * np.eye(12)
    expected = dense @ np.linalg.solve(left, (dense * heard[:, None]).T @ items)
    np.testing.assert_allclose(foretold(words, items, evidence), expected, atol=1e-5)


def two_kinds(n: int = 40) -> tuple[sparse.csr_matrix, np.ndarray]:
    words = sparse.csr_matrix((np.ones(n), (np.arange(n), np.arange(n) % 2)), shape=(n, 2))
    items = np.zeros((n, 2), np.float32)
    items[np.arange(n), np.arange(n) % 2] = 1 + np.arange(n) / n
    return words, items


def test_the_share_of_the_text_shrinks_with_evidence_and_with_time_on_the_shelf() -> None:
    words, items = two_kinds()
    evidence = np.full(40, 100.0)
    evidence[:4] = [0, 0, 5, 5]
    items[:2] = 0
    around = np.zeros(40)
    around[1] = 1.0
    mixed, new = with_text(Texts(words, around), items, evidence, 40.0)
    assert new[0] == 1 and new[1] < 0.02 and new[2] == pytest.approx(1 / 6)
    assert mixed[0, 0] > 0.8 and mixed[0, 1] == 0  # of the first kind
    assert 0 < mixed[1, 1] < 0.7 * mixed[0, 0]  # long there and never liked
    assert abs(mixed[2, 0] - items[2, 0]) > abs(mixed[20, 0] - items[20, 0])


def test_an_item_without_words_keeps_its_factors() -> None:
    words, items = two_kinds()
    words = words.tolil()
    words[3] = 0
    mixed, new = with_text(Texts(words.tocsr(), np.zeros(40)), items, np.full(40, 3.0), 40.0)
    assert np.array_equal(mixed[3], items[3]) and new[3] == 0


@pytest.mark.parametrize("blend", [0.0, 0.5, 0.9])
def test_a_new_item_reaches_those_who_like_its_kind(blend: float) -> None:
    """Two tastes, told by one word each; the last two items have no events at all."""
    rng = np.random.default_rng(1)
    kind = np.arange(42) % 2
    likes = (rng.random((80, 42)) < 0.3) & (kind[None, :] == (np.arange(80) % 2)[:, None])
    likes[:, 40:] = False
    taste = taste_of(sparse.csr_matrix(likes.astype(np.float32)))
    texts = Texts(sparse.csr_matrix((np.ones(42), (np.arange(42), kind)), shape=(42, 2)), np.zeros(42))
    model = fit_channel("push", -1, Evidence(taste, 42, texts=texts), ModelSettings(factors=16, blend=blend), seed=1)
    found = retrieve(model, taste, np.arange(80), 15, exclude=Lists(taste.offsets, taste.item_index))
    got = (found.item_index[:, :, None] == np.array([40, 41])).any(axis=1)
    wanted = np.arange(80)[:, None] % 2 == np.array([0, 1])[None, :]
    assert got[wanted].mean() > 0.9 and got[~wanted].mean() < 0.1
    assert (found.source[np.isin(found.item_index, [40, 41])] == CONTENT).mean() > 0.9


def test_no_items_no_texts_no_error(store: Store) -> None:
    with store.connect() as con:
        texts = read_texts(con, np.zeros(0, np.int32), np.zeros(0), SINCE, NOW)
    assert texts.words.shape[0] == 0
    model = fit_channel("push", 0, Evidence(taste_of(sparse.csr_matrix((2, 0), dtype=np.float32)), 0, texts=texts), ModelSettings(), seed=1)
    assert model.content.shape == (0,)
