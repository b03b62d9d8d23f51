"""Factors of users who came after training: one exact least-squares step against the fitted items."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from notif_rec.models.als_loss import row_regularization
from notif_rec.models.blas import one_blas_thread
from notif_rec.models.model import ChannelModel

MOST_CELLS = 1 << 22  # float64 cells of the systems that are held at once


def fold_in(model: ChannelModel, weights: sparse.csr_matrix) -> npt.NDArray[np.float32]:
    """(n_users, f) factors for rows of `taste.saturate`d weights; zero for empty rows. A row depends on itself alone."""
    n, f = weights.shape[0], model.item_factors.shape[1]
    factors = np.zeros((n, f), dtype=np.float32)
    evidence = np.asarray(weights.sum(axis=1), dtype=np.float64).ravel()
    reg = row_regularization(evidence, weights.shape[1], model.unobserved_weight, model.regularization, model.regularization_exponent)
    step = max(1, MOST_CELLS // (f * f))
    with one_blas_thread():
        for start in range(0, n, step):
            part = slice(start, min(start + step, n))
            left, right = _systems(
                weights.indptr[start : part.stop + 1], weights.indices, weights.data, model.item_factors, model.item_gram,
                model.unobserved_weight, reg[part],
            )  # fmt: skip
            factors[part] = _solved(left, right, model.bias)
    factors[np.diff(weights.indptr) == 0] = 0
    return factors


def _solved(left: npt.NDArray[np.float64], right: npt.NDArray[np.float64], bias: bool) -> npt.NDArray[np.float64]:
    """x of left x = right, row by row; with `bias` column 0 of x is 1, and the rest fits it."""
    if not bias:
        return np.asarray(np.linalg.solve(left, right[:, :, None])[:, :, 0], dtype=np.float64)
    found = np.ones_like(right)
    found[:, 1:] = np.linalg.solve(left[:, 1:, 1:], (right[:, 1:] - left[:, 1:, 0])[:, :, None])[:, :, 0]
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _systems(
    indptr: npt.NDArray[np.int32],
    items: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float32],
    item_factors: npt.NDArray[np.float32],
    gram: npt.NDArray[np.float64],
    unobserved_weight: float,
    reg: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """A = α0 YᵀY + Σ w y yᵀ + reg I and b = Σ (w + α0) y of each row."""
    n, f = len(reg), item_factors.shape[1]
    left, right = np.empty((n, f, f)), np.zeros((n, f))
    for r in range(n):
        for i in range(f):
            for j in range(f):
                left[r, i, j] = unobserved_weight * gram[i, j]
            left[r, i, i] += reg[r]
        for p in range(indptr[r], indptr[r + 1]):
            y = item_factors[items[p]]
            w = np.float64(weights[p])
            for i in range(f):
                right[r, i] += (w + unobserved_weight) * y[i]
                wy = w * y[i]
                for j in range(f):
                    left[r, i, j] += wy * y[j]
    return left, right
