"""Menus and rooms → who gets what, what that is worth at most, and better prices: a pure function of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.dual import Dual, find_prices
from notif_rec.planning.menu_table import Listed
from notif_rec.planning.menus import UNLIMITED, Menus, Rooms, best_entries, margins, net_values, of_users, usage
from notif_rec.planning.repair import fit_entries, pick_entries

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
CLOSE, CLOSE_A_CELL = 30_000, 100  # users of the closest calls, and for each cell, who alone are looked at where there are many more
TRIES, SETTLED = 6, 1e-4  # how often they find better prices at most; a share of D that is not worth another time


@dataclass(frozen=True)
class Allotment:
    """bits: what each user gets, bit i is the i-th offer. value: of all together. taken: of each cell. prices: better ones for a next
    pass; lowest: D there, as far as the menus know.
    """

    bits: npt.NDArray[np.uint64]
    value: float
    taken: IntArray
    prices: FloatArray
    lowest: float


def dual_bound(listed: Listed, rooms: Rooms, prices: FloatArray, share: float = 1.0) -> float:
    """D at the prices of the last pass: no plan of these users that keeps their share of the rooms is worth more."""
    return float(listed.bound.sum()) + share * _rent(rooms, prices)


def better_prices(listed: Listed, rooms: Rooms, start: FloatArray | None, share: float = 1.0) -> tuple[FloatArray, float]:
    """Prices of lowest D as far as the menus know, and D there; what chance chose pays no heed to prices."""
    others, chance = _apart(listed)
    left = _left(rooms, usage(chance, _first(chance), len(rooms.high)), share)
    dual = find_prices(others, left, start)
    return dual.prices, dual.value + float(chance.value.sum())


def allot(listed: Listed, rooms: Rooms, prices: FloatArray) -> Allotment:
    """What chance chose first, as far as there is room; then everybody else at prices as good as the menus know, from `prices` on."""
    n_cells, picks = len(rooms.high), np.full(len(listed.user), -1, dtype=np.int64)
    chance, places = of_users(listed.menus, listed.alone)
    drawn = fit_entries(chance, rooms._replace(low=np.zeros_like(rooms.low)), _first(chance))
    others, entries = of_users(listed.menus, ~listed.alone)
    left = _left(rooms, usage(chance, drawn, n_cells))
    chosen, better = _chosen(others, left, prices)
    for some, found, own in ((listed.alone, drawn, places), (~listed.alone, chosen, entries)):
        picks[some] = np.append(own, -1)[found]  # -1, nothing, stays -1
    bits = np.append(listed.bits, np.uint64(0))[picks]
    value, lowest = _worth(listed.menus, picks), better.value + _worth(chance, drawn)
    return Allotment(bits, value, usage(listed.menus, picks, n_cells), better.prices, lowest)


def _chosen(menus: Menus, rooms: Rooms, prices: FloatArray) -> tuple[IntArray, Dual]:
    """The entry of each user, within the rooms, and better prices. Of very many users the closest calls alone are looked at: they find
    the prices, and at these they make up for what all others choose.
    """
    most = max(CLOSE, CLOSE_A_CELL * len(prices))
    best = (np.inf, prices)
    for _ in range(TRIES if menus.n > 2 * most else 0):
        picks, few, places, left = _closest(menus, rooms, prices, most)
        net = net_values(menus, prices, rooms.unit)
        lowest = float(net[picks[picks >= 0]].sum()) + _rent(rooms, prices)
        if abs(best[0] - lowest) <= SETTLED * abs(lowest):  # better prices for these few are none for all
            picks[places[0]] = np.append(places[1], -1)[pick_entries(few, left, prices)]
            taken = usage(menus, picks, len(prices))
            if (taken <= rooms.high).all() and (taken >= rooms.low).all():
                return picks, Dual(prices, lowest)
        if lowest >= best[0]:  # the few lead astray
            break
        best = (lowest, prices)
        prices = find_prices(few, left, prices).prices
    dual = find_prices(menus, rooms, best[1])
    return pick_entries(menus, rooms, dual.prices), dual


def _closest(menus: Menus, rooms: Rooms, prices: FloatArray, most: int) -> tuple[IntArray, Menus, tuple[BoolArray, IntArray], Rooms]:
    """What everybody would choose at `prices`; the menus of those whom it costs least to choose otherwise, who they are and the places of
    their entries; and what the others leave of the rooms.
    """
    net = net_values(menus, prices, rooms.unit)
    picks = best_entries(menus, net)
    margin = margins(menus, net, picks)
    close = margin <= np.partition(margin, most)[most]
    few, entries = of_users(menus, close)
    return picks, few, (close, entries), _left(rooms, usage(menus, picks[~close], len(prices)))


def _rent(rooms: Rooms, prices: FloatArray) -> float:
    """What all rooms are worth at the prices."""
    per_unit, high = prices / rooms.unit, np.where(rooms.high < UNLIMITED, rooms.high, 0)
    return float((np.maximum(per_unit, 0.0) * high + np.minimum(per_unit, 0.0) * rooms.low).sum())


def _worth(menus: Menus, picks: IntArray) -> float:
    return float(menus.value[picks[picks >= 0]].sum())


def _apart(listed: Listed) -> tuple[Menus, Menus]:
    """The menus of those who choose, and of those for whom chance does."""
    return of_users(listed.menus, ~listed.alone)[0], of_users(listed.menus, listed.alone)[0]


def _first(menus: Menus) -> IntArray:
    """The first entry of each user, -1 where there is none."""
    return np.where(np.diff(menus.start) > 0, menus.start[:-1], -1)


def _left(rooms: Rooms, taken: IntArray, share: float = 1.0) -> Rooms:
    """A share of the rooms less what is taken."""
    low, high = (np.maximum(share * room - taken, 0.0) if share != 1.0 else np.maximum(room - taken, 0) for room in rooms[:2])
    return Rooms(low, np.where(rooms.high < UNLIMITED, high, UNLIMITED), rooms.unit)
