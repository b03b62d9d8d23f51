"""Which liked items foretell an item, told apart from one another: a ridge regression on each item's nearest neighbours.

A walk over users counts every road to an item; where two liked items say the same, it counts them twice. Regression does not.
Source: SLIM (Ning & Karypis, ICDM'11) and EASE (Steck, WWW'19), here with a small support per item, so that it costs n_items
systems of `support` unknowns instead of one of n_items.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from notif_rec.models.blas import one_blas_thread
from notif_rec.models.settings import SimilarSettings
from notif_rec.models.similar import MAX_PROFILE, Neighbours, fit_similar, matrix_of, neighbours_of, trim_profiles

USER_EXPONENT = 0.25  # how much a user with a long history counts for less
SUPPORT_EXPONENT = 0.5  # how much popularity counts against an item that might foretell another
MOST_PAIRS = 1 << 26  # co-occurrences that are held at once: 512 MB
MOST_PER_ITEM = 1000
BLOCK = 64


def fit_neighbours(user_items: sparse.csr_matrix, settings: SimilarSettings, *, threads: int = 1) -> Neighbours:
    """Similar items by walk and by regression, mixed by `settings.regression`, and each item's word for itself.

    Scaled so that a like adds 1 in all to other items, on the average of likes; the same bits for any `threads`.
    """
    share = settings.regression
    if not user_items.nnz:
        return fit_similar(user_items, settings, threads=threads)
    walked = fit_similar(user_items, settings, threads=threads) if share < 1 else None
    regressed = fit_regression(user_items, settings, threads=threads) if share > 0 else None
    return mix(walked, regressed, item_degree(user_items), share, settings.repeat)


def mix(
    walked: Neighbours | None, regressed: sparse.csr_matrix | None, degree: npt.NDArray[np.float64], share: float, repeat: float
) -> Neighbours:
    """Both parts, `share` of the regression, and `repeat` on the diagonal; a part that has no share may be None."""
    parts = [sparse.csr_matrix((len(degree), len(degree)), dtype=np.float32)]
    if walked is not None and share < 1:
        parts.append(scaled(matrix_of(walked), degree, 1 - share))
    if regressed is not None and share > 0:
        parts.append(scaled(regressed, degree, share))
    if repeat > 0:
        parts.append(sparse.diags_array(np.where(degree > 0, repeat, 0.0).astype(np.float32)).tocsr())
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    total.eliminate_zeros()
    return neighbours_of(total)


def without_self(near: Neighbours) -> Neighbours:
    """The same where no item speaks for itself; `near` stays as it is."""
    matrix = matrix_of(near).copy()
    matrix.setdiag(0)
    matrix.eliminate_zeros()
    return neighbours_of(matrix)


def item_degree(user_items: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """How many users like each item."""
    return np.bincount(user_items.indices, minlength=user_items.shape[1]).astype(np.float64)


def fit_regression(user_items: sparse.csr_matrix, settings: SimilarSettings, *, threads: int = 1) -> sparse.csr_matrix:
    """(n_items, n_items) float32: entry [i, j] > 0 is what a like of item i adds to the forecast of item j."""
    n_items = user_items.shape[1]
    gram, diagonal, typical = _co_occurrence(user_items, threads)
    degree = item_degree(user_items)
    ridge = settings.ridge * typical * float(np.sqrt(degree[degree > 0].mean()))
    rarity = (np.maximum(degree, 1) ** -SUPPORT_EXPONENT).astype(np.float32)
    support = np.full((n_items, min(settings.support, n_items)), -1, np.int32)
    weight = np.zeros(support.shape, np.float32)

    def work(start: int) -> None:
        stop = min(start + BLOCK, n_items)
        _regress(gram.offsets, gram.item_index, gram.weight, diagonal, rarity, ridge, start, stop, support, weight)

    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(0, n_items, BLOCK)))
    there = weight > 0
    column = np.broadcast_to(np.arange(n_items)[:, None], support.shape)
    return sparse.csr_matrix((weight[there], (support[there], column[there])), shape=(n_items, n_items))


def _co_occurrence(user_items: sparse.csr_matrix, threads: int) -> tuple[Neighbours, npt.NDArray[np.float64], float]:
    """Weighted co-occurrences of each item with the others it meets most, its own, and the weight of a typical user."""
    n_items = user_items.shape[1]
    walk = trim_profiles(user_items, MAX_PROFILE)
    kept = max(1, min(MOST_PER_ITEM, MOST_PAIRS // max(n_items, 1)))
    plain = SimilarSettings(user_exponent=USER_EXPONENT, source_exponent=0, target_exponent=0, neighbours=kept)
    per_user = np.maximum(np.asarray(walk.sum(axis=1), dtype=np.float64).ravel(), 1e-12) ** -USER_EXPONENT
    of_pair = np.repeat(per_user, np.diff(walk.indptr))
    diagonal = np.bincount(walk.indices, weights=of_pair * walk.data.astype(np.float64) ** 2, minlength=n_items).astype(np.float64)
    return fit_similar(walk, plain, threads=threads), diagonal, float(of_pair.mean())


def scaled(matrix: sparse.csr_matrix, degree: npt.NDArray[np.float64], share: float) -> sparse.csr_matrix:
    """`matrix` so that a like adds `share` in all, on the average of likes."""
    total = float(np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel() @ degree / degree.sum())
    return (matrix * np.float32(share / total)).tocsr() if total > 0 else matrix


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _regress(
    offsets: npt.NDArray[np.int64],
    items: npt.NDArray[np.int32],
    together: npt.NDArray[np.float32],
    diagonal: npt.NDArray[np.float64],
    rarity: npt.NDArray[np.float32],
    ridge: float,
    start: int,
    stop: int,
    support: npt.NDArray[np.int32],
    weight: npt.NDArray[np.float32],
) -> None:
    """Fills rows start…stop: the support N of each item j, and the solution of (G_NN + ridge·I) w = G_Nj."""
    place = np.full(len(diagonal), -1, np.int32)
    for j in range(start, stop):
        first, last = offsets[j], offsets[j + 1]
        near = items[first:last]
        chosen = np.sort(np.argsort(-together[first:last] * rarity[near], kind="mergesort")[: support.shape[1]])
        m = len(chosen)
        if m == 0:
            continue
        left, right = np.zeros((m, m)), np.zeros((m, 1))
        for a in range(m):
            support[j, a] = near[chosen[a]]
            place[support[j, a]] = a
            right[a, 0] = together[first + chosen[a]]
        for a in range(m):
            i = support[j, a]
            left[a, a] = diagonal[i] + ridge
            for p in range(offsets[i], offsets[i + 1]):
                b = place[items[p]]
                if b >= 0:  # kept in one of the two rows alone where the other has too many
                    left[a, b] = together[p]
                    left[b, a] = together[p]
        found = np.linalg.solve(left, right)
        for a in range(m):
            weight[j, a] = found[a, 0]
            place[support[j, a]] = -1
