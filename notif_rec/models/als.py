"""iALS: alternating least squares on implicit feedback, with regularisation that grows with a row's evidence.

Two solvers of one loss, each the other's oracle: implicit's compiled kernel, and one of our own that costs less and knows biases.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from scipy import sparse

from notif_rec.models.als_diagonal import DiagonalFit
from notif_rec.models.als_implicit import ImplicitFit
from notif_rec.models.als_loss import AlsSettings, Factors
from notif_rec.models.blas import one_blas_thread

Progress = Callable[[int, int], None]

ENOUGH = 1e-3  # an epoch that lowers the loss by less than this, against all before it, is the last
LEAST_EPOCHS = 8  # before them the loss may rest on a plateau


def fit_als(
    user_items: sparse.csr_matrix, settings: AlsSettings, *, threads: int = 1, progress: Progress | None = None
) -> tuple[Factors, Factors]:
    """User and item factors that minimise the loss of `settings.ModelSettings`; rows without interactions are zero.

    user_items: (n_users, n_items) positive float32 weights, sorted, no doubles. The same bits for any `threads`. With `bias`, which
    implicit does not know, users have 1 in column 0, so that an item's column 0 is what everybody thinks of it.
    progress: (epochs done, most).
    """
    if settings.bias and settings.solver == "implicit":
        raise ValueError("implicit's kernel knows no bias; solve with diagonal")
    with one_blas_thread(), ThreadPoolExecutor(threads) as pool:
        implicit = settings.solver == "implicit"
        fit = ImplicitFit(user_items, settings, threads) if implicit else DiagonalFit(user_items, settings, pool)
        for epoch in range(settings.iterations):
            over = fit.epoch() < ENOUGH and epoch + 1 >= LEAST_EPOCHS
            if progress:
                progress(settings.iterations if over else epoch + 1, settings.iterations)
            if over:
                break
        return fit.result()
