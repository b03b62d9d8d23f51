"""ALS beside implicit's: processor seconds and loss on the same pairs, interleaved in one run.

    python benchmarks/als.py [--pairs FILE] [--factors 64 256] [--epochs 12] [--threads 2]

FILE is anything that `evaluate --train` takes; without it the pairs are generated. The loss is the one that both minimise, with
regularisation the same for every row, as implicit has it. Ours stops where an epoch hardly lowers the loss; implicit does not.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from notif_rec.models.als import AlsSettings, fit_als
from notif_rec.models.blas import one_blas_thread
from notif_rec.models.pair_file import encode, read_pairs

ALPHA0, PULL = 0.01, 1.0  # implicit's alpha 101 and regularization 100


def world(n_users: int = 30_000, n_items: int = 20_000, n_topics: int = 40) -> sparse.csr_matrix:
    """Users with two topics each, items by popularity within a topic."""
    rng = np.random.default_rng(0)
    length = rng.lognormal(3.0, 0.8, n_users).astype(np.int64) + 1
    user = np.repeat(np.arange(n_users), length)
    topic = rng.integers(0, n_topics, (n_users, 2))[user, rng.integers(0, 2, len(user))]
    item = (rng.zipf(1.3, len(user)) % (n_items // n_topics)) * n_topics + topic
    pairs = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(n_users, n_items))
    pairs.sum_duplicates()
    pairs.data[:] = 1
    return pairs.sorted_indices()


def loss(pairs: sparse.csr_matrix, x: np.ndarray, y: np.ndarray) -> float:
    """Σ_seen (1 + α0)(ŷ − 1)² + α0 Σ_unseen ŷ² + reg (‖X‖² + ‖Y‖²)."""
    user = np.repeat(np.arange(pairs.shape[0]), np.diff(pairs.indptr))
    starts = range(0, pairs.nnz, 1 << 16)
    score = np.concatenate([np.einsum("ij,ij->i", x[user[s : s + (1 << 16)]], y[pairs.indices[s : s + (1 << 16)]]) for s in starts])
    everywhere = float(((x.astype(np.float64).T @ x) * (y.astype(np.float64).T @ y)).sum())
    seen = float(((1 + ALPHA0) * (score - 1.0) ** 2 - ALPHA0 * score**2).sum())
    return seen + ALPHA0 * everywhere + PULL * float((x.astype(np.float64) ** 2).sum() + (y.astype(np.float64) ** 2).sum())


def main() -> None:
    """Prints one line a contender and number of factors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    pairs = world() if given.pairs is None else encode(read_pairs(given.pairs)).user_items()
    confident = sparse.csr_matrix((1 + pairs.data / np.float32(ALPHA0), pairs.indices, pairs.indptr), shape=pairs.shape)
    print(f"{pairs.nnz:,} pairs of {pairs.shape[0]:,} users and {pairs.shape[1]:,} items, at most {given.epochs} epochs")
    print(f"{'':24}{'core-s':>10}{'wall s':>10}{'loss':>14}")

    def ours(factors: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
        return fit_als(pairs, AlsSettings(factors, epochs, ALPHA0, PULL, 0.0, seed=1), threads=given.threads)

    def theirs(factors: int, epochs: int) -> tuple[np.ndarray, np.ndarray]:
        with one_blas_thread():
            model = AlternatingLeastSquares(factors, regularization=PULL / ALPHA0, alpha=1, iterations=epochs, random_state=1)
            model.num_threads = given.threads
            model.fit(confident, show_progress=False)
        return model.user_factors, model.item_factors

    ours(16, 1)  # compiled, or read from the cache, before the clock starts
    for factors in given.factors:
        for name, fit in (("ours", ours), ("implicit", theirs)):
            wall, core = time.perf_counter(), time.process_time()
            x, y = fit(factors, given.epochs)
            wall, core = time.perf_counter() - wall, time.process_time() - core
            print(f"{name + f', {factors} factors':24}{core:10.2f}{wall:10.2f}{loss(pairs, x, y):14,.0f}", flush=True)


if __name__ == "__main__":
    main()
