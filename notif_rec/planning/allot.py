"""Menus and rooms → who gets what, what that is worth at most, and better prices: a pure function of arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.dual import find_prices
from notif_rec.planning.menu_table import Listed
from notif_rec.planning.menus import UNLIMITED, Menus, Rooms, best_entries, margins, net_values, of_users, usage
from notif_rec.planning.repair import fit_entries, pick_entries

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
MISJUDGED = 3.0  # times √(cells / users of a sample): the share of all users whose choice a sample's prices may get wrong


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


def reach_of(listed: Listed, rooms: Rooms, prices: FloatArray) -> float:
    """How much worse than a user's best an entry may be and still matter: only so many have closer calls as the prices, which suit the
    users of this sample, may be wrong about.
    """
    menus, _ = of_users(listed.menus, ~listed.alone)
    net = net_values(menus, prices, rooms.unit)
    share = MISJUDGED * np.sqrt(len(prices) / max(1, menus.n))
    margin = margins(menus, net, best_entries(menus, net))
    return float(np.quantile(margin, share, method="higher")) if menus.n and share < 1.0 else np.inf


def allot(listed: Listed, rooms: Rooms, prices: FloatArray) -> Allotment:
    """What chance chose first, as far as there is room; then everybody else at prices as good as the menus know, from `prices` on."""
    n_cells, picks = len(rooms.high), np.full(len(listed.user), -1, dtype=np.int64)
    chance, places = of_users(listed.menus, listed.alone)
    drawn = fit_entries(chance, rooms._replace(low=np.zeros_like(rooms.low)), _first(chance))
    others, entries = of_users(listed.menus, ~listed.alone)
    left = _left(rooms, usage(chance, drawn, n_cells))
    better = find_prices(others, left, prices)
    chosen = pick_entries(others, left, better.prices)
    for some, found, own in ((listed.alone, drawn, places), (~listed.alone, chosen, entries)):
        picks[some] = np.append(own, -1)[found]  # -1, nothing, stays -1
    bits = np.append(listed.bits, np.uint64(0))[picks]
    value, lowest = _worth(listed.menus, picks), better.value + _worth(chance, drawn)
    return Allotment(bits, value, usage(listed.menus, picks, n_cells), better.prices, lowest)


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
