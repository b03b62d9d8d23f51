"""What ALS makes small: settings, how hard each row is pulled to 0, and the loss itself, which both solvers share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.models.settings import Solver

Factors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

INIT = 0.1  # spread of the first item factors, times 1/√factors (Rendle et al., σ*)
CG_STEPS = 3
LAST_CG_STEPS = 6  # users are solved once more at the end, so that they fit the final items
BLOCK = 1 << 14  # pairs that are scored at once: fixed, so that sums come out the same whoever asks


@dataclass(frozen=True)
class AlsSettings:
    """What a solver needs; names as in `settings.ModelSettings`, α0 resolved."""

    factors: int
    iterations: int
    unobserved_weight: float
    regularization: float
    regularization_exponent: float
    seed: int
    bias: bool = False
    solver: Solver = "implicit"


def first_items(user_items: sparse.csr_matrix, settings: AlsSettings) -> Factors:
    """Item factors to begin with: small and random, zero for items that nobody took."""
    rng = np.random.default_rng(settings.seed)
    spread = np.float32(INIT / settings.factors**0.5)
    items: Factors = rng.standard_normal((user_items.shape[1], settings.factors), dtype=np.float32) * spread
    items[np.bincount(user_items.indices, minlength=user_items.shape[1]) == 0] = 0
    return items


def pull_of_rows(rows: sparse.csr_matrix, settings: AlsSettings) -> Floats:
    """The regularisation of each row of `rows`, which are users × items or the other way round."""
    evidence = np.asarray(rows.sum(axis=1), dtype=np.float64).ravel()
    return row_regularization(
        evidence, rows.shape[1], settings.unobserved_weight, settings.regularization, settings.regularization_exponent
    )


def row_regularization(
    evidence: npt.NDArray[np.floating], n_columns: int, unobserved_weight: float, regularization: float, exponent: float
) -> Floats:
    """λ (Σw + α0·n)^ν of each row, for the loss in which a seen pair weighs about 1."""
    return regularization * (evidence.astype(np.float64) + unobserved_weight * n_columns) ** exponent


def als_loss(rows: sparse.csr_matrix, x: Factors, y: Factors, unobserved_weight: float, pull_x: Floats, pull_y: Floats) -> float:
    """Σ_seen (w + α0)(ŷ − 1)² + α0 Σ_unseen ŷ² + Σ pull ‖row‖², of factors x of the rows and y of the columns."""
    row = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    total = unobserved_weight * float((_gram(x) * _gram(y)).sum())
    for start in range(0, rows.nnz, BLOCK):
        part = slice(start, start + BLOCK)
        score = np.einsum("ij,ij->i", x[row[part]], y[rows.indices[part]]).astype(np.float64)
        total += float(((rows.data[part] + unobserved_weight) * (score - 1) ** 2 - unobserved_weight * score**2).sum())
    return total + sum(float((pull * np.einsum("ij,ij->i", of, of)).sum()) for pull, of in ((pull_x, x), (pull_y, y)))


def _gram(factors: Factors) -> Floats:
    parts = (factors[start : start + BLOCK] for start in range(0, len(factors), BLOCK))
    return sum(((part.T @ part).astype(np.float64) for part in parts), np.zeros((factors.shape[1], factors.shape[1])))
