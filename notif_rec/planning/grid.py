"""The moments of a plan: a 15-minute UTC grid, and sets of its moments as bits of uint64 words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner

STEP_US = 900_000_000
WORD = 64
IntArray = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Grid:
    """The moments first_us + i · STEP_US for i in 0 … n - 1."""

    first_us: int
    n: int

    @property
    def n_words(self) -> int:
        return max(1, -(-self.n // WORD))

    def moments_us(self) -> IntArray:
        return self.first_us + STEP_US * np.arange(self.n, dtype=np.int64)


def grid_between(start_us: int, end_us: int) -> Grid:
    """Every quarter of an hour (UTC) in [start_us, end_us)."""
    first = -(-start_us // STEP_US) * STEP_US
    return Grid(first, max(0, -(-(end_us - first) // STEP_US)))


def pack(moments: npt.NDArray[np.bool_]) -> Words:
    """(…, n_moments) bool → (…, n_words) bits, moment i at bit i % 64 of word i // 64."""
    n = moments.shape[-1]
    n_words = max(1, -(-n // WORD))
    packed = np.zeros((*moments.shape[:-1], n_words * 8), dtype=np.uint8)
    bits = np.packbits(moments, axis=-1, bitorder="little")
    packed[..., : bits.shape[-1]] = bits
    return packed.view("<u8")


def unpack(words: Words, n: int) -> npt.NDArray[np.bool_]:
    """The inverse of `pack` for n moments."""
    bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :n].astype(np.bool_)


@inner
def set_range(words: Any, low: int, high: int) -> None:
    """Sets bits low … high - 1 of one row of words."""
    for w in range(len(words)):
        a, b = max(low - w * 64, 0), min(high - w * 64, 64)
        if a < b:
            ones = ~np.uint64(0) if b - a == 64 else (np.uint64(1) << np.uint64(b - a)) - np.uint64(1)
            words[w] |= ones << np.uint64(a)


@inner
def first_at(time_us: int, first_us: int, n: int) -> int:
    """The index of the first moment at or after a time, within 0 … n."""
    if time_us <= first_us:  # before any arithmetic: a time may be the smallest there is
        return 0
    return int(min((time_us - first_us + STEP_US - 1) // STEP_US, n))


@inner
def first_after(time_us: int, first_us: int, n: int) -> int:
    """The index of the first moment after a time, within 0 … n."""
    if time_us < first_us:
        return 0
    return int(min((time_us - first_us) // STEP_US + 1, n))


@inner
def has(words: Any, moment: int) -> bool:
    return bool((words[moment >> 6] >> np.uint64(moment & 63)) & np.uint64(1))


@inner
def is_empty(words: Any) -> bool:
    for word in words:  # noqa: SIM110
        if word:
            return False
    return True
