"""Noise that is a function of what it is about, never of the order of draws: two policies meet the same luck."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

FloatArray = npt.NDArray[np.float64]
Ints = npt.NDArray[Any]

STEP = np.uint64(0x9E3779B97F4A7C15)
MOST = 60  # no Poisson draw is larger


def uniform(seed: int, purpose: str, *about: Ints | int) -> FloatArray:
    """One number in [0, 1) for each row of `about` (integers that broadcast together), the same for the same (seed, purpose, row)."""
    first = int.from_bytes(hashlib.md5(f"{seed}|{purpose}".encode(), usedforsecurity=False).digest()[:8], "little")
    shape = np.broadcast_shapes(*(np.shape(part) for part in about))
    state = np.full(shape, first, dtype=np.uint64)
    for part in about:
        state = _mixed(state ^ (np.asarray(part, dtype=np.int64).astype(np.uint64) * STEP))
    return (state >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(seed: int, purpose: str, *about: Ints | int) -> FloatArray:
    """As `uniform`, of the standard normal distribution."""
    found: FloatArray = ndtri(uniform(seed, purpose, *about).clip(1e-12, 1 - 1e-12))
    return found


def poisson(draw: FloatArray, mean: FloatArray) -> npt.NDArray[np.int64]:
    """Counts whose distribution is Poisson(mean) where `draw` is uniform: the inverse of the distribution function."""
    count, k = np.zeros(len(draw), dtype=np.int64), 0
    mass = np.exp(-mean)
    reached = mass.copy()
    while (more := draw > reached).any() and k < MOST:
        k += 1
        count += more
        mass = mass * mean / k
        reached = reached + mass
    return count


def pick(draw: FloatArray, share: FloatArray) -> npt.NDArray[np.int64]:
    """The place in each row of `share` ((n, k), or (k,) for all rows; rows sum to 1) that a uniform draw falls into."""
    edges = np.cumsum(np.atleast_2d(share), axis=1)[:, :-1]
    found: npt.NDArray[np.int64] = (draw[:, None] >= edges).sum(axis=1)
    return found


def _mixed(state: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA'14."""
    mixed = state + STEP
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
