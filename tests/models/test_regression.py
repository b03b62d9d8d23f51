"""The regression between items against dense NumPy, and its mix with the walk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from notif_rec.models import regression
from notif_rec.models.regression import fit_neighbours, fit_regression, without_self
from notif_rec.models.settings import SimilarSettings
from notif_rec.models.similar import fit_similar, matrix_of


def oracle(x: np.ndarray, s: SimilarSettings) -> np.ndarray:
    """Every item's system in dense NumPy."""
    n = x.shape[1]
    user = np.maximum(x.sum(1), 1e-12) ** -regression.USER_EXPONENT
    gram = (x * user[:, None]).T @ x
    degree = (x > 0).sum(0)
    typical = np.repeat(user, (x > 0).sum(1)).mean()
    ridge = s.ridge * typical * np.sqrt(degree[degree > 0].mean())
    weight = np.zeros((n, n))
    for j in range(n):
        worth = gram[j] * np.maximum(degree, 1) ** -regression.SUPPORT_EXPONENT
        worth[j] = 0
        near = [i for i in np.argsort(-worth, kind="stable")[: s.support] if worth[i] > 0]
        if near:
            left = gram[np.ix_(near, near)] + ridge * np.eye(len(near))
            weight[near, j] = np.maximum(np.linalg.solve(left, gram[near, j]), 0)
    return weight


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.1, 20))
def test_agrees_with_dense_algebra(seed: int, ridge: float) -> None:
    rng = np.random.default_rng(seed)
    x = rng.random((20, 12)) * (rng.random((20, 12)) < 0.3)
    x[0, :3] = 1.0
    s = SimilarSettings(ridge=ridge, support=12)  # all of them: ties among few would leave the choice to rounding
    found = fit_regression(sparse.csr_matrix(x.astype(np.float32)), s).toarray()
    np.testing.assert_allclose(found, oracle(x.astype(np.float32).astype(float), s), rtol=1e-3, atol=1e-5)


def test_only_the_nearest_are_asked() -> None:
    rng = np.random.default_rng(3)
    x = rng.random((60, 15)) * (rng.random((60, 15)) < 0.4)
    found = fit_regression(sparse.csr_matrix(x.astype(np.float32)), SimilarSettings(support=4))
    assert np.diff(found.tocsc().indptr).max() <= 4
    np.testing.assert_allclose(
        found.toarray(), oracle(x.astype(np.float32).astype(float), SimilarSettings(support=4)), rtol=1e-3, atol=1e-5
    )


def test_what_says_the_same_is_not_counted_twice() -> None:
    """Items 0 and 1 always come together and foretell 3; 2 foretells it alone. The walk trusts 0, 1 and 2 alike."""
    x = np.zeros((60, 4), np.float32)
    x[:20, [0, 1, 3]] = 1
    x[20:40, [2, 3]] = 1
    x[40:50, [0, 1]] = 1
    x[50:60, 2] = 1
    found = fit_regression(sparse.csr_matrix(x), SimilarSettings(ridge=0.01)).toarray()
    assert found[0, 3] + found[1, 3] == pytest.approx(found[2, 3], rel=0.05)


def test_the_mix_is_what_its_share_says() -> None:
    x = sparse.random(80, 30, 0.2, format="csr", dtype=np.float32, random_state=2)
    degree = np.diff(x.tocsc().indptr)

    def mixed(share: float, repeat: float = 0.0) -> np.ndarray:
        return matrix_of(fit_neighbours(x, SimilarSettings(regression=share, repeat=repeat))).toarray()  # type: ignore[no-any-return]

    walk, ridge = mixed(0.0), mixed(1.0)
    for part, alone in ((walk, matrix_of(fit_similar(x, SimilarSettings()))), (ridge, fit_regression(x, SimilarSettings()))):
        total = (alone.toarray().sum(1) @ degree) / degree.sum()
        np.testing.assert_allclose(part, alone.toarray() / total, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(mixed(0.3), 0.7 * walk + 0.3 * ridge, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(mixed(0.3, repeat=3.0), mixed(0.3) + 3 * np.eye(30), rtol=1e-4, atol=1e-7)
    near = fit_neighbours(x, SimilarSettings())
    assert not np.diag(matrix_of(without_self(near)).toarray()).any()
    assert np.diag(matrix_of(near).toarray()).any()  # what it was made from stays as it is


def test_an_item_that_nobody_had_does_not_speak_for_itself() -> None:
    x = sparse.csr_matrix(np.array([[1, 0, 1], [1, 0, 0]], np.float32))
    found = matrix_of(fit_neighbours(x, SimilarSettings(repeat=2.0))).toarray()
    assert found[1, 1] == 0 and found[0, 0] == 2


def test_threads_change_nothing_and_nothing_is_below_zero() -> None:
    x = sparse.random(300, 150, 0.1, format="csr", dtype=np.float32, random_state=1)
    one, two = (fit_neighbours(x, SimilarSettings(repeat=0), threads=t) for t in (1, 2))
    assert one.weight.tobytes() == two.weight.tobytes() and one.item_index.tobytes() == two.item_index.tobytes()
    assert one.weight.min() > 0


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (3, 4)])
def test_nothing_known_no_neighbours(shape: tuple[int, int]) -> None:
    near = fit_neighbours(sparse.csr_matrix(shape, dtype=np.float32), SimilarSettings())
    assert len(near.offsets) == shape[1] + 1 and not len(near.item_index)


def test_a_single_liker_joins_nothing_that_breaks() -> None:
    near = fit_neighbours(sparse.csr_matrix(np.array([[1, 0, 1]], np.float32)), SimilarSettings())
    assert np.isfinite(near.weight).all()
