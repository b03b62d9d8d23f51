"""Quotas as cells: one a quota, or one an item where a quota holds for any of them, and what each offer takes of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import kernel
from notif_rec.planning.menus import UNLIMITED, Rooms

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
ANY = "any"
MICRO = 1_000_000  # money is counted in millionths, exactly
NO_ITEM, ANY_ITEM = -2, -1


@dataclass(frozen=True)
class Quota:
    """A limit across users on the sends that match every word it says. item: an item_id, or 'any' (each item for itself).

    max_cost: on the money that these sends cost, instead of their number.
    """

    channel: str | None = None
    item: str | None = None
    category: str | None = None
    segment: str | None = None
    max_sends: int | None = None
    min_sends: int = 0
    max_cost: float | None = None

    def named(self, item: str | None = None) -> str:
        """What it is for, as short as people say it: `email`, `item i7`, `promo on push to country=DE`."""
        what = (
            f"item {item or self.item}" if self.item is not None else self.category or ("" if self.channel or self.segment else "all sends")
        )
        words = [what] if what else []
        if self.channel:
            words += ["on", self.channel] if what else [self.channel]
        words += ["to", self.segment] if self.segment else []
        return " ".join(words) + (" (money)" if self.max_cost is not None else "")

    def high(self) -> int:
        """The most that all sends may take, in sends or millionths of money."""
        if self.max_cost is not None:
            return round(self.max_cost * MICRO)
        return UNLIMITED if self.max_sends is None else self.max_sends


class Limits(NamedTuple):
    """The quotas for compiled code. One row a quota: channel (-1 = every), category (its bit, 0 = every), segment (place among the
    audiences, -1 = everybody), money (0/1), base (its first cell). wide: quotas of no item; any: of each; of_item[at[i] : at[i + 1]]:
    those of item row i. cost: per channel, in millionths. place: (n_cells,) its number among the cells that are in play, -1 = not.
    """

    channel: IntArray
    category: npt.NDArray[np.uint64]
    segment: IntArray
    money: npt.NDArray[np.uint8]
    base: IntArray
    wide: IntArray
    any: IntArray
    at: IntArray
    of_item: IntArray
    cost: IntArray
    place: npt.NDArray[np.int32]


class Takings(NamedTuple):
    """What offers take: offer o takes amount[first[o] : first[o + 1]] of the cells in play there, each once."""

    first: IntArray
    cell: npt.NDArray[np.int32]
    amount: npt.NDArray[np.int32]


def limits_of(
    quotas: Sequence[Quota], channels: Sequence[str], costs: Sequence[float], item_ids: Sequence[str], categories: Sequence[str],
    segments: Sequence[str], place: npt.NDArray[np.int32] | None = None,
) -> Limits:  # fmt: skip
    """The quotas over a model's items, in play where `place` says so, else everywhere. An item that the model lacks is in no send."""
    row = {item: n for n, item in enumerate(item_ids)} if any(q.item not in (None, ANY) for q in quotas) else {}
    kind = np.array(
        [NO_ITEM if q.item is None else ANY_ITEM if q.item == ANY else row.get(q.item, len(item_ids)) for q in quotas], np.int64
    )
    sizes = np.where(kind == ANY_ITEM, len(item_ids), 1)
    base = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes, dtype=np.int64)])
    single = np.flatnonzero((kind >= 0) & (kind < len(item_ids)))
    single = single[np.argsort(kind[single], kind="stable")]
    return Limits(
        channel=np.array([-1 if q.channel is None else list(channels).index(q.channel) for q in quotas], np.int64),
        category=np.array([0 if q.category is None else 1 << list(categories).index(q.category) for q in quotas], np.uint64),
        segment=np.array([-1 if q.segment is None else list(segments).index(q.segment) for q in quotas], np.int64),
        money=np.array([q.max_cost is not None for q in quotas], np.uint8),
        base=base[:-1],
        wide=np.flatnonzero(kind == NO_ITEM),
        any=np.flatnonzero(kind == ANY_ITEM),
        at=np.concatenate([np.zeros(1, np.int64), np.cumsum(np.bincount(kind[single], minlength=len(item_ids)))]).astype(np.int64),
        of_item=single,
        cost=np.array([round(cost * MICRO) for cost in costs], np.int64),
        place=np.arange(base[-1], dtype=np.int32) if place is None else place,
    )


def rooms_of(quotas: Sequence[Quota], limits: Limits, used: IntArray | None = None) -> Rooms:
    """Low and high of every cell, less what is `used` of it already."""
    sizes = np.diff(np.append(limits.base, len(limits.place)))
    taken = np.zeros(len(limits.place), dtype=np.int64) if used is None else used
    high = np.repeat(np.array([q.high() for q in quotas], np.int64), sizes)
    low = np.repeat(np.array([q.min_sends for q in quotas], np.int64), sizes)
    unit = np.repeat(np.where(limits.money > 0, float(MICRO), 1.0), sizes)
    return Rooms(np.maximum(low - taken, 0), np.where(high >= UNLIMITED, UNLIMITED, np.maximum(high - taken, 0)), unit)


def takings_of(channel: IntArray, item: Any, categories: Any, owner: IntArray, inside: npt.NDArray[np.bool_], limits: Limits) -> Takings:
    """What each offer takes. channel, item (n, widest; -1 beyond), categories: of offers; inside: (n_users, n_segments)."""
    first = np.zeros(len(channel) + 1, dtype=np.int64)
    empty = np.zeros(0, np.int32)
    _take(channel, item, categories, owner, inside, limits, first, empty, empty)
    first = np.concatenate(([0], np.cumsum(first[1:])))
    cell, amount = np.zeros(first[-1], np.int32), np.zeros(first[-1], np.int32)
    _take(channel, item, categories, owner, inside, limits, first, cell, amount)
    return Takings(first, cell, amount)


@kernel
def _take(channel: Any, item: Any, categories: Any, owner: Any, inside: Any, limits: Any, first: Any, cell: Any, amount: Any) -> None:
    """Counts cells into first[o + 1] where `cell` is empty, else fills `cell` and `amount` from first[o] on."""
    counting, n_items = len(cell) == 0, item.shape[1] if len(limits.any) + len(limits.of_item) > 0 else 0
    of_channel, of_category, of_segment, money, cost = limits.channel, limits.category, limits.segment, limits.money, limits.cost
    base, place, wide, any_item, at, of_item = limits.base, limits.place, limits.wide, limits.any, limits.at, limits.of_item
    for o in range(len(channel)):
        n, c, bits, own = 0 if counting else first[o], channel[o], categories[o], owner[o]
        for m in range(-1, n_items):  # what asks for no item; then the offer's items, one after the other
            row = item[o, m] if m >= 0 else 0
            if row < 0:
                break
            low, high = (at[row], at[row + 1]) if m >= 0 else (0, 0)
            n_any = len(wide) if m < 0 else len(any_item)
            for k in range(n_any + high - low):
                if k < n_any:
                    q = wide[k] if m < 0 else any_item[k]
                    number = place[base[q]] if m < 0 else place[base[q] + row]
                else:
                    q = of_item[low + k - n_any]
                    number = place[base[q]]
                if number < 0 or (of_channel[q] >= 0 and of_channel[q] != c) or (of_category[q] != 0 and (of_category[q] & bits) == 0):
                    continue
                if of_segment[q] >= 0 and not inside[own, of_segment[q]]:
                    continue
                taken = cost[c] if money[q] else 1
                if taken > 0:
                    if not counting:
                        cell[n], amount[n] = number, taken
                    n += 1
        if counting:
            first[o + 1] = n
