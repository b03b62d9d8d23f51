"""ALS by both solvers beside implicit by itself: processor seconds and loss on the same pairs, in one run.

    python benchmarks/als.py [--pairs FILE] [--factors 64 256] [--epochs 12] [--threads 2] [--exponent 0]

FILE is anything that `evaluate --train` takes; without it the pairs are generated. The loss is the one that both minimise, with
regularisation the same for every row, as implicit has it; --exponent 1 lets it grow with evidence, which implicit by itself cannot.
The solvers stop where an epoch hardly lowers the loss; implicit by itself does not.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from notif_rec.models.als import fit_als
from notif_rec.models.als_loss import AlsSettings, als_loss, pull_of_rows
from notif_rec.models.blas import one_blas_thread
from notif_rec.models.pair_file import encode, read_pairs
from notif_rec.models.settings import Solver

ALPHA0, PULL = 0.01, 1.0  # implicit's alpha 101 and regularization 100
SHARE = 0.01  # λ where it grows with evidence


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


def main() -> None:
    """Prints one line a contender and number of factors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=Path)
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exponent", type=float, default=0.0)
    given = parser.parse_args()
    pairs = world() if given.pairs is None else encode(read_pairs(given.pairs)).user_items()
    confident = sparse.csr_matrix((1 + pairs.data / np.float32(ALPHA0), pairs.indices, pairs.indptr), shape=pairs.shape)
    pull = PULL if given.exponent == 0 else SHARE
    print(f"{pairs.nnz:,} pairs of {pairs.shape[0]:,} users and {pairs.shape[1]:,} items, at most {given.epochs} epochs")
    print(f"{'':24}{'core-s':>10}{'wall s':>10}{'epochs':>8}{'loss':>14}")

    def settings(solver: Solver, factors: int, epochs: int) -> AlsSettings:
        return AlsSettings(factors, epochs, ALPHA0, pull, given.exponent, seed=1, solver=solver)

    def ours(solver: Solver, factors: int, epochs: int) -> tuple[np.ndarray, np.ndarray, int]:
        told: list[int] = []
        found = fit_als(pairs, settings(solver, factors, epochs), threads=given.threads, progress=lambda done, total: told.append(done))
        return *found, len(told)

    def itself(factors: int, epochs: int) -> tuple[np.ndarray, np.ndarray, int]:
        with one_blas_thread():
            model = AlternatingLeastSquares(factors, regularization=PULL / ALPHA0, alpha=1, iterations=epochs, random_state=1)
            model.num_threads = given.threads
            model.fit(confident, show_progress=False)
        return model.user_factors, model.item_factors, epochs

    fits = {"solver: diagonal": partial(ours, "diagonal"), "solver: implicit": partial(ours, "implicit")}
    fits |= {"implicit by itself": itself} if given.exponent == 0 else {}
    ours("diagonal", 16, 1)  # compiled, or read from the cache, before the clock starts
    pulls = [pull_of_rows(rows, settings("diagonal", 16, 1)) for rows in (pairs, pairs.T.tocsr())]
    for factors in given.factors:
        for name, fit in fits.items():
            wall, core = time.perf_counter(), time.process_time()
            x, y, epochs = fit(factors, given.epochs)
            wall, core = time.perf_counter() - wall, time.process_time() - core
            reached = als_loss(pairs, x, y, ALPHA0, *pulls)
            print(f"{name + f', {factors}':24}{core:10.2f}{wall:10.2f}{epochs:8}{reached:14,.0f}", flush=True)


if __name__ == "__main__":
    main()
