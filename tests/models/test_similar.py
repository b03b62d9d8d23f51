from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from notif_rec.models.settings import SimilarSettings
from notif_rec.models.similar import fit_similar, trim_profiles


def dense(near: object, n: int) -> np.ndarray:
    return sparse.csr_matrix((near.weight, near.item_index, near.offsets), shape=(n, n)).toarray()  # type: ignore[attr-defined]


def oracle(x: np.ndarray, s: SimilarSettings) -> np.ndarray:
    n = x.shape[1]
    user, item = x.sum(1), x.sum(0)
    w = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j and item[i] and item[j]:
                paths = sum(x[u, i] * x[u, j] / user[u] ** s.user_exponent for u in range(len(x)) if user[u])
                w[i, j] = paths / item[i] ** s.source_exponent / item[j] ** s.target_exponent
    return w


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.floats(0, 1.5), st.floats(0, 1.5), st.floats(0, 1.5))
def test_neighbours_are_the_heaviest_of_the_walk(seed: int, k: int, user: float, source: float, target: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, (9, 12)) * (rng.random((9, 12)) < 0.4)
    s = SimilarSettings(user_exponent=user, source_exponent=source, target_exponent=target, neighbours=k)
    near = fit_similar(sparse.csr_matrix(x.astype(np.float32)), s)
    expected = oracle(x.astype(float), s)
    found = dense(near, 12)
    np.testing.assert_allclose(found[found > 0], expected[found > 0], rtol=1e-5)
    for row in range(12):
        assert (found[row] > 0).sum() == min(k, (expected[row] > 0).sum())
        worst, left = found[row][found[row] > 0].min(initial=np.inf), expected[row][found[row] == 0].max(initial=0)
        assert left <= worst * (1 + 1e-5)
        assert (np.diff(near.item_index[near.offsets[row] : near.offsets[row + 1]]) > 0).all()


def test_ties_go_to_the_smaller_item_and_never_to_itself() -> None:
    x = sparse.csr_matrix(np.ones((3, 5), np.float32))
    near = fit_similar(x, SimilarSettings(neighbours=2))
    assert near.item_index.reshape(5, 2).tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1]]


def test_threads_change_nothing() -> None:
    x = sparse.random(200, 150, 0.1, format="csr", dtype=np.float32, random_state=1)
    one, two = (fit_similar(x, SimilarSettings(), threads=t) for t in (1, 2))
    assert one.weight.tobytes() == two.weight.tobytes() and one.item_index.tobytes() == two.item_index.tobytes()


def test_a_user_of_everything_walks_from_the_heaviest_items_alone() -> None:
    x = sparse.csr_matrix(np.array([[1, 5, 3, 3, 2], [0, 1, 0, 0, 1]], np.float32))
    assert trim_profiles(x, 3).toarray().tolist() == [[0, 5, 3, 3, 0], [0, 1, 0, 0, 1]]
    assert trim_profiles(x, 2).toarray().tolist() == [[0, 5, 3, 0, 0], [0, 1, 0, 0, 1]]
    assert trim_profiles(x, 5) is x


def test_no_items_no_neighbours() -> None:
    near = fit_similar(sparse.csr_matrix((3, 0), dtype=np.float32), SimilarSettings())
    assert near.offsets.tolist() == [0] and not len(near.item_index)
