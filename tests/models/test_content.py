"""The walk over words against dense NumPy, and what it adds to similar items."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from notif_rec.models.content import MOST, fit_content, with_content
from notif_rec.models.similar import matrix_of, neighbours_of
from tests.models.test_alike import words


def test_agrees_with_probabilities_in_dense_algebra() -> None:
    n, rng = 130, np.random.default_rng(4)
    said = words(n, 4)
    likes, popularity = rng.integers(0, 3, n).astype(np.float64), rng.random(n) * (rng.random(n) < 0.95)
    found = matrix_of(fit_content(said, likes, popularity, threads=2)).toarray()
    of_item = said.toarray() ** 2
    of_word = (said.toarray() > 0).T * popularity
    expected = of_item @ (of_word / of_word.sum(axis=1, keepdims=True)) * (likes > 0)[:, None]
    np.fill_diagonal(expected, 0)
    for row in range(n):
        expected[row, np.argsort(-expected[row], kind="stable")[MOST:]] = 0
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert (expected > 0).sum(axis=1).max() == MOST and not found[likes == 0].any() and not found[:, popularity == 0].any()


def test_a_like_adds_its_share_more() -> None:
    near = neighbours_of(sparse.csr_matrix(np.array([[0, 0.5, 0.5], [1.0, 0, 0], [0, 1.0, 0]], np.float32)))
    content = fit_content(words(3, 0), np.ones(3), np.ones(3))
    degree = np.array([5.0, 1.0, 2.0])
    added = matrix_of(with_content(near, content, degree, 0.25)).toarray() - matrix_of(near).toarray()
    assert added.min() >= 0 and np.isclose(added.sum(axis=1) @ degree / degree.sum(), 0.25)
    assert (matrix_of(with_content(near, content, degree, 0.0)) != matrix_of(near)).nnz == 0
