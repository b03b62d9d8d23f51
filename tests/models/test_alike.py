from __future__ import annotations

import numpy as np
from scipy import sparse

from notif_rec.models.alike import DOUBT, MOST, fit_alike
from notif_rec.models.similar import matrix_of
from notif_rec.models.text import HALF_HEARD


def words(n: int, seed: int) -> sparse.csr_matrix:
    found = sparse.random(n, 15, 0.3, format="csr", random_state=seed)
    length = np.sqrt(np.asarray(found.multiply(found).sum(axis=1)).ravel())
    return (sparse.diags_array(1 / np.maximum(length, 1e-12)) @ found).tocsr()


def test_known_items_speak_for_new_ones_by_likeness_and_evidence() -> None:
    n = 70
    said, rng = words(n, 3), np.random.default_rng(3)
    evidence = rng.integers(0, 40, n).astype(np.float64)
    new = np.where(evidence == 0, 1.0, rng.random(n) / 2)
    new[:9] = rng.uniform(0.5, 1, 9)
    found = matrix_of(fit_alike(said, evidence, new, threads=2)).toarray()
    likeness = (said @ said.T).toarray() * np.where(new < 0.5, evidence / (evidence + HALF_HEARD), 0)
    for row in range(n):
        kept = np.sort(np.argsort(-likeness[row], kind="stable")[:MOST])
        expected = np.zeros(n)
        if new[row] >= 0.5:
            expected[kept] = new[row] * likeness[row, kept] / (likeness[row, kept].sum() + DOUBT)
        np.testing.assert_allclose(found[row], expected, atol=1e-6)


def test_an_item_without_words_has_nobody_to_speak_for_it() -> None:
    said = sparse.csr_matrix(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]))
    found = matrix_of(fit_alike(said, np.array([0.0, 0.0, 30.0]), np.array([0.0, 1.0, 0.0]))).toarray()
    assert not found[[0, 2]].any() and found[1, 2] > 0 and not found[1, :2].any()
