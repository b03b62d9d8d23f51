"""iALS on implicit's compiled kernel, with regularisation that grows with a row's evidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from implicit.cpu import _als
from scipy import sparse

from notif_rec.models.blas import one_blas_thread

Factors = npt.NDArray[np.float32]
Progress = Callable[[int, int], None]

INIT = 0.1  # spread of the first item factors, times 1/√factors (Rendle et al., σ*)
CG_STEPS = 3
LAST_CG_STEPS = 6  # users are solved once more at the end, so that they fit the final items
BUCKET_RATIO = 1.25  # rows whose regularisation differs by less share one call of the kernel, which forms YᵀY anew


@dataclass(frozen=True)
class AlsSettings:
    """What the solver needs; names as in `settings.ModelSettings`, α0 resolved."""

    factors: int
    iterations: int
    unobserved_weight: float
    regularization: float
    regularization_exponent: float
    seed: int


def fit_als(
    user_items: sparse.csr_matrix, settings: AlsSettings, *, threads: int = 1, progress: Progress | None = None
) -> tuple[Factors, Factors]:
    """User and item factors that minimise the loss of `settings.ModelSettings`; rows without interactions are zero.

    user_items: (n_users, n_items) positive float32 weights, sorted, no doubles. The same bits for any `threads`.
    """
    users, items = _Side(user_items, settings), _Side(user_items.T.tocsr(), settings)
    local = user_items[users.order][:, items.order].sorted_indices()
    users.rows, items.rows = _confident(local, settings), _confident(local.T.tocsr().sorted_indices(), settings)
    rng = np.random.default_rng(settings.seed)
    first = rng.standard_normal((user_items.shape[1], settings.factors), dtype=np.float32) * np.float32(INIT / settings.factors**0.5)
    first[np.diff(user_items.T.tocsr().indptr) == 0] = 0
    y = np.ascontiguousarray(first[items.order])
    x = np.zeros((user_items.shape[0], settings.factors), dtype=np.float32)
    with one_blas_thread():
        for epoch in range(settings.iterations):
            users.solve(x, y, CG_STEPS, threads)
            items.solve(y, x, CG_STEPS, threads)
            if progress:
                progress(epoch + 1, settings.iterations)
        users.solve(x, y, LAST_CG_STEPS, threads)
    return x[np.argsort(users.order)], y[np.argsort(items.order)]


def row_regularization(
    evidence: npt.NDArray[np.floating], n_columns: int, unobserved_weight: float, regularization: float, exponent: float
) -> npt.NDArray[np.float64]:
    """λ (Σw + α0·n)^ν of each row, for the loss in which a seen pair weighs about 1."""
    return regularization * (evidence.astype(np.float64) + unobserved_weight * n_columns) ** exponent


def _confident(rows: sparse.csr_matrix, settings: AlsSettings) -> sparse.csr_matrix:
    # implicit weighs an unseen pair 1 and a seen one c; 1 + w/α0 keeps every seen pair above the unseen ones
    return sparse.csr_matrix((1 + rows.data / np.float32(settings.unobserved_weight), rows.indices, rows.indptr), shape=rows.shape)


class _Side:
    """Users or items in order of evidence, so that rows of like regularisation lie together."""

    rows: sparse.csr_matrix

    def __init__(self, rows: sparse.csr_matrix, settings: AlsSettings) -> None:
        evidence = np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()
        self.order = np.argsort(evidence, kind="stable")
        alpha0 = settings.unobserved_weight
        reg = row_regularization(evidence[self.order], rows.shape[1], alpha0, settings.regularization, settings.regularization_exponent)
        self.buckets = _buckets(reg / alpha0)

    def solve(self, x: Factors, y: Factors, cg_steps: int, threads: int) -> None:
        """One half-step: `x` given `y`, in place."""
        rows = self.rows
        for start, stop, reg in self.buckets:
            first, last = rows.indptr[start], rows.indptr[stop]
            indptr = rows.indptr[start : stop + 1] - first
            _als._least_squares_cg(
                indptr, rows.indices[first:last], rows.data[first:last], x[start:stop], y, reg, num_threads=threads, cg_steps=cg_steps
            )


def _buckets(regularization: npt.NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """(start, stop, mean regularisation) of runs whose values lie within BUCKET_RATIO; `regularization` ascends."""
    if not len(regularization):
        return []
    logs = np.log(np.maximum(regularization, 1e-300))  # 0 only where there are no columns
    step = np.floor((logs - logs[0]) / np.log(BUCKET_RATIO))
    edges = np.flatnonzero(np.diff(step, prepend=-1, append=np.inf))
    return [(int(a), int(b), float(regularization[a:b].mean())) for a, b in pairwise(edges)]
