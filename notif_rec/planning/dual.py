"""Prices at which users' own choices just fit the quotas, by accelerated gradient steps on the smoothed dual.

The dual D(λ) = Σ over users of their best net value + Σ over cells of λ × room is at least the value of every plan that keeps the
quotas, at any λ; the lowest is sought. Source: Basu et al., "ECLIPSE", KDD'20 (the split into users and prices and the smoothing); Beck and
Teboulle, "FISTA", 2009; O'Donoghue and Candès, "Adaptive restart for accelerated gradient schemes", 2015.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import kernel
from notif_rec.planning.menus import UNLIMITED, Menus, Rooms, near, net_values, of_users, usage

FloatArray = npt.NDArray[np.float64]
SMOOTH, SHARP = 0.1, 0.001  # temperatures, as shares of a usual entry's value: the first and the last step's
WARM = 0.1  # of the first temperature, where prices are known
STEPS, FEWER = 80, 60  # … and where prices are known
QUICK = 0.5  # share of the steps that many users need: a step too few moves the price of a few of them
SOFTENED = 0.6  # share of the steps over which the temperature falls
LEAST_SLOPE = 0.01  # of a cell's demand (or room) over the temperature: no step is longer than this slope would make it
FARTHEST = 1.0  # usual values that a price moves at most in one step
LARGE = 20_000  # entries, from which on the last steps look at near ones alone
REACH, ZOOMS = 0.1, 3  # usual values that a near entry is below the best at most; how often these are chosen anew at most
SAME_VALUE = 1e-6  # of D: what was left out then changes nothing
NEGLIGIBLE = 30.0  # temperatures below the best entry: e^-30 of its weight


@dataclass(frozen=True)
class Dual:
    """prices: (n_cells,) per unit, below 0 where a minimum must be paid for. value: D there, not smoothed."""

    prices: FloatArray
    value: float


def find_prices(menus: Menus, rooms: Rooms, start: FloatArray | None = None, steps: int = 0) -> Dual:
    """Prices of lowest D; where none make all quotas fit, those that come nearest in `steps` steps (0: as many as are usual).

    start: prices to begin at, with which the temperature begins lower. Of large menus the last steps look at the entries that are near
    the best alone; where it shows in the end that others mattered, they are made again from there.
    """
    price = np.zeros(len(rooms.high)) if start is None else np.clip(start, *_range(rooms))
    usual = float(menus.value[menus.start[:-1][np.diff(menus.start) > 0]].mean()) if len(menus.value) else 0.0
    if usual <= 0.0 or not len(price):
        return Dual(price, 0.0)
    large = len(menus.value) > LARGE
    share = QUICK if large else 1.0
    first, steps = (SMOOTH, steps or int(STEPS * share)) if start is None else (SMOOTH * WARM, steps or int(FEWER * share))
    heats = usual * np.maximum(SHARP, first * (SHARP / first) ** (np.arange(steps) / (SOFTENED * steps)))
    whole = _Scaled(menus, rooms, usual)
    wide = heats > usual * SMOOTH * WARM if large else np.ones(steps, dtype=np.bool_)
    best, heats = _lowest(whole, rooms, price, heats[wide]), heats[~wide]
    for _ in range(ZOOMS if large else 0):
        close = _close(menus, rooms, best.prices, usual)
        found = _lowest(close, rooms, best.prices, heats)
        exact, _ = whole.measure(found.prices, usual * SHARP)
        if exact >= best.value:
            if found.value >= best.value * (1.0 - SAME_VALUE):
                return best  # nothing near is better
            found = _lowest(whole, rooms, best.prices, heats)  # too far a way for what is near
            return min(best, found, key=lambda dual: dual.value)
        best, heats = replace(found, value=exact), heats[heats <= usual * SHARP]
        if exact - found.value <= SAME_VALUE * abs(exact):
            break
    return best


def _lowest(scaled: _Scaled, rooms: Rooms, price: FloatArray, heats: FloatArray) -> Dual:
    """The best prices met on the way down from `price`, one step a temperature."""
    best, momentum, ahead, last = (price, np.inf), 1.0, price.copy(), np.inf
    for heat in heats:
        exact, soft = scaled.measure(ahead, heat)
        if exact < best[1]:
            best = (ahead.copy(), exact)
        moved = scaled.moved(ahead, heat)
        momentum = 1.0 if soft > last else momentum
        following, last = (1.0 + np.sqrt(1.0 + 4.0 * momentum * momentum)) / 2.0, soft
        ahead = np.clip(moved + (momentum - 1.0) / following * (moved - price), *_range(rooms))
        price, momentum = moved, following
    exact, _ = scaled.measure(price, scaled.usual * SHARP)
    return Dual(*min(best, (price, exact), key=lambda found: found[1]))


def _range(rooms: Rooms) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest price that each cell may have."""
    return np.where(rooms.low > 0, -np.inf, 0.0), np.where(rooms.high < UNLIMITED, np.inf, 0.0)


def _close(menus: Menus, rooms: Rooms, price: FloatArray, usual: float) -> _Scaled:
    """The menus cut down to what is near the best at `price`; users to whom nothing else is near choose that, whatever the price."""
    few, _ = near(menus, net_values(menus, price, rooms.unit), REACH * usual)
    size, net = np.diff(few.start), np.append(net_values(few, price, rooms.unit), 0.0)
    clear = (size == 0) | (size == 1) & (net[few.start[:-1]] > REACH * usual)
    sure = few.start[:-1][clear & (size == 1)]
    return _Scaled(of_users(few, ~clear)[0], rooms, usual, usage(few, sure, len(price)) / rooms.unit, float(few.value[sure].sum()))


class _Scaled:
    """The menus, and the rooms in units; demand and curvature of the last look. sure, worth: what others take, and what that is worth."""

    def __init__(self, menus: Menus, rooms: Rooms, usual: float, sure: FloatArray | float = 0.0, worth: float = 0.0) -> None:
        self.menus, self.usual, self.sure, self.worth = menus, usual, sure, worth
        self.low, self.high = rooms.low / rooms.unit, rooms.high / rooms.unit
        self.limited, self.unit = rooms.high < UNLIMITED, rooms.unit
        self.demand, self.curve = np.zeros(len(self.low)), np.zeros(len(self.low))
        most = int(np.diff(menus.start).max(initial=1))
        self.scratch = np.zeros((2, most))

    def measure(self, price: FloatArray, heat: float) -> tuple[float, float]:
        """D at `price`, without and with smoothing."""
        exact, soft = _look(self.menus, price / self.unit, 1.0 / self.unit, heat, self.demand, self.curve, self.scratch)
        self.demand += self.sure
        rent = np.where(price > 0, price * np.where(self.limited, self.high, 0.0), price * self.low)
        fixed = self.worth + float((rent - price * self.sure).sum())
        return exact + fixed, soft + fixed

    def moved(self, price: FloatArray, heat: float) -> FloatArray:
        """One step down from `price`, each cell by its own curvature; a price stops at 0 where it is neither dear nor due."""
        size = np.maximum(np.maximum(self.demand, np.where(self.limited, self.high, 0.0)), np.maximum(self.low, 1.0))
        slope = np.maximum(self.curve, LEAST_SLOPE * size) / heat
        far = FARTHEST * self.usual
        over = np.where(self.limited, price + np.clip((self.demand - self.high) / slope, -far, far), 0.0)
        short = price + np.clip((self.demand - self.low) / slope, -far, far)
        return np.where(over > 0, over, np.where((short < 0) & (self.low > 0), short, 0.0))


@kernel
def _look(menus: Any, price: Any, per_unit: Any, heat: float, demand: Any, curve: Any, scratch: Any) -> tuple[float, float]:
    """Σ over users of the best net value, sharp and smoothed; fills the smoothed demand of each cell and its curvature × heat.

    Entries weigh e^(net / heat), and nothing e^0. A cell's curvature is that of its own price, times the cells that an entry takes
    together with it (Gershgorin: the diagonal then outweighs the Hessian), halved: a step that is too long begins the momentum anew.
    """
    start, value, first, cell, amount = menus.start, menus.value, menus.first, menus.cell, menus.amount
    net, weight = scratch[0], scratch[1]
    demand[:], curve[:] = 0.0, 0.0
    exact, soft = 0.0, 0.0
    for u in range(len(start) - 1):
        low, high, top = start[u], start[u + 1], 0.0
        for e in range(low, high):
            worth = value[e]
            for q in range(first[e], first[e + 1]):
                worth -= price[cell[q]] * amount[q]
            net[e - low] = worth
            top = max(top, worth)
        total = np.exp(-top / heat) if top < NEGLIGIBLE * heat else 0.0
        for e in range(high - low):
            far = (top - net[e]) / heat
            weight[e] = np.exp(-far) if far < NEGLIGIBLE else 0.0
            total += weight[e]
        exact += top
        soft += top + heat * np.log(total)
        for e in range(low, high):
            p = weight[e - low] / total
            if p == 0.0:
                continue
            bend = 0.5 * p * (1.0 - p) * (first[e + 1] - first[e])
            for q in range(first[e], first[e + 1]):
                taken = amount[q] * per_unit[cell[q]]
                demand[cell[q]] += p * taken
                curve[cell[q]] += bend * taken * taken
    return exact, soft
