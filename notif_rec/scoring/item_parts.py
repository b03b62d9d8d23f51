"""What is known of an item for a user before a moment, in five small parts: together they are one cell of a table that a model fills.

Few values each, so that whatever trees say of items is looked up, not walked: a plan has a hundred candidates for every user.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.features import DAY_US

Ints = npt.NDArray[np.int64]
Parts = npt.NDArray[np.int8]
UNKNOWN = -1  # the rank of what is on no list, or that nobody looked for


class Part(NamedTuple):
    """size: how many values. sign: as of a feature. words: what the value is called before people."""

    name: str
    size: int
    sign: int
    words: tuple[str, ...]


RANKS = ("ranked first", "ranked 2 to 3", "ranked 4 to 10", "ranked 11 to 30", "ranked 31 to 100", "ranked later")
LOUDNESS = ("far less answered than most", "less answered", "answered as most", "more answered", "twice as answered", "far more answered")
AGES = ("a day old", "up to 3 days old", "up to 7 days old", "up to 30 days old", "up to 90 days old", "older than 90 days")
LIKINGS = ("of a category hardly liked", "of one little liked", "of any category", "of one liked", "of one much liked", "of a favourite")
PARTS = (
    Part("rank", 6, -1, RANKS),
    Part("popularity", 6, 1, LOUDNESS),
    Part("age", 6, 0, AGES),
    Part("affinity", 6, 1, LIKINGS),
    Part("repeats", 3, -1, ("not sent lately", "sent once in 30 days", "sent more often in 30 days")),
)
N_PARTS = len(PARTS)
RANK, POPULARITY, AGE, AFFINITY, REPEATS = range(N_PARTS)
ANY_ITEM = (UNKNOWN, 2, len(AGES) - 1, 2, 0)  # of which nothing is known
SIZES = tuple(part.size for part in PARTS)
N_RANKED = int(np.prod(SIZES))  # cells of items whose rank is known; behind them come those of the others
N_CELLS = N_RANKED + N_RANKED // SIZES[RANK]
PART_SIGNS = np.array([part.sign for part in PARTS], np.int8)
STEPS = np.array([int(np.prod(SIZES[place + 1 :])) for place in range(N_PARTS)], np.int64)  # of a part in the number of a cell

POPULARITY_EDGES = np.array([0.5, 0.8, 1.25, 2.0, 4.0])  # answers over those that the channel's mean would bring
AGE_EDGES = np.array([1, 3, 7, 30, 90]) * DAY_US
AFFINITY_EDGES = np.array([0.4, 0.8, 1.25, 2.5, 5.0])  # own share of the category over an even share
POPULARITY_WORTH, AFFINITY_WORTH = 3.0, 3.0  # expected answers, and own signs, that stand for the middle
REPEAT_US = 30 * DAY_US


def cells_of(parts: Parts) -> Ints:
    """(n,) the cell of each row of parts."""
    wide = parts.astype(np.int64)
    wide[:, RANK] = np.where(wide[:, RANK] == UNKNOWN, SIZES[RANK], wide[:, RANK])
    cells: Ints = wide @ STEPS
    return cells


def every_cell() -> Parts:
    """(N_CELLS, N_PARTS) in the order of their numbers."""
    sizes = (SIZES[RANK] + 1, *SIZES[1:])
    cells = np.stack([grid.ravel() for grid in np.indices(sizes)], axis=1).astype(np.int8)
    cells[N_RANKED:, RANK] = UNKNOWN
    return cells


def keeps_signs(table: npt.NDArray[np.float64]) -> bool:
    """Whether a table over all cells never falls, or never rises, along each part as its sign says."""
    for whole in (table[:N_RANKED].reshape(SIZES), table[N_RANKED:].reshape((1, *SIZES[1:]))):
        for axis, sign in enumerate(PART_SIGNS):
            if sign and (np.diff(whole, axis=axis) * sign < 0).any():
                return False
    return True


def popularity_of(hits: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> Parts:
    """Answers beside what the channel's mean would bring; the middle where nothing is known."""
    ratio = (hits + POPULARITY_WORTH) / (expected + POPULARITY_WORTH)
    part: Parts = np.searchsorted(POPULARITY_EDGES, ratio, side="right").astype(np.int8)
    return part


def age_of(created_us: Ints, moment_us: Ints) -> Parts:
    """How long an item has been there at a moment; the oldest where nothing tells (a time long before any)."""
    since = np.maximum(created_us, moment_us - 10 * int(AGE_EDGES[-1]))
    age: Parts = np.searchsorted(AGE_EDGES, np.maximum(moment_us - since, 0), side="right").astype(np.int8)
    return age
