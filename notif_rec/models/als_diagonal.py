"""ALS in the basis in which YᵀY is diagonal.

There the unseen pairs, which couple every factor with every other, cost f operations a step of conjugate gradients instead of f²,
and are preconditioned exactly; what a row has seen is left.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from notif_rec.models.als_loss import CG_STEPS, LAST_CG_STEPS, AlsSettings, Factors, first_items, pull_of_rows

Vector = npt.NDArray[np.float32]

BLOCK = 256  # rows of one task: fixed, so that sums come out the same for any number of threads
WIDE_BLOCK = 4096


class _Rows(NamedTuple):
    """CSR weights as compiled code takes them, and what pulls each row to 0."""

    indptr: npt.NDArray[np.int32]
    indices: npt.NDArray[np.int32]
    weights: Vector
    regularization: Vector


class DiagonalFit:
    """Factors on their way. held: the direction in which every user is 1, zeros where there is none; it turns with the basis."""

    def __init__(self, user_items: sparse.csr_matrix, settings: AlsSettings, pool: ThreadPoolExecutor) -> None:
        self.pool, self.unseen = pool, settings.unobserved_weight
        self.users, self.items = _rows(user_items, settings), _rows(user_items.T.tocsr(), settings)
        self.y = first_items(user_items, settings)
        self.x = np.zeros((user_items.shape[0], settings.factors), dtype=np.float32)
        self.held = np.zeros(settings.factors, np.float32)
        self.held[0] = settings.bias
        self.free = np.zeros_like(self.held)
        self.fallen = 0.0

    def epoch(self) -> float:
        """Solves users, then items; by how much the loss fell, against all that it has fallen."""
        fell = self.half_step(self.users, self.x, self.y, CG_STEPS, self.held)
        fell += self.half_step(self.items, self.y, self.x, CG_STEPS, self.free)
        self.fallen += fell
        return fell / self.fallen if self.fallen > 0 else 0.0

    def half_step(self, rows: _Rows, x: Factors, y: Factors, steps: int, held: Vector) -> float:
        """`x` given `y`, in place; by how much the loss fell."""
        size, basis = np.linalg.eigh(self._gram(y))
        self._turn(basis.astype(np.float32))
        unseen = (self.unseen * np.maximum(size, 0)).astype(np.float32)
        alpha0 = np.float32(self.unseen)

        def work(start: int) -> float:
            return cast(float, _solve(start, min(start + BLOCK, len(x)), rows, y, x, unseen, alpha0, held, steps))

        return sum(self.pool.map(work, range(0, len(x), BLOCK)))

    def result(self) -> tuple[Factors, Factors]:
        """User and item factors, in a basis whose first direction is the held one."""
        self.half_step(self.users, self.x, self.y, LAST_CG_STEPS, self.held)
        if self.held.any():
            mirror = self.held.astype(np.float64)
            mirror[0] += 1.0 if mirror[0] >= 0 else -1.0  # the reflection that takes `held` to ∓ the first direction
            turn = np.eye(len(mirror)) - 2 * np.outer(mirror, mirror) / (mirror @ mirror)
            turn[:, 0] *= -1.0 if self.held[0] >= 0 else 1.0
            self._turn(turn.astype(np.float32))
            self.x[np.diff(self.users.indptr) > 0, 0] = 1
        return self.x, self.y

    def _gram(self, y: Factors) -> npt.NDArray[np.float64]:
        parts = self.pool.map(lambda at: (y[at : at + WIDE_BLOCK].T @ y[at : at + WIDE_BLOCK]).astype(np.float64), _wide(y))
        return sum(parts, np.zeros((y.shape[1], y.shape[1])))

    def _turn(self, basis: Factors) -> None:
        """Users, items and the held direction in another basis: products stay what they are."""
        for factors in (self.x, self.y):
            list(self.pool.map(lambda at, of: _turned(of[at : at + WIDE_BLOCK], basis), _wide(factors), [factors] * len(_wide(factors))))
        self.held[:] = self.held @ basis


def _turned(part: Factors, basis: Factors) -> None:
    part[:] = part @ basis


def _wide(factors: Factors) -> range:
    return range(0, len(factors), WIDE_BLOCK)


def _rows(rows: sparse.csr_matrix, settings: AlsSettings) -> _Rows:
    pull = pull_of_rows(rows, settings).astype(np.float32)
    return _Rows(rows.indptr.astype(np.int32), rows.indices.astype(np.int32), rows.data.astype(np.float32), pull)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _solve(
    start: int, stop: int, rows: _Rows, y: Factors, x: Factors, unseen: Vector, alpha0: np.float32, held: Vector, steps: int
) -> float:
    """Rows start to stop of x, by preconditioned conjugate gradients from where they are; by how much the loss fell.

    Each solves (α0 YᵀY + Σ w y yᵀ + reg I) x = Σ (w + α0) y, with held · x = 1 where `held` is a direction; YᵀY is diagonal.
    """
    f = y.shape[1]
    rest, way, image = np.empty(f, np.float32), np.empty(f, np.float32), np.empty(f, np.float32)
    step, diagonal = np.empty(f, np.float32), np.empty(f, np.float32)
    is_held = held.any()
    fell = 0.0
    for u in range(start, stop):
        first, last, row = rows.indptr[u], rows.indptr[u + 1], x[u]
        if first == last:
            row[:] = 0
            continue
        if is_held:
            row += (np.float32(1) - _dot(held, row)) * held
        for j in range(f):
            diagonal[j] = unseen[j] + rows.regularization[u]
            rest[j] = -diagonal[j] * row[j]
        for p in range(first, last):
            w, item = rows.weights[p], y[rows.indices[p]]
            _add(rest, w + alpha0 - w * _dot(item, row), item)
        size = _precondition(step, rest, diagonal, held, is_held)
        way[:] = step
        for _ in range(steps):
            if size <= 1e-20:
                break
            for j in range(f):
                image[j] = diagonal[j] * way[j]
            for p in range(first, last):
                item = y[rows.indices[p]]
                _add(image, rows.weights[p] * _dot(item, way), item)
            length = size / _dot(way, image)
            fell += np.float64(length * size)
            _add(row, length, way)
            _add(rest, -length, image)
            before, size = size, _precondition(step, rest, diagonal, held, is_held)
            for j in range(f):
                way[j] = step[j] + size / before * way[j]
    return fell


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _precondition(step: Vector, rest: Vector, diagonal: Vector, held: Vector, is_held: bool) -> np.float32:
    """step = rest / diagonal; rest · step. Along `held` nothing may move, so what of `rest` would move it is taken out."""
    if is_held:
        along, across = np.float32(0), np.float32(0)
        for j in range(len(rest)):
            along += held[j] * rest[j] / diagonal[j]
            across += held[j] * held[j] / diagonal[j]
        _add(rest, -along / across, held)
    for j in range(len(rest)):
        step[j] = rest[j] / diagonal[j]
    size: np.float32 = _dot(rest, step)
    return size


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _dot(a: Vector, b: Vector) -> np.float32:
    total = np.float32(0)
    for j in range(len(a)):
        total += a[j] * b[j]
    return total


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})  # type: ignore[untyped-decorator]
def _add(to: Vector, times: np.float32, what: Vector) -> None:
    for j in range(len(to)):
        to[j] += times * what[j]
