"""Similar items by a two-step walk over users (RP3β), the k nearest kept for each item."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from notif_rec.models.settings import SimilarSettings

MAX_PROFILE = 1000  # of a user with more items only the strongest walk: one user must not join every item with every other
BLOCK = 64
Block = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32]]


@dataclass(frozen=True)
class Neighbours:
    """Similar items of each item: CSR (n_items, n_items), item_index ascending within a row, weight > 0."""

    offsets: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]


class _Rows(NamedTuple):
    """A CSR matrix as compiled code takes it."""

    indptr: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]
    data: npt.NDArray[np.float32]


def fit_similar(user_items: sparse.csr_matrix, settings: SimilarSettings, *, threads: int = 1) -> Neighbours:
    """The `settings.neighbours` most similar items of each item, itself left out; ties by item index.

    user_items: (n_users, n_items) positive weights. Memory: `threads` blocks of n_items, and the result.
    """
    walk = trim_profiles(user_items, MAX_PROFILE)
    per_user = np.maximum(np.asarray(walk.sum(axis=1), dtype=np.float64).ravel(), 1e-12)
    per_item = np.maximum(np.asarray(walk.sum(axis=0), dtype=np.float64).ravel(), 1e-12)
    there = sparse.diags(per_item**-settings.source_exponent) @ walk.T.tocsr()
    back = sparse.diags(per_user**-settings.user_exponent) @ walk
    return nearest(there, back, (per_item**-settings.target_exponent).astype(np.float32), settings.neighbours, threads=threads)


def nearest(
    there: sparse.csr_matrix, back: sparse.csr_matrix, target: npt.NDArray[np.float32], most: int, *, threads: int = 1
) -> Neighbours:
    """The `most` heaviest columns of each row of there · back · diag(target), itself left out; ties by item index.

    there: (n_items, n_between), back: (n_between, n_items), both positive. Memory: `threads` blocks of n_items, and the result.
    """
    n_items = len(target)
    k = min(most, n_items)
    rows_there, rows_back = _rows(there), _rows(back)

    def rows(start: int) -> Block:
        return cast(Block, _nearest(start, min(start + BLOCK, n_items), k, rows_there, rows_back, target))

    with ThreadPoolExecutor(threads) as pool:
        return _join(pool.map(rows, range(0, n_items, BLOCK)), n_items)


def matrix_of(near: Neighbours) -> sparse.csr_matrix:
    """Neighbours as a sparse matrix."""
    n_items = len(near.offsets) - 1
    return sparse.csr_matrix((near.weight, near.item_index, near.offsets), shape=(n_items, n_items))


def neighbours_of(matrix: sparse.csr_matrix) -> Neighbours:
    """A sparse matrix as neighbours."""
    rows = matrix.tocsr().sorted_indices()
    return Neighbours(rows.indptr.astype(np.int64), rows.indices.astype(np.int32), rows.data.astype(np.float32))


def trim_profiles(user_items: sparse.csr_matrix, most: int) -> sparse.csr_matrix:
    """`user_items` where no user has more than `most` items: the heaviest stay, ties by item index."""
    long = np.flatnonzero(np.diff(user_items.indptr) > most)
    if not len(long):
        return user_items
    keep = np.ones(user_items.nnz, dtype=bool)
    for user in long:  # few by nature: at most nnz / most
        first, last = user_items.indptr[user], user_items.indptr[user + 1]
        order = np.argsort(-user_items.data[first:last], kind="stable")
        keep[first + order[most:]] = False
    indptr = np.concatenate([[0], np.cumsum(keep)])[user_items.indptr]
    return sparse.csr_matrix((user_items.data[keep], user_items.indices[keep], indptr), shape=user_items.shape)


def _rows(matrix: sparse.csr_matrix) -> _Rows:
    rows = matrix.tocsr().astype(np.float32).sorted_indices()
    return _Rows(rows.indptr, rows.indices, rows.data)


def _join(blocks: Iterator[Block], n_items: int) -> Neighbours:
    counts, items, weights = zip(*blocks, strict=True) if n_items else ((), (), ())
    offsets = np.zeros(n_items + 1, dtype=np.int64)
    if n_items:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
        return Neighbours(offsets, np.concatenate(items), np.concatenate(weights))
    return Neighbours(offsets, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _nearest(start: int, stop: int, k: int, there: _Rows, back: _Rows, target: npt.NDArray[np.float32]) -> Block:
    """counts (stop − start,), item_index and weight of the k heaviest columns of rows [start, stop) of there·back·diag(target)."""
    n_items = len(target)
    counts = np.zeros(stop - start, np.int64)
    out_item, out_weight = np.empty((stop - start) * k, np.int32), np.empty((stop - start) * k, np.float32)
    acc, score = np.zeros(n_items, np.float32), np.empty(n_items, np.float32)
    touched, near = np.empty(n_items, np.int32), np.empty(n_items, np.int32)
    n_out = 0
    for row in range(start, stop):
        n_touched = 0
        for p in range(there.indptr[row], there.indptr[row + 1]):
            user = there.indices[p]
            for q in range(back.indptr[user], back.indptr[user + 1]):
                item = back.indices[q]
                if acc[item] == 0.0:
                    touched[n_touched] = item
                    n_touched += 1
                acc[item] += there.data[p] * back.data[q]
        acc[row] = 0.0
        near[:n_touched] = touched[:n_touched]
        n_near = _heaviest(acc, target, near[:n_touched], score, k)
        for item in np.sort(near[:n_near]):
            out_item[n_out] = item
            out_weight[n_out] = acc[item] * target[item]
            n_out += 1
        counts[row - start] = n_near
        acc[touched[:n_touched]] = 0.0
    return counts, out_item[:n_out].copy(), out_weight[:n_out].copy()


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _heaviest(
    acc: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
    items: npt.NDArray[np.int32],
    score: npt.NDArray[np.float32],
    k: int,
) -> int:
    """How many items stay; moves the k of highest acc · target > 0 to the front of `items`, the smaller item where they tie."""
    n = 0
    for item in items:
        if acc[item] * target[item] > 0.0:
            items[n] = item
            score[n] = acc[item] * target[item]
            n += 1
    if n <= k:
        return n
    least = np.partition(score[:n], n - k)[n - k]
    above, ties = 0, np.empty(n, np.int32)
    n_ties = 0
    for place in range(n):
        if score[place] > least:
            items[above] = items[place]
            above += 1
        elif score[place] == least:
            ties[n_ties] = items[place]
            n_ties += 1
    items[above:k] = np.sort(ties[:n_ties])[: k - above]
    return k
