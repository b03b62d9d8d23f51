"""The best set of a user's offers under all caps at once, exactly.

Greedy by value is right only while caps nest; where they cross it loses up to a quarter of a user's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Bundle, Past, Pool, fill_bundle, new_bundle
from notif_rec.planning.caps import Caps, Fatigues
from notif_rec.planning.compiled import kernel
from notif_rec.planning.limits import fits
from notif_rec.planning.search import Search, new_search, search_best, worth_of
from notif_rec.planning.tiring import Tiring, new_tiring

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Selection:
    """chosen: (n_offers,) True where a user's best set holds the offer.

    value: (n_users,) Σ value × discount − price; bound: no feasible set is worth more (equal to value unless the node limit
    stopped the search); nodes: search steps.
    """

    chosen: npt.NDArray[np.bool_]
    value: FloatArray
    bound: FloatArray
    nodes: IntArray


def select(pool: Pool, past: Past, room: IntArray, caps: Caps, fatigues: Fatigues, node_limit: int) -> Selection:
    """The best feasible set of every user. room: (n_users, n_channels) messages that max_sends still allows.

    Each usable offer must be feasible alone, beside the sends in `past`; the order of a user's offers is of no consequence.
    """
    n_users, (bundle, tiring, search) = len(pool.start) - 1, _scratch(pool, past, room, caps, fatigues)
    chosen, value, bound, nodes = np.zeros(len(pool.us), dtype=np.bool_), *np.zeros((2, n_users)), np.zeros(n_users, dtype=np.int64)
    _select(pool, past, room, caps, fatigues, node_limit, bundle, tiring, search, chosen, value, bound, nodes)
    return Selection(chosen, value, bound, nodes)


def agreeing(pool: Pool, past: Past, room: IntArray, caps: Caps, fatigues: Fatigues, fixed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n_offers,) True where a usable offer of positive net value is feasible beside its user's `fixed` ones, which it is none of."""
    bundle, tiring, search = _scratch(pool, past, room, caps, fatigues)
    agrees = np.zeros(len(pool.us), dtype=np.bool_)
    _agree(pool, past, room, caps, fatigues, bundle, tiring, search, fixed, agrees)
    return agrees


def _scratch(pool: Pool, past: Past, room: IntArray, caps: Caps, fatigues: Fatigues) -> tuple[Bundle, Tiring, Search]:
    most, longest = int(np.diff(pool.start).max(initial=0)) + 1, int(np.diff(past.start).max(initial=0))
    bundle, search = new_bundle(most, len(caps.rule), room.shape[1], longest), new_search(most, room.shape[1], longest)
    return bundle, new_tiring(most, len(fatigues.keep)), search


@kernel
def _select(
    pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, node_limit: int, bundle: Any, tiring: Any, search: Any, chosen: Any,
    value: Any, bound: Any, nodes: Any,
) -> None:  # fmt: skip
    for u in range(len(pool.start) - 1):
        fill_bundle(u, pool, past, room[u], caps, fatigues, tiring, bundle)
        reach, nodes[u] = search_best(bundle, caps, pool, node_limit, search)
        value[u] = worth_of(bundle, search.best)
        bound[u] = max(reach, value[u])
        for i in range(bundle.n[0]):
            if search.best[i]:
                chosen[bundle.row[i]] = True


@kernel
def _agree(
    pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, bundle: Any, tiring: Any, search: Any, fixed: Any, agrees: Any
) -> None:
    for u in range(len(pool.start) - 1):
        fill_bundle(u, pool, past, room[u], caps, fatigues, tiring, bundle)
        depth = 0
        for c in range(room.shape[1]):
            search.used[c] = 0
        for i in range(bundle.n[0]):
            if fixed[bundle.row[i]]:
                search.picks[depth] = i
                search.used[bundle.channel[i]] += 1
                depth += 1
        for i in range(bundle.n[0]):
            free = not fixed[bundle.row[i]] and search.used[bundle.channel[i]] < bundle.room[bundle.channel[i]]
            for d in range(depth):
                free = free and not bundle.conflict[i, search.picks[d]]
            search.picks[depth] = i
            agrees[bundle.row[i]] = free and fits(i, depth, search.picks, bundle, caps, pool, search.times, search.flags)
