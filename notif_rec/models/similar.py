"""Similar items by a two-step walk over users (RP3β), the k nearest kept for each item."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import cast

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


def fit_similar(user_items: sparse.csr_matrix, settings: SimilarSettings, *, threads: int = 1) -> Neighbours:
    """The `settings.neighbours` most similar items of each item, itself left out; ties by item index.

    user_items: (n_users, n_items) positive weights. Memory: `threads` blocks of n_items, and the result.
    """
    walk = trim_profiles(user_items, MAX_PROFILE)
    there, back, target = _transitions(walk, settings)
    n_items = user_items.shape[1]
    k = min(settings.neighbours, n_items)
    starts = range(0, n_items, BLOCK)

    def rows(start: int) -> Block:
        stop = min(start + BLOCK, n_items)
        return cast(
            Block, _nearest(start, stop, k, n_items, there.indptr, there.indices, there.data, back.indptr, back.indices, back.data, target)
        )

    with ThreadPoolExecutor(threads) as pool:
        return _join(pool.map(rows, starts), n_items)


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


def _transitions(
    walk: sparse.csr_matrix, settings: SimilarSettings
) -> tuple[sparse.csr_matrix, sparse.csr_matrix, npt.NDArray[np.float32]]:
    per_user = np.maximum(np.asarray(walk.sum(axis=1), dtype=np.float64).ravel(), 1e-12)
    per_item = np.maximum(np.asarray(walk.sum(axis=0), dtype=np.float64).ravel(), 1e-12)
    there = sparse.diags(per_item**-settings.source_exponent) @ walk.T.tocsr()
    back = sparse.diags(per_user**-settings.user_exponent) @ walk
    target = (per_item**-settings.target_exponent).astype(np.float32)
    return there.tocsr().astype(np.float32).sorted_indices(), back.tocsr().astype(np.float32).sorted_indices(), target


def _join(blocks: Iterator[Block], n_items: int) -> Neighbours:
    counts, items, weights = zip(*blocks, strict=True) if n_items else ((), (), ())
    offsets = np.zeros(n_items + 1, dtype=np.int64)
    if n_items:
        np.cumsum(np.concatenate(counts), out=offsets[1:])
        return Neighbours(offsets, np.concatenate(items), np.concatenate(weights))
    return Neighbours(offsets, np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _nearest(
    start: int,
    stop: int,
    k: int,
    n_items: int,
    a_ptr: npt.NDArray[np.int32],
    a_idx: npt.NDArray[np.int32],
    a_val: npt.NDArray[np.float32],
    b_ptr: npt.NDArray[np.int32],
    b_idx: npt.NDArray[np.int32],
    b_val: npt.NDArray[np.float32],
    target: npt.NDArray[np.float32],
) -> Block:
    """counts (stop − start,), item_index and weight of the k heaviest columns of rows [start, stop) of A·B·diag(target)."""
    counts = np.zeros(stop - start, np.int64)
    out_item = np.empty((stop - start) * k, np.int32)
    out_weight = np.empty((stop - start) * k, np.float32)
    acc = np.zeros(n_items, np.float32)
    seen = np.empty(n_items, np.int32)
    n_out = 0
    for row in range(start, stop):
        n_seen = 0
        for p in range(a_ptr[row], a_ptr[row + 1]):
            user = a_idx[p]
            for q in range(b_ptr[user], b_ptr[user + 1]):
                item = b_idx[q]
                if acc[item] == 0.0:
                    seen[n_seen] = item
                    n_seen += 1
                acc[item] += a_val[p] * b_val[q]
        acc[row] = 0.0
        touched = np.sort(seen[:n_seen])
        score = acc[touched] * target[touched]
        acc[touched] = 0.0
        keep = np.argsort(-score, kind="mergesort")[:k]
        for place in np.sort(keep):
            if score[place] > 0.0:
                out_item[n_out] = touched[place]
                out_weight[n_out] = score[place]
                n_out += 1
                counts[row - start] += 1
    return counts, out_item[:n_out].copy(), out_weight[:n_out].copy()
