"""Top-20 for all users, seen items filtered: ours, implicit.recommend and the bare matrix product, interleaved in one run.

    python benchmarks/topk.py [--rounds 5] [--threads 2]

Ratios are of the wall time to the bare product of the same run (same block, same threads); core-s counts the processor seconds of
the process, which a busy machine disturbs less. implicit is asked at its best setting of those tried.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from unittest.mock import patch

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from scipy import sparse

from notif_rec.models.blas import one_blas_thread
from notif_rec.scoring import topk
from notif_rec.scoring.topk import BLOCK, Allowed, Lists, each_block, top_k

K, SEEN = 20, 30


def world(n_users: int, n_items: int, factors: int) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Factors of users and of items of unequal length, and 30 seen items a user."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((n_items, factors)) * rng.lognormal(0, 0.5, (n_items, 1))
    user, item = np.repeat(np.arange(n_users), SEEN), rng.integers(0, n_items, n_users * SEEN)
    seen = sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(n_users, n_items))
    return rng.standard_normal((n_users, factors)).astype(np.float32), items.astype(np.float32), seen


def clocked(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of one call."""
    wall, core = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - core


def contenders(users: np.ndarray, items: np.ndarray, seen: sparse.csr_matrix, threads: int) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    n, m = seen.shape
    banned = Lists(seen.indptr.astype(np.int64), seen.indices.astype(np.int32))
    allowed = Allowed(np.ones(m, bool), banned, np.full(m, -1, np.int16), np.zeros((n, 0), bool))

    def product(buffer: np.ndarray, start: int, stop: int) -> None:
        np.matmul(users[start:stop], items.T, out=buffer[: stop - start, :m])

    def implicit_of(num_threads: int, batch: int) -> Callable[[], object]:
        model = AlternatingLeastSquares(factors=users.shape[1], num_threads=num_threads)
        model.user_factors, model.item_factors = users, items

        def call() -> None:
            with one_blas_thread():
                for start in range(0, n, batch):
                    ids = np.arange(start, min(start + batch, n))
                    model.recommend(ids, seen[ids], N=K, filter_already_liked_items=True)

        return call

    def by_floats() -> None:
        with patch.object(topk, "ready", lambda: False):
            top_k(users, items, K, allowed, threads=threads)

    return {
        "product": lambda: each_block(product, n, BLOCK, m, threads),
        "ours": lambda: top_k(users, items, K, allowed, threads=threads),
        "ours, without products of bytes": by_floats,
        **{f"implicit, {t} threads, batch {b}": implicit_of(t, b) for t in sorted({1, threads}) for b in (500, 2000)},
    }


def main() -> None:
    """Prints one line a contender and size."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--factors", type=int, default=64)
    given = parser.parse_args()
    for n_users, n_items in ((20_000, 10_000), (6_000, 50_000)):
        works = contenders(*world(n_users, n_items, given.factors), given.threads)
        works["ours"]()  # compiled, or read from the cache, before the clock starts
        times = np.array([[clocked(work) for work in works.values()] for _ in range(given.rounds)])
        ratio = np.median(times / times[:, :1], axis=0)
        print(f"\n{n_items} items, {n_users} users, {given.factors} factors, top {K}, {given.threads} threads, median of {given.rounds}")
        print(f"{'':32}{'users/s':>10}{'wall ratio':>12}{'core-s ratio':>14}")
        for name, best, (wall, core) in zip(works, times[:, :, 0].min(axis=0), ratio, strict=True):
            print(f"{name:32}{n_users / best:10,.0f}{wall:12.2f}{core:14.2f}")


if __name__ == "__main__":
    main()
