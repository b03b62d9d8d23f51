from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from notif_rec.scoring import topk
from notif_rec.scoring.small_product import pack, ready
from notif_rec.scoring.topk import Allowed, Chosen, Lists, Walk, top_k

BYTES = pytest.param(True, marks=pytest.mark.skipif(not ready(), reason="this processor does not multiply bytes (AVX512_VNNI)"))


def lists(rows: list[list[int]]) -> Lists:
    offsets = np.cumsum([0] + [len(row) for row in rows])
    return Lists(offsets.astype(np.int64), np.array([i for row in rows for i in row], np.int32))


def free(n: int, m: int, **more: Any) -> Allowed:
    plain = {
        "eligible": np.ones(m, bool),
        "banned": lists([[]] * n),
        "group_of_item": np.full(m, -1, np.int16),
        "shut": np.zeros((n, 0), bool),
    }
    return Allowed(**(plain | more))


def some_walk(rng: np.random.Generator, n: int, m: int, share: float = 0.4, filled: float = 0.3) -> Walk:
    own = sparse.random(n, m, 0.2, format="csr", dtype=np.float32, random_state=rng)
    near = sparse.random(m, m, filled, format="csr", dtype=np.float32, random_state=rng)
    own.sort_indices(), near.sort_indices()
    new, like = np.arange(0, m, 5, dtype=np.int32), np.arange(1, m, 5, dtype=np.int32)[: len(range(0, m, 5))]
    alike = (new[: len(like)], np.arange(len(like) + 1), like, np.full(len(like), 0.7, np.float32))
    roads = (near.indptr.astype(np.int64), near.indices, near.data, *alike)
    return Walk(share, own.indptr.astype(np.int64), own.indices, own.data, *roads)


def oracle(users: np.ndarray, items: np.ndarray, k: int, allowed: Allowed, walk: Walk | None) -> list[list[tuple[float, int]]]:
    """All scores in float64, a plain sort by (−score, item)."""
    n, m = len(users), len(items)
    scores = users.astype(np.float64) @ items.astype(np.float64).T
    if walk is not None:
        own = sparse.csr_matrix((walk.weight, walk.item, walk.offsets), shape=(n, m)).toarray().astype(np.float64)
        near = sparse.csr_matrix((walk.near_weight, walk.near_item, walk.near_offsets), shape=(m, m)).toarray().astype(np.float64)
        sums = own @ near
        sums[:, walk.new] += walk.alike_weight * sums[:, walk.alike_item]  # one known item speaks for each
        spread = sums.std(axis=1, keepdims=True)
        scores += np.where(spread > 0, walk.share * (sums - sums.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1), 0)
    result = []
    for u in range(n):
        banned = set(allowed.banned.item[allowed.banned.offsets[u] : allowed.banned.offsets[u + 1]].tolist())
        groups = allowed.group_of_item
        good = [
            i
            for i in range(m)
            if allowed.eligible[i]
            and i not in banned
            and not (groups[i] >= 0 and groups[i] < allowed.shut.shape[1] and allowed.shut[u, groups[i]])
        ]
        result.append([(float(scores[u, i]), i) for i in sorted(good, key=lambda i: (-scores[u, i], i))[:k]])
    return result


def agree(found: Chosen, expected: list[list[tuple[float, int]]], tolerance: float = 1e-5) -> None:
    for u, row in enumerate(expected):
        n = len(row)
        assert (found.item[u, n:] == -1).all() and (found.score[u, n:] == -np.inf).all()
        got = found.item[u, :n].tolist()
        assert len(set(got)) == n
        np.testing.assert_allclose(found.score[u, :n], [s for s, _ in row], atol=tolerance)
        if all(abs(a[0] - b[0]) > tolerance for a, b in pairwise(row)):
            assert got == [i for _, i in row]


def as_forced(by_bytes: bool, *given: Any, **more: Any) -> Chosen:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "MANY", 0)
        patch.setattr(topk, "SPARED", 0 if by_bytes else np.inf)
        return top_k(*given, **more)


@pytest.mark.parametrize("by_bytes", [False, BYTES])
@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 10**6), n=st.integers(1, 7), m=st.integers(1, 700), f=st.integers(1, 33), k=st.integers(1, 60),
    walked=st.booleans(), live=st.floats(0, 1), banned=st.floats(0, 1), groups=st.integers(0, 3),
)  # fmt: skip
def test_the_k_best_allowed_items_at_any_shape(
    by_bytes: bool, seed: int, n: int, m: int, f: int, k: int, walked: bool, live: float, banned: float, groups: int
) -> None:
    rng = np.random.default_rng(seed)
    users, items = rng.standard_normal((n, f), np.float32), rng.standard_normal((m, f), np.float32)
    allowed = free(
        n,
        m,
        eligible=rng.random(m) < live,
        banned=lists([rng.permutation(m)[: int(rng.random() * banned * m)].tolist() for _ in range(n)]),
        group_of_item=rng.integers(-1, groups, m).astype(np.int16) if groups else np.full(m, -1, np.int16),
        shut=rng.random((n, groups)) < 0.5,
    )
    walk = some_walk(rng, n, m) if walked else None
    agree(as_forced(by_bytes, users, items, k, allowed, walk), oracle(users, items, k, allowed, walk))


@pytest.mark.parametrize("by_bytes", [False, BYTES])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 40))
def test_whole_numbers_tie_by_item(by_bytes: bool, seed: int, k: int) -> None:
    """Small whole factors: many equal scores, exact in both precisions."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(-1, 2, (4, 3)).astype(np.float32), rng.integers(-1, 2, (500, 3)).astype(np.float32)
    found = as_forced(by_bytes, users, items, k, free(4, 500))
    for u, row in enumerate(oracle(users, items, k, free(4, 500), None)):
        assert found.item[u].tolist() == [i for _, i in row]


def test_a_user_of_zeros_gets_the_first_items() -> None:
    found = top_k(np.zeros((1, 4), np.float32), np.ones((300, 4), np.float32), 3, free(1, 300, banned=lists([[1]])))
    assert found.item.tolist() == [[0, 2, 3]] and found.score.tolist() == [[0.0, 0.0, 0.0]]


def near_ties(n: int = 300, m: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Items whose scores differ in the last bits of a float32."""
    rng = np.random.default_rng(4)
    base = rng.standard_normal(48).astype(np.float32)
    items = base * (1 + rng.integers(-3, 4, (m, 48)).astype(np.float32) * np.float32(2**-23))
    return (base + rng.standard_normal((n, 48), np.float32) * 0.01).astype(np.float32), items.astype(np.float32)


@cache
def near_ties_walk() -> Walk:
    return some_walk(np.random.default_rng(1), 300, 4000, 1e-6, 0.01)


@pytest.mark.parametrize("by_bytes", [False, BYTES])
@pytest.mark.parametrize("walked", [False, True])
def test_neither_the_batch_nor_threads_nor_the_block_change_a_bit(walked: bool, by_bytes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    users, items = near_ties()
    walk = near_ties_walk() if walked else None
    whole = as_forced(by_bytes, users, items, 10, free(300, 4000), walk, threads=2)
    for u in (0, 129, 299):
        own = walk and walk._replace(
            offsets=np.array([0, walk.offsets[u + 1] - walk.offsets[u]]),
            item=walk.item[walk.offsets[u] : walk.offsets[u + 1]],
            weight=walk.weight[walk.offsets[u] : walk.offsets[u + 1]],
        )
        alone = top_k(users[u : u + 1], items, 10, free(1, 4000), own)
        assert alone.item.tolist() == whole.item[u : u + 1].tolist()
        assert alone.score.tobytes() == whole.score[u : u + 1].tobytes()
    monkeypatch.setattr(topk, "BLOCK", 7)
    monkeypatch.setattr(topk, "SMALL_BLOCK", 7)
    again = as_forced(by_bytes, users, items, 10, free(300, 4000), walk)
    assert again.item.tobytes() == whole.item.tobytes() and again.score.tobytes() == whole.score.tobytes()


def test_a_float32_product_alone_would_not_do() -> None:
    """The negative control of the test above: lists by float32 scores do change with the batch here, or differ from the exact ones."""
    users, items = near_ties()
    found = top_k(users, items, 10, free(300, 4000)).item
    plain = np.argsort(-(users @ items.T), axis=1, kind="stable")[:, :10]
    assert (found != plain).any()


@pytest.mark.parametrize("by_bytes", [False, BYTES])
@pytest.mark.parametrize("many", [False, True])
def test_bytes_are_for_many_users_and_items(by_bytes: bool, many: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """And only where the processor has the instruction; with few items a list they cost more than they spare."""
    packed: list[int] = []
    monkeypatch.setattr(topk, "ready", lambda: by_bytes)
    monkeypatch.setattr(topk, "pack", lambda items: packed.append(len(items)) or pack(items))
    users, items = near_ties(topk.MANY if many else topk.MANY - 1, 2000)
    top_k(users, items, 20, free(len(users), 2000))
    top_k(users, items[:1000], 20, free(len(users), 1000))
    assert packed == ([2000] if by_bytes and many else [])


@pytest.mark.skipif(not ready(), reason="this processor does not multiply bytes (AVX512_VNNI)")
def test_bytes_without_their_error_would_not_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The negative control: 20 of 4,000 items whose order is lost in bytes."""
    users, items = near_ties()
    exact = as_forced(True, users, items, 20, free(300, 4000))
    monkeypatch.setattr(topk, "pack", lambda items: pack(items)._replace(error=0.0, longest=0.0))
    assert (as_forced(True, users, items, 20, free(300, 4000)).item != exact.item).any()


@pytest.mark.skipif(not ready(), reason="this processor does not multiply bytes (AVX512_VNNI)")
def test_a_factor_that_bytes_cannot_hold_spoils_no_list() -> None:
    """One that has faded to next to nothing, and one beyond all numbers."""
    users, items = near_ties(300, 1000)
    items[:, 3] *= np.float32(1e-41)
    for most in (1.0, np.inf):
        items[7, 5] = most
        found, plain = (as_forced(by_bytes, users, items, 20, free(300, 1000)) for by_bytes in (True, False))
        assert found.item.tobytes() == plain.item.tobytes()


def test_more_than_is_left_is_padded() -> None:
    found = top_k(np.ones((2, 3), np.float32), np.ones((5, 3), np.float32), 9, free(2, 5, banned=lists([[0, 1, 2, 3, 4], [4]])))
    assert (found.item[0] == -1).all()
    assert found.item[1].tolist() == [0, 1, 2, 3, -1, -1, -1, -1, -1]


@pytest.mark.parametrize("n", [0, 3])
def test_nothing_to_choose_from_is_no_error(n: int) -> None:
    found = top_k(np.ones((n, 3), np.float32), np.ones((5, 3), np.float32), 2, free(n, 5, eligible=np.zeros(5, bool)))
    assert (found.item == -1).all() and found.item.shape == (n, 2)
