"""The moments that messages are offered: among them are the best ones for all messages of a channel together."""

from __future__ import annotations

from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

from notif_rec.planning.compiled import kernel
from notif_rec.planning.grid import pack
from notif_rec.planning.slots import MAX_SLOTS, TOGETHER, find_slots

MOMENTS = 96


class Lanes(NamedTuple):
    channel: npt.NDArray[np.int64]
    group: npt.NDArray[np.int64]
    spacing: npt.NDArray[np.int64]


@kernel
def door(weight: Any, words: Any, room: Any, hour: Any, lanes: Any, n: int, slots: Any, anchors: Any, table: Any) -> None:
    find_slots(weight, words, room, hour, lanes, n, slots, anchors, table)


def found(weight: npt.NDArray[np.float64], open_: npt.NDArray[np.bool_], hour: npt.NDArray[np.int64], room: list[int], gap: int) -> Any:
    """The slots of lanes that share a gap, one a channel."""
    n = len(room)
    lanes = Lanes(np.arange(n), np.zeros(n, np.int64), np.full(n, gap))
    slots, table = np.empty((n, MAX_SLOTS), np.int64), np.empty((TOGETHER + 2, MOMENTS + 1))
    door(weight, pack(open_), np.array(room), hour, lanes, MOMENTS, slots, np.empty(MOMENTS), table)
    return [[int(moment) for moment in row if moment >= 0] for row in slots]


def most(weight: npt.NDArray[np.float64], allowed: list[int], gap: int, wanted: int) -> float:
    """The most that up to `wanted` of the allowed moments, a gap apart, weigh: by trying every set, latest first."""
    if not wanted or not allowed:
        return 0.0
    best = [0.0] * (wanted + 1)
    table = {k: list(best) for k in [*range(MOMENTS, MOMENTS + gap + 1)]}
    for k in range(MOMENTS - 1, -1, -1):
        take = [0.0] + [weight[k] + table[k + gap][m - 1] for m in range(1, wanted + 1)] if k in set(allowed) else best
        table[k] = [max(a, b) for a, b in zip(table[k + 1], take, strict=True)]
    return float(table[0][wanted])


def weekly(rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Weights of the hours with a few peaks."""
    peaks = np.exp(-0.5 * ((np.arange(24)[:, None] - rng.integers(0, 24, 3)) / rng.uniform(0.5, 3, 3)) ** 2).sum(axis=1)
    return np.asarray(np.tile(0.5 + peaks / peaks.max(), 7) * rng.uniform(0.9, 1.1, 168))


@pytest.mark.parametrize("gap", [4, 16, 24])
def test_no_moments_serve_the_messages_of_a_channel_better(gap: int) -> None:
    rng = np.random.default_rng(gap)
    for wanted in (1, 2, 3, 4) * 5:
        weight, start = weekly(rng)[None], int(rng.integers(0, 400))
        hour = (start + np.arange(MOMENTS)) // 4 % 168
        open_ = (hour % 24 >= 8) & (hour % 24 < 21) & (rng.random(MOMENTS) < 0.9)
        (slots,) = found(weight, open_[None], hour, [wanted], gap)
        at = weight[0, hour]
        apart = [c for m in range(1, wanted + 1) for c in combinations(sorted(slots), m) if (np.diff(c) >= gap).all()]
        assert open_[slots].all() and len(set(slots)) == len(slots) and at[slots[0]] == at[open_].max()
        assert max(at[list(c)].sum() for c in apart) == pytest.approx(most(at, np.flatnonzero(open_).tolist(), gap, wanted))


def test_channels_that_keep_a_gap_from_each_other_share_moments_apart() -> None:
    """One message on each of two channels: the best pair of moments is never far from the best there is."""
    rng, gap, lost = np.random.default_rng(3), 16, []
    for _ in range(40):
        weight, hour = np.stack([weekly(rng), weekly(rng)]), (int(rng.integers(0, 400)) + np.arange(MOMENTS)) // 4 % 168
        first, second = found(weight, np.ones((2, MOMENTS), np.bool_), hour, [1, 1], gap)
        a, b = weight[0, hour], weight[1, hour]
        apart = np.abs(np.subtract.outer(np.arange(MOMENTS), np.arange(MOMENTS))) >= gap
        best = (a[:, None] + b[None])[apart].max()
        lost.append(1 - max(a[i] + b[j] for i in first for j in second if abs(i - j) >= gap) / best)
    assert max(lost) < 0.15 and np.mean(lost) < 0.02


def test_a_closed_day_has_no_slots() -> None:
    assert found(np.ones((1, 168)), np.zeros((1, MOMENTS), np.bool_), np.arange(MOMENTS) // 4, [2], 16) == [[]]
