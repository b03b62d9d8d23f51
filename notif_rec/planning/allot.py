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
MISJUDGED, LEAST = 3.0, 0.25  # times √(cells / users of a sample), at least: the share of users whose choice its prices may get wrong


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


def net_of_choosers(listed: Listed) -> float:
    """What the best sets of those who choose are worth at most at the prices of the last pass, prices paid."""
    return float(listed.bound[~listed.alone].sum())


def dual_bound(listed: Listed, rooms: Rooms, prices: FloatArray, share: float = 1.0, net: float | None = None) -> float:
    """D at `prices`: no plan of these users that keeps their share of the rooms, and gives what chance drew where it fits, is worth more.

    net: as net_of_choosers at `prices`, where these are not those of the last pass.
    """
    draws = _draws(listed, rooms, share)
    per_unit, high = prices / rooms.unit, np.where(rooms.high < UNLIMITED, rooms.high, 0)
    rent = np.maximum(per_unit, 0.0) * high + np.minimum(per_unit, 0.0) * rooms.low
    return (net_of_choosers(listed) if net is None else net) + draws.worth + float((share * rent - per_unit * draws.taken).sum())


def better_prices(listed: Listed, rooms: Rooms, start: FloatArray | None, share: float = 1.0) -> tuple[FloatArray, float]:
    """Prices of lowest D as far as the menus know, and D there; what chance chose pays no heed to prices."""
    draws = _draws(listed, rooms, share)
    dual = find_prices(of_users(listed.menus, ~listed.alone)[0], _left(rooms, draws.taken, share), start)
    return dual.prices, dual.value + draws.worth


@dataclass(frozen=True)
class _Draws:
    """entries: what those for whom chance decides get, places among those of all users, -1 = nothing; what that takes, and is worth."""

    entries: IntArray
    taken: IntArray
    worth: float


def _draws(listed: Listed, rooms: Rooms, share: float) -> _Draws:
    """What chance chose, as far as a share of the rooms has place for it."""
    chance, places = of_users(listed.menus, listed.alone)
    high = np.where(rooms.high < UNLIMITED, share * rooms.high, UNLIMITED).astype(np.int64)
    picks = fit_entries(chance, Rooms(np.zeros_like(rooms.low), high, rooms.unit), _first(chance))
    return _Draws(np.append(places, -1)[picks], usage(chance, picks, len(high)), float(chance.value[picks[picks >= 0]].sum()))


def reach_of(listed: Listed, rooms: Rooms, prices: FloatArray) -> float:
    """How much worse than a user's best an entry may be and still matter: only so many have closer calls as the prices, which suit the
    users of this sample, may be wrong about.
    """
    menus, _ = of_users(listed.menus, ~listed.alone)
    net = net_values(menus, prices, rooms.unit)
    share = max(LEAST, MISJUDGED * np.sqrt(len(prices) / max(1, menus.n)))
    margin = margins(menus, net, best_entries(menus, net))
    return float(np.quantile(margin, share, method="higher")) if menus.n and share < 1.0 else np.inf


def allot(listed: Listed, rooms: Rooms, prices: FloatArray) -> Allotment:
    """What chance chose first, as far as there is room; then everybody else at prices as good as the menus know, from `prices` on."""
    draws, (others, places) = _draws(listed, rooms, 1.0), of_users(listed.menus, ~listed.alone)
    left, picks = _left(rooms, draws.taken), np.empty(len(listed.user), dtype=np.int64)
    better = find_prices(others, left, prices)
    picks[listed.alone] = draws.entries
    picks[~listed.alone] = np.append(places, -1)[pick_entries(others, left, better.prices)]  # -1, nothing, stays -1
    bits, value = np.append(listed.bits, np.uint64(0))[picks], float(listed.menus.value[picks[picks >= 0]].sum())
    return Allotment(bits, value, usage(listed.menus, picks, len(rooms.high)), better.prices, better.value + draws.worth)


def _first(menus: Menus) -> IntArray:
    """The first entry of each user, -1 where there is none."""
    return np.where(np.diff(menus.start) > 0, menus.start[:-1], -1)


def _left(rooms: Rooms, taken: IntArray, share: float = 1.0) -> Rooms:
    """A share of the rooms less what is taken."""
    low, high = (np.maximum(share * room - taken, 0.0) if share != 1.0 else np.maximum(room - taken, 0) for room in rooms[:2])
    return Rooms(low, np.where(rooms.high < UNLIMITED, high, UNLIMITED), rooms.unit)
