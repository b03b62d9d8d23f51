"""Metrics against a ten-line plain oracle, published popularity baselines, and hand-made lists."""

from __future__ import annotations

import gzip
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.models import metrics

DATA = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[3] / "shared/data"))


def oracle(ranked: list[int], wanted: set[int], k: int) -> dict[str, float]:
    """Every metric of one user in plain Python."""
    hits = [1 if item in wanted and item not in ranked[:i] else 0 for i, item in enumerate(ranked[:k])]
    best = min(k, len(wanted))
    ideal = sum(1 / math.log2(i + 2) for i in range(best))
    return {
        f"recall@{k}": sum(hits) / len(wanted),
        f"capped_recall@{k}": sum(hits) / best,
        f"ndcg@{k}": sum(h / math.log2(i + 2) for i, h in enumerate(hits)) / ideal,
        f"map@{k}": sum(h * sum(hits[: i + 1]) / (i + 1) for i, h in enumerate(hits)) / best,
        f"hit_rate@{k}": float(any(hits)),
        f"precision@{k}": sum(hits) / k,
    }


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_agrees_with_the_plain_oracle(data: st.DataObject) -> None:
    n_users, k = data.draw(st.integers(1, 6)), data.draw(st.integers(1, 7))
    item = st.integers(0, 9)
    ranked = [data.draw(st.lists(item, max_size=k)) for _ in range(n_users)]
    wanted = [data.draw(st.sets(item, min_size=1)) for _ in range(n_users)]
    lists = np.array([row + [-1] * (k - len(row)) for row in ranked], dtype=np.int32)
    pairs = [(u, i) for u, row in enumerate(wanted) for i in row]
    targets = metrics.Targets.from_pairs(*np.array(pairs).T, n_users)
    found = metrics.per_user(lists, targets, k)
    for u in range(n_users):
        for name, value in oracle(ranked[u], wanted[u], k).items():
            assert found[name][u] == pytest.approx(value, abs=1e-12), name


def test_both_recalls_differ_where_more_is_wanted_than_fits() -> None:
    targets = metrics.Targets.from_pairs(np.zeros(6, int), np.arange(6), 1)
    found = metrics.per_user(np.array([[5, 9, 0]], dtype=np.int32), targets, 3)
    assert found["recall@3"][0] == pytest.approx(2 / 6)
    assert found["capped_recall@3"][0] == pytest.approx(2 / 3)


def test_targets_of_chosen_users_keep_their_order() -> None:
    targets = metrics.Targets.from_pairs(np.array([2, 0, 2, 2]), np.array([7, 4, 1, 7]), 3)
    assert targets.count.tolist() == [1, 0, 2]
    chosen = targets.rows(np.array([2, 0]))
    assert chosen.item.tolist() == [1, 7, 4]
    assert chosen.offsets.tolist() == [0, 2, 3]


def test_list_metrics_by_hand() -> None:
    lists = np.array([[0, 1], [0, 0], [2, -1]], dtype=np.int32)
    found = metrics.of_lists(lists, np.array([7.0, 3.0, 1.0, 0.0]), 7, np.array([True, True, True, True]), past_popularity=4.0)
    assert found["coverage"] == pytest.approx(3 / 4)
    assert found["duplicates"] == 1
    assert found["sufficiency"] == pytest.approx(5 / 6)
    assert found["popularity_lift"] == pytest.approx((7 * 3 + 3 + 1) / 5 / 4)
    assert found["novelty"] == pytest.approx((0 * 3 + 1 + 2) / 5)
    assert found["gini"] == pytest.approx(sum(abs(a - b) for a in (3, 1, 1, 0) for b in (3, 1, 1, 0)) / (2 * 4 * 5))


def test_gini_ends() -> None:
    assert metrics.gini(np.full(9, 4.0)) == pytest.approx(0.0)
    assert metrics.gini(np.array([0.0] * 99 + [5.0])) == pytest.approx(0.99)
    assert metrics.gini(np.zeros(3)) == 0.0


def test_no_target_and_no_item_are_no_error() -> None:
    targets = metrics.Targets.from_pairs(np.zeros(0, int), np.zeros(0, int), 0)
    found = metrics.per_user(np.zeros((0, 5), dtype=np.int32), targets, 5)
    assert all(len(values) == 0 for values in found.values())


@pytest.mark.skipif(not (DATA / "gowalla_lightgcn").is_dir(), reason="the public data set is not on this machine")
def test_popularity_on_gowalla_as_published() -> None:
    train, test = (_pairs(DATA / "gowalla_lightgcn" / f"{name}.txt.gz") for name in ("train", "test"))
    order = np.argsort(-np.bincount(train[:, 1], minlength=40_981), kind="stable").astype(np.int32)
    n_users = 29_858
    seen = metrics.Targets.from_pairs(train[:, 0], train[:, 1], n_users)
    head = np.tile(order[: 20 + seen.count.max()], (n_users, 1))
    unseen = ~metrics.hit_matrix(head, seen)
    place = np.argsort(~unseen, axis=1, kind="stable")[:, :20]
    targets = metrics.Targets.from_pairs(test[:, 0], test[:, 1], n_users)
    found = metrics.per_user(np.take_along_axis(head, place, axis=1), targets, 20)
    assert round(found["recall@20"].mean(), 4) == 0.0416
    assert round(found["ndcg@20"].mean(), 4) == 0.0317


def _pairs(path: Path) -> np.ndarray:
    rows = [[int(word) for word in line.split()] for line in gzip.decompress(path.read_bytes()).splitlines()]
    return np.array([(row[0], item) for row in rows for item in row[1:]])
