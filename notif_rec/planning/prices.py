"""Prices of quotas: what a send must be worth beyond itself so that users' own choices just fit the quotas.

A price raised to the worth of the first send that finds no room leaves that room to those worth more, and lets users who lose a
send choose again. The dual at any prices bounds every plan. Source: Basu et al., "ECLIPSE", KDD'20 (the split into users and prices).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.planning.context import PlanContext, Prices
from notif_rec.planning.quotas import ANY, Quota, Used, read_decisions

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
NEAR = 0.002  # a price stays where the demand misses the room by no more than this share
WITHIN = 1e-9  # prices stay this share below the threshold, so that equals of the last send with room are not lost with it


@dataclass(frozen=True)
class Demand:
    """What users would send at the prices of a pass. net: (n_sends,) worth beyond its price; channel, explored: of each send.

    send, item (model row) and category (bit number, -1 = none named): one entry an item of a send.
    """

    net: FloatArray
    explored: npt.NDArray[np.bool_]
    channel: IntArray
    send: IntArray
    item: IntArray
    category: IntArray


def dual_bound(user_bound: float, context: PlanContext, prices: Prices, quotas: Sequence[Quota], used: Used) -> float:
    """Σ over users of their best net value + Σ price × room: no plan that keeps the quotas is worth more."""
    total = user_bound
    for quota in quotas:
        for place, price in _priced(quota, context, prices):
            name = context.model.item_ids[place] if quota.name == ANY else quota.name
            total += price * _room(quota, name, used)
    return total


@dataclass
class Cell:
    """One limit and the search for its price: at `low` too much is asked for, at `high` too little."""

    kind: str
    place: int
    room: int
    low: float = 0.0
    high: float = math.inf
    price: float = 0.0


@dataclass
class Search:
    """The limits met so far; `step` moves their prices one pass on."""

    quotas: Sequence[Quota]
    used: Used
    share: float  # of the users that the passes look at
    cells: dict[tuple[str, int], Cell]

    def step(self, parts: Sequence[Path], context: PlanContext) -> Prices | None:
        """Prices nearer to what makes the demand of all users fit, from decisions at the context's; None where they are near enough."""
        demand = _demand(parts, context)
        left, moved = demand.net.copy(), False
        for quota in self.quotas:
            for place, name, sends in _names(quota, context, demand, self.used):
                room = math.floor(_room(quota, name, self.used) * self.share)
                cell = self.cells.setdefault((quota.kind, place), Cell(quota.kind, place, room))
                before = cell.price
                _move(cell, left[sends], demand.explored[sends])
                left[sends] -= max(0.0, cell.price - before)
                moved |= cell.price != before
        return self.prices(context) if moved else None

    def prices(self, context: PlanContext, *, low: bool = False) -> Prices:
        """The prices as they stand; low: the last that asked for enough, so that no room stays empty."""
        values = {"channel": np.zeros(len(context.names)), "category": np.zeros(len(context.categories))}
        values["item"] = np.zeros(len(context.model.item_ids))
        for cell in self.cells.values():
            values[cell.kind][cell.place] = cell.low if low else cell.price
        item = values["item"] if values["item"].any() else None
        return Prices(tuple(values["channel"].tolist()), item, tuple(values["category"].tolist()))


def _move(cell: Cell, net: FloatArray, explored: npt.NDArray[np.bool_]) -> None:
    """Raises a price to what fits by itself, or halves the way to one that was too high or too low."""
    over, near = len(net) - cell.room, NEAR * cell.room
    if over > near or (over > 0 and cell.price == 0):
        cell.low = max(cell.low, cell.price)
        alone = cell.price + _step(net, explored, cell.room)
        cell.price = alone if cell.high == math.inf else min(alone, (cell.low + cell.high) / 2)
    elif cell.price > 0 and -over > near:
        cell.high = min(cell.high, cell.price)
        cell.price = (cell.low + cell.high) / 2
    else:
        cell.low = cell.price


def _step(net: FloatArray, explored: npt.NDArray[np.bool_], room: int) -> float:
    """How far the price must rise for no more than `room` of these sends to stay; explored ones stay whatever the price."""
    open_ = np.sort(net[~explored & (net > 0)])
    over = len(open_) - max(0, room - int(explored.sum()))
    return float(open_[over - 1] * (1 - WITHIN)) if over > 0 else 0.0


def _room(quota: Quota, name: str, used: Used) -> int:
    taken = {"channel": used.channel, "item": used.item, "category": used.category}[quota.kind]
    return max(0, quota.max_sends - taken.get(name, 0))


def _filled(values: Sequence[float], n: int) -> FloatArray:
    return np.array(values, dtype=np.float64) if len(values) else np.zeros(n)


def _names(quota: Quota, context: PlanContext, demand: Demand, used: Used) -> list[tuple[int, str, IntArray]]:
    """(place of the price, name, sends that pay it) of everything that the quota limits."""
    if quota.kind == "channel":
        place = context.names.index(quota.name)
        return [(place, quota.name, np.flatnonzero(demand.channel == place))]
    codes = demand.item if quota.kind == "item" else demand.category
    if quota.name == ANY:
        counts, ids = np.bincount(codes[codes >= 0], minlength=1), context.model.item_ids
        priced = set() if context.prices.item is None else set(np.flatnonzero(context.prices.item).tolist())
        places = [p for p in np.flatnonzero(counts).tolist() if p in priced or counts[p] > _room(quota, ids[p], used)]
    else:
        known = list(context.model.item_ids if quota.kind == "item" else context.categories)
        places = [known.index(quota.name)] if quota.name in known else []
    names = context.model.item_ids if quota.kind == "item" else context.categories
    return [(place, names[place], np.unique(demand.send[codes == place])) for place in places]


def _priced(quota: Quota, context: PlanContext, prices: Prices) -> list[tuple[int, float]]:
    """(place, price) of what the quota limits and prices."""
    if quota.kind == "item":
        if prices.item is None:
            return []
        places = np.flatnonzero(prices.item).tolist()
        return [(p, float(prices.item[p])) for p in places if quota.name in (ANY, context.model.item_ids[p])]
    names, values = (context.names, prices.channel) if quota.kind == "channel" else (context.categories, prices.category)
    return [(names.index(quota.name), values[names.index(quota.name)])] if values and quota.name in names else []


def _demand(parts: Sequence[Path], context: PlanContext) -> Demand:
    rows = read_decisions(parts)
    rows = rows.filter(pc.equal(rows.column("kind"), "send"))
    first = rows.column("position").to_numpy() == 1
    send = np.cumsum(first) - 1
    codes = rows.column("item").to_numpy()
    item = np.where(codes >= 0, context.lookup[np.maximum(codes, 0)], -1).astype(np.int64)
    category = pc.index_in(rows.column("category"), pa.array(context.categories, pa.string())).fill_null(-1).to_numpy().astype(np.int64)
    channel = pc.index_in(rows.column("channel"), pa.array(context.names, pa.string())).to_numpy().astype(np.int64)[first]
    worth = (rows.column("value").to_numpy() * rows.column("discount").to_numpy())[first]
    prices = context.prices
    paid = _filled(prices.channel, len(context.names))[channel]
    if prices.item is not None:
        paid = paid + np.bincount(send, weights=np.where(item >= 0, prices.item[np.maximum(item, 0)], 0.0), minlength=len(worth))
    for number, price in enumerate(prices.category):
        paid[np.unique(send[category == number])] += price
    explored = rows.column("explored").to_numpy(zero_copy_only=False)[first]
    return Demand(worth - paid, explored, channel, send, item, category)
