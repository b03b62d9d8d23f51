"""ALS on implicit's compiled kernel, which knows one regularisation a call: rows of like regularisation share one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from implicit.cpu import _als
from scipy import sparse

from notif_rec.models.als_loss import CG_STEPS, LAST_CG_STEPS, AlsSettings, Factors, als_loss, first_items, pull_of_rows

BUCKET_RATIO = 1.25  # rows whose regularisation differs by less share one call of the kernel, which forms YᵀY anew


class ImplicitFit:
    """Factors on their way, users and items in order of evidence."""

    def __init__(self, user_items: sparse.csr_matrix, settings: AlsSettings, threads: int) -> None:
        self.threads, self.unseen = threads, settings.unobserved_weight
        self.users, self.items = _Side(user_items, settings), _Side(user_items.T.tocsr(), settings)
        self.pairs = user_items[self.users.order][:, self.items.order].sorted_indices()
        self.users.rows, self.items.rows = _confident(self.pairs, settings), _confident(self.pairs.T.tocsr().sorted_indices(), settings)
        self.y = first_items(user_items, settings)[self.items.order]
        self.x = np.zeros((user_items.shape[0], settings.factors), dtype=np.float32)
        self.first = self.last = self._loss()

    def epoch(self) -> float:
        """Solves users, then items; by how much the loss fell, against all that it has fallen."""
        self.users.solve(self.x, self.y, CG_STEPS, self.threads)
        self.items.solve(self.y, self.x, CG_STEPS, self.threads)
        before, self.last = self.last, self._loss()
        return (before - self.last) / (self.first - self.last) if self.first > self.last else 0.0

    def result(self) -> tuple[Factors, Factors]:
        """User and item factors, in the order in which they came."""
        self.users.solve(self.x, self.y, LAST_CG_STEPS, self.threads)
        return self.x[np.argsort(self.users.order)], self.y[np.argsort(self.items.order)]

    def _loss(self) -> float:
        return als_loss(self.pairs, self.x, self.y, self.unseen, self.users.pull, self.items.pull)


class _Side:
    """Users or items in order of evidence, so that rows of like regularisation lie together."""

    rows: sparse.csr_matrix

    def __init__(self, rows: sparse.csr_matrix, settings: AlsSettings) -> None:
        pull = pull_of_rows(rows, settings)
        self.order = np.lexsort((np.diff(rows.indptr), pull))
        self.pull = pull[self.order]
        self.buckets = _buckets(self.pull / settings.unobserved_weight)

    def solve(self, x: Factors, y: Factors, cg_steps: int, threads: int) -> None:
        """One half-step: `x` given `y`, in place."""
        rows = self.rows
        for start, stop, reg in self.buckets:
            first, last = rows.indptr[start], rows.indptr[stop]
            indptr = rows.indptr[start : stop + 1] - first
            _als._least_squares_cg(
                indptr, rows.indices[first:last], rows.data[first:last], x[start:stop], y, reg, num_threads=threads, cg_steps=cg_steps
            )


def _confident(rows: sparse.csr_matrix, settings: AlsSettings) -> sparse.csr_matrix:
    # implicit weighs an unseen pair 1 and a seen one c; 1 + w/α0 keeps every seen pair above the unseen ones
    return sparse.csr_matrix((1 + rows.data / np.float32(settings.unobserved_weight), rows.indices, rows.indptr), shape=rows.shape)


def _buckets(regularization: npt.NDArray[np.float64]) -> list[tuple[int, int, float]]:
    """(start, stop, mean regularisation) of runs whose values lie within BUCKET_RATIO; `regularization` ascends."""
    if not len(regularization):
        return []
    logs = np.log(np.maximum(regularization, 1e-300))  # 0 only where there are no columns
    step = np.floor((logs - logs[0]) / np.log(BUCKET_RATIO))
    edges = np.flatnonzero(np.diff(step, prepend=-1, append=np.inf))
    return [(int(a), int(b), float(regularization[a:b].mean())) for a, b in pairwise(edges)]
