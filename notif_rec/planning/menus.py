"""What users could do instead: a few feasible sets each, what they are worth and what they take of each quota."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import kernel

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
UNLIMITED = np.iinfo(np.int64).max // 4
SAME = 1e-12  # sums that are no further apart are equal


class Menus(NamedTuple):
    """User u owns entries start[u] to start[u + 1], and may always choose nothing, which is worth nothing and takes nothing.

    value: of the entry's sends, fatigue counted, prices not. Entry e takes amount[first[e] : first[e + 1]] of the cells there, each
    cell once.
    """

    start: IntArray
    value: FloatArray
    first: IntArray
    cell: npt.NDArray[np.int32]
    amount: npt.NDArray[np.int32]

    @property
    def n(self) -> int:
        return len(self.start) - 1


class Rooms(NamedTuple):
    """Per cell how much all users together must take (low, 0 = nothing) and may take (high); unit: amounts that a price is for."""

    low: IntArray
    high: IntArray
    unit: FloatArray


def net_values(menus: Menus, prices: FloatArray, unit: FloatArray) -> FloatArray:
    """(n_entries,) the value of each entry less what it pays."""
    net = np.empty(len(menus.value))
    _pay(menus.value, menus.first, menus.cell, menus.amount, prices / unit, net)
    return net


@kernel
def _pay(value: Any, first: Any, cell: Any, amount: Any, price: Any, net: Any) -> None:
    for e in range(len(value)):
        worth = value[e]
        for q in range(first[e], first[e + 1]):
            worth -= price[cell[q]] * amount[q]
        net[e] = worth


def best_entries(menus: Menus, net: FloatArray) -> IntArray:
    """(n_users,) the entry of highest net value, the first of equals, -1 where none is above nothing."""
    picks = np.empty(menus.n, dtype=np.int64)
    _pick_best(menus.start, net, picks)
    return picks


@kernel
def _pick_best(start: Any, net: Any, picks: Any) -> None:
    for u in range(len(picks)):
        best, top = -1, 0.0
        for e in range(start[u], start[u + 1]):
            if net[e] > top:
                best, top = e, net[e]
        picks[u] = best


def margins(menus: Menus, net: FloatArray, picks: IntArray) -> FloatArray:
    """(n_users,) how much better the best entry (or nothing) is than any that pays another sum; inf where there is no such."""
    found = np.empty(menus.n)
    _part(menus.start, menus.value, net, picks, found)
    return found


@kernel
def _part(start: Any, value: Any, net: Any, picks: Any, found: Any) -> None:
    for u in range(len(picks)):
        best = picks[u]
        top, due = (net[best], value[best] - net[best]) if best >= 0 else (0.0, 0.0)
        least = top if due != 0.0 else np.inf  # than nothing
        for e in range(start[u], start[u + 1]):
            if abs(value[e] - net[e] - due) > SAME:
                least = min(least, top - net[e])
        found[u] = least


def usage(menus: Menus, picks: IntArray, n_cells: int) -> IntArray:
    """(n_cells,) what the picked entries take."""
    _, cell, amount = picked(menus, picks[picks >= 0])
    return np.bincount(cell, weights=amount, minlength=n_cells).astype(np.int64)


def near(menus: Menus, net: FloatArray, reach: float, whole: npt.NDArray[np.bool_] | None = None) -> tuple[Menus, IntArray]:
    """The entries that are at most `reach` worse than their user's best (or nothing), and their places; all those of users of `whole`."""
    size, some = np.diff(menus.start), np.flatnonzero(np.diff(menus.start))
    least = np.maximum(np.maximum.reduceat(net, menus.start[some]), 0.0) - reach if len(some) else np.zeros(0)
    if whole is not None:
        least[whole[some]] = -np.inf
    entries = np.flatnonzero(net >= np.repeat(least, size[some]))
    start = np.searchsorted(entries, menus.start)
    return Menus(start, menus.value[entries], *picked(menus, entries)), entries


def joined(parts: Sequence[Menus]) -> Menus:
    """The users of all parts, in their order."""
    sizes, entries = [len(p.value) for p in parts], [len(p.cell) for p in parts]
    before = np.cumsum([0, *sizes])
    uses = np.cumsum([0, *entries])
    return Menus(
        start=np.concatenate([np.zeros(1, np.int64), *(p.start[1:] + before[i] for i, p in enumerate(parts))]),
        value=np.concatenate([np.zeros(0), *(p.value for p in parts)]),
        first=np.concatenate([np.zeros(1, np.int64), *(p.first[1:] + uses[i] for i, p in enumerate(parts))]),
        cell=np.concatenate([np.zeros(0, np.int32), *(p.cell for p in parts)]),
        amount=np.concatenate([np.zeros(0, np.int32), *(p.amount for p in parts)]),
    )


def merged(a: Menus, b: Menus, kept: npt.NDArray[np.bool_]) -> tuple[Menus, IntArray]:
    """The kept entries of the same users in both, those of `a` first, and their places among a's entries followed by b's (as `kept`)."""
    order, n = np.empty(len(kept), np.int64), len(a.value)
    order[np.arange(n) + np.repeat(b.start[:-1], np.diff(a.start))] = np.arange(n)
    order[np.arange(len(b.value)) + np.repeat(a.start[1:], np.diff(b.start))] = np.arange(n, len(kept))
    before = np.concatenate(([0], np.cumsum(kept[order])))
    both, order = joined([a, b]), order[kept[order]]
    return Menus(before[a.start + b.start], both.value[order], *picked(both, order)), order


def picked(menus: Menus, entries: IntArray) -> tuple[IntArray, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """first, cell and amount of some entries."""
    first = np.concatenate(([0], np.cumsum((menus.first[1:] - menus.first[:-1])[entries])))
    cell, amount = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
    _copy(menus.first, menus.cell, menus.amount, entries, first, cell, amount)
    return first, cell, amount


@kernel
def _copy(source: Any, cells: Any, amounts: Any, entries: Any, first: Any, cell: Any, amount: Any) -> None:
    for n in range(len(entries)):
        e, at = entries[n], first[n]
        for q in range(source[e], source[e + 1]):
            cell[at], amount[at] = cells[q], amounts[q]
            at += 1


def of_users(menus: Menus, users: npt.NDArray[np.bool_]) -> tuple[Menus, IntArray]:
    """The menus of some users, and the places of their entries."""
    size = np.diff(menus.start)
    if users.all():
        return menus, np.arange(len(menus.value))
    entries = np.flatnonzero(np.repeat(users, size))
    return Menus(np.concatenate(([0], np.cumsum(size[users]))), menus.value[entries], *picked(menus, entries)), entries
