"""What each user likes and has seen, from before `as_of`; and the zone of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from notif_rec.models.interactions import MOST
from notif_rec.planning.bucket import ORGANIC, Array, Events, event_names
from notif_rec.planning.facts import Facts
from notif_rec.tables import NO_ITEM


@dataclass(frozen=True)
class Tastes:
    """Liked items, ordered by (user, item, channel), and seen ones, by (user, item). Users are rows; channel ORGANIC = none."""

    row: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    weight: npt.NDArray[np.float32]
    seen_row: npt.NDArray[np.int64]
    seen_item: npt.NDArray[np.int32]


def tastes(events: Events, facts: Facts, as_of_us: int) -> Tastes:
    """Event weight × value × 2^(−age / half_life), summed by (user, item, channel); seen is every item of a sign of taste."""
    names = event_names(facts)
    weights = np.array([facts.event_weights.get(name, np.nan) for name in names] + [np.nan])  # the last: events of no name here
    worth = weights[events.event]
    signs = np.flatnonzero(~np.isnan(worth) & (events.item != NO_ITEM) & (events.at_us < as_of_us))
    fade = -1.0 / facts.half_life_us if facts.half_life_us else 0.0
    contribution = worth[signs] * events.value[signs] * np.exp2((as_of_us - events.at_us[signs]) * fade)
    said = np.isfinite(contribution) & (contribution > 0)  # as in training
    contribution = np.where(said, np.minimum(contribution, MOST), 0.0)
    channel = np.maximum(events.channel[signs], ORGANIC).astype(np.int64) + 1
    key = events.row[signs].astype(np.int64) << 39 | events.item[signs].astype(np.int64) << 8 | channel
    order = np.argsort(key)
    groups, weight = _sum_groups(key[order], contribution[order])
    pair = groups >> 8
    first = np.ones(len(groups), np.bool_)
    first[1:] = pair[1:] != pair[:-1]
    row, item = groups >> 39, (pair & 0x7FFFFFFF).astype(np.int32)
    liked = (row, item, ((groups & 0xFF) - 1).astype(np.int8), weight.astype(np.float32))
    return Tastes(*liked, row[first], item[first])


def _sum_groups(key: npt.NDArray[np.int64], value: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Distinct keys of a sorted array and the sum of each; the same bits in whatever order a group's values come."""
    first = np.ones(len(key), np.bool_)
    first[1:] = key[1:] != key[:-1]
    start = np.flatnonzero(first)
    sums = np.empty(len(start))
    _sorted_sums(np.append(start, len(key)), value, sums)
    return key[start], sums


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sorted_sums(start: Array, value: Array, sums: Array) -> None:
    """Sums of value[start[i]:start[i + 1]], smallest first; sorts `value` in place."""
    for group in range(len(sums)):
        if start[group + 1] - start[group] > 1:
            value[start[group] : start[group + 1]].sort()
        total = 0.0
        for at in range(start[group], start[group + 1]):
            total += value[at]
        sums[group] = total


def zone_rows(timezone: pa.DictionaryArray, names: tuple[str, ...], default: str) -> npt.NDArray[np.int32]:
    """The place of each user's zone in `names`, the default's for users without one that is known; `names` is sorted."""
    place = {name: at for at, name in enumerate(names)}
    rows = np.array([place.get(name, place[default]) for name in timezone.dictionary.to_pylist()] + [place[default]], np.int32)
    of_user: npt.NDArray[np.int32] = rows[timezone.indices.fill_null(len(rows) - 1).to_numpy(zero_copy_only=False)]
    return of_user
