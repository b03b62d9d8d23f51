"""From prices to a plan that keeps every quota: who moves to another entry of the menu so that least is lost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.menus import IntArray, Menus, Rooms, best_entries, net_values, usage

FloatArray = npt.NDArray[np.float64]
RELIEVE, TRIM, FORCE, MEET, IMPROVE = range(5)  # what a round of moves is for
ROUNDS = 6  # of each kind at most; a round in which nobody moves is the last
NOTHING = -1


def pick_entries(menus: Menus, rooms: Rooms, prices: FloatArray) -> IntArray:
    """(n_users,) the entry that each user gets, NOTHING = none: within every high, and at every low that moves by the menus can reach.

    Users begin with what they would choose at `prices`. Where that takes too much, those move who lose least for the relief; where it
    takes too little, those who lose least for what they add; then whoever gains fills what is left. Ties go by the order of users.
    """
    net = net_values(menus, prices, rooms.unit)
    return _moved((RELIEVE, FORCE, MEET, IMPROVE), menus, rooms, net, best_entries(menus, net))


def fit_entries(menus: Menus, rooms: Rooms, picks: IntArray) -> IntArray:
    """The picks, whatever they are worth; where the highs have no room for all, other entries, and nothing only where that does not do."""
    return _moved((TRIM, FORCE), menus, rooms, menus.value, picks.copy())


def _moved(purposes: Sequence[int], menus: Menus, rooms: Rooms, net: FloatArray, picks: IntArray) -> IntArray:
    taken = usage(menus, picks, len(rooms.high))
    for purpose in purposes:
        rounds = len(picks) if purpose == FORCE else ROUNDS
        while rounds and _round(purpose, menus, rooms, net, picks, taken):
            rounds -= 1
    return picks


def _round(purpose: int, menus: Menus, rooms: Rooms, net: FloatArray, picks: IntArray, taken: IntArray) -> int:
    """Moves users, each once at most, the cheapest first; returns how many moved. Changes `picks` and `taken`."""
    if purpose <= FORCE and not (taken > rooms.high).any():
        return 0
    if purpose == MEET and not (taken < rooms.low).any():
        return 0
    entry, cost = np.full(menus.n, NOTHING, dtype=np.int64), np.full(menus.n, np.inf)
    change = np.zeros(len(taken), dtype=np.int64)
    _scan(purpose, menus, net, picks, taken, rooms, change, entry, cost)
    movers = np.flatnonzero(cost < np.inf)
    order = movers[np.argsort(cost[movers], kind="stable")]
    return int(_move(purpose, order, entry, menus, rooms, picks, taken, change))


@kernel
def _scan(purpose: int, menus: Any, net: Any, picks: Any, taken: Any, rooms: Any, change: Any, entry: Any, cost: Any) -> None:
    """Fills, for each user, the allowed move that costs least for what it does."""
    start, value = menus.start, menus.value
    for u in range(len(picks)):
        own, own_net, own_value = picks[u], 0.0, 0.0
        if purpose <= FORCE and not _is_over(own, menus, rooms, taken):
            continue  # nothing to relieve
        if own >= 0:
            own_net, own_value = net[own], value[own]
        for e in range(start[u] - 1, start[u + 1]):
            to = NOTHING if e < start[u] else e
            if to == own or (purpose == FORCE and to != NOTHING) or (purpose == TRIM and to == NOTHING):
                continue
            to_net, to_value = (net[to], value[to]) if to >= 0 else (0.0, 0.0)
            if purpose == IMPROVE and to_value <= own_value:
                continue
            done = _effect(purpose, own, to, menus, rooms, taken, change)
            if done > 0.0 and (own_net - to_net) / done < cost[u]:
                entry[u], cost[u] = to, (own_net - to_net) / done


@kernel
def _move(purpose: int, order: Any, entry: Any, menus: Any, rooms: Any, picks: Any, taken: Any, change: Any) -> int:
    moved = 0
    for u in order:
        if _effect(purpose, picks[u], entry[u], menus, rooms, taken, change) > 0.0:
            _take(picks[u], -1, menus, taken)
            _take(entry[u], 1, menus, taken)
            picks[u] = entry[u]
            moved += 1
    return moved


@inner
def _take(entry: int, sign: int, menus: Any, taken: Any) -> None:
    if entry >= 0:
        for q in range(menus.first[entry], menus.first[entry + 1]):
            taken[menus.cell[q]] += sign * menus.amount[q]


@inner
def _is_over(entry: int, menus: Any, rooms: Any, taken: Any) -> bool:
    """Whether an entry takes of a cell of which too much is taken."""
    if entry >= 0:
        for q in range(menus.first[entry], menus.first[entry + 1]):
            if taken[menus.cell[q]] > rooms.high[menus.cell[q]]:
                return True
    return False


@inner
def _effect(purpose: int, own: int, to: int, menus: Any, rooms: Any, taken: Any, change: Any) -> float:
    """How much a move does for its purpose, in units, 0 where it does nothing or is not allowed. `change` is all 0 before and after."""
    _take(own, -1, menus, change)
    _take(to, 1, menus, change)
    done, allowed = 1.0 if purpose == IMPROVE else 0.0, True
    for turn in range(2):
        e = own if turn == 0 else to
        if e < 0:
            continue
        for q in range(menus.first[e], menus.first[e + 1]):
            c = menus.cell[q]
            by, high, low, unit = change[c], rooms.high[c], rooms.low[c], rooms.unit[c]
            change[c] = 0
            if by < 0:
                if taken[c] > high and purpose <= FORCE:
                    done += min(-by, taken[c] - high) / unit
                allowed = allowed and (purpose == FORCE or taken[c] + by >= low)
            elif by > 0:
                if taken[c] < low and purpose == MEET:
                    done += min(by, low - taken[c]) / unit
                allowed = allowed and taken[c] + by <= high
    return done if allowed else 0.0
