"""Chance that depends on a user and on nothing else in the batch: draws, and who is held out."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

HashArray = npt.NDArray[np.uint64]


def draw_key(seed: int, purpose: str, as_of_us: int) -> int:
    """The part of a draw that all users share: 64 bits of (seed, purpose, as_of)."""
    return _first_bytes(f"{seed}|{purpose}|{as_of_us}")


def uniform(user_hash: HashArray, key: int) -> npt.NDArray[np.float64]:
    """One number in [0, 1) per user, the same for the same (user, key) whoever else is asked for."""
    mixed = _splitmix64(user_hash ^ np.uint64(key))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def held_out(user_id: pa.Array, salt: str, share: float) -> npt.NDArray[np.bool_]:
    """True where the stable hash of (salt, user) falls into the first `share` of its range, so that a larger share keeps its members."""
    if share <= 0:
        return np.zeros(len(user_id), dtype=np.bool_)
    limit = share * 2.0**64
    return np.array([_first_bytes(f"{salt}|{text}") < limit for text in user_id.to_pylist()], dtype=np.bool_)


def mixed(state: HashArray) -> HashArray:
    """64 bits that look like chance, the same for the same `state`."""
    return _splitmix64(state)


def _first_bytes(text: str) -> int:
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[:8], "little")


def _splitmix64(state: HashArray) -> HashArray:
    """Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA'14."""
    mixed = state + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
