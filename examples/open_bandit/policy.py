"""Writes Bernoulli Thompson sampling as it ran on the campaign "all" of the Open Bandit Dataset: item_id,position,probability.

    python examples/open_bandit/policy.py [--output FILE]

beta_all.csv holds its 80 Beta distributions, as published with the data set. Three of 80 items are shown, those of the highest draws, so
that the probability of an item at a position is that of its place: taken from 100,000 draws of the seed that the authors chose.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).parent
DRAWS, SEED, POSITIONS = 100_000, 12_345, 3


def probabilities(alpha: npt.NDArray[np.float64], beta: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """(n_items, POSITIONS) how often each item is drawn into each position."""
    draws = np.random.RandomState(SEED).beta(alpha, beta, size=(DRAWS, len(alpha)))  # the old generator: the published figure hangs on it
    shown = np.argsort(-draws, axis=1, kind="stable")[:, :POSITIONS]
    return np.stack([np.bincount(shown[:, place], minlength=len(alpha)) for place in range(POSITIONS)], axis=1) / DRAWS


def write(output: Path) -> int:
    """Writes the policy; returns the number of rows."""
    with (HERE / "beta_all.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = probabilities(*(np.array([float(row[name]) for row in rows]) for name in ("alpha", "beta")))
    with output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("item_id", "position", "probability"))
        writer.writerows((row["item_id"], place + 1, float(p)) for row, of in zip(rows, found, strict=True) for place, p in enumerate(of))
    return found.size


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--output", type=Path, default=HERE / "bernoulli_ts.csv")
    arguments = parser.parse_args()
    print(f"{arguments.output}\t{write(arguments.output)}")
