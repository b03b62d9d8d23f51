"""A weekly budget shared out by one price: processor seconds, distance from the best, and what the same cap for all would bring.

python benchmarks/weekly.py [--users N] [--share S] [--seed N]; values, fatigue and opt-out risks differ by user; S sends a user and week.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np

from notif_rec.planning.weekly import Weekly, concave_slopes, granted_to_all, settled

MOST, PART = 14, 8192  # sends a week of one user; users in a part


def curves(rng: np.random.Generator, n: int, dents: bool) -> np.ndarray:
    """(n, MOST + 1) what k sends a week are worth to each user; dents: the third send alone is heard by some, so that U is not concave."""
    first = rng.gamma(1.2, 0.05, (n, 1)) * 0.9 ** np.arange(MOST)
    fatigue, risk = rng.uniform(0.05, 0.5, (n, 1)), rng.gamma(0.5, 0.01, (n, 1))
    left = (1.0 - fatigue) ** (1.0 / np.expm1(np.log(2.0) * 7.0 / (3.0 * np.arange(1, MOST + 1))))
    brings = np.cumsum(np.where(rng.random((n, 1)) < 0.3, np.where(np.arange(MOST) < 2, 0.2, 1.0), 1.0) * first if dents else first, axis=1)
    return np.concatenate([np.zeros((n, 1)), brings * left - risk * np.arange(1, MOST + 1)], axis=1)


def main() -> None:
    """Reads the command line and prints a row for each kind of curve."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--share", type=float, default=1.5)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    print("| curves | granted | value | bound | gap | the same k for all | slopes, core-s | price, core-s |\n|---|" + "--:|" * 7)
    for name, dents in (("concave in the main", False), ("with dents", True)):
        print(_row(name, np.random.default_rng(given.seed), given.users, int(given.share * given.users), dents), flush=True)


def _row(name: str, rng: np.random.Generator, n: int, budget: int, dents: bool) -> str:
    worth = np.concatenate([curves(rng, min(PART, n - at), dents) for at in range(0, n, PART)])
    ties, start = rng.permutation(n).astype(np.int64), time.process_time()
    slopes = np.concatenate([np.maximum(concave_slopes(worth[at : at + PART]), 0.0) for at in range(0, n, PART)])
    middle = time.process_time()

    def asked() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for at in range(0, n, PART):
            yield slopes[at : at + PART], ties[at : at + PART]

    found = settled(Weekly(0, MOST), asked, budget)
    granted, end = granted_to_all(found, asked), time.process_time()
    k = found.granted(slopes, ties)
    value = worth[np.arange(n), k].sum()
    bound = (worth - (found.price or 0.0) * np.arange(MOST + 1)).max(axis=1).sum() + (found.price or 0.0) * budget
    flat = _flat(worth, budget)
    times = f"{middle - start:.1f} | {end - middle:.1f}"
    return f"| {name} | {granted:,} | {value:,.1f} | {bound:,.1f} | {1 - value / bound:.1e} | {flat / value - 1:+.1%} | {times} |"


def _flat(worth: np.ndarray, budget: int) -> float:
    """The same cap for everybody, and one more for the first users until the budget is full; who is worth less with all takes fewer."""
    k, more = divmod(budget, len(worth))
    reach = np.maximum.accumulate(worth, axis=1)
    return float(reach[:more, k + 1].sum() + reach[more:, k].sum())


if __name__ == "__main__":
    main()
