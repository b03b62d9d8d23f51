"""The best set of a user's offers under all caps at once, exactly: branch and bound, value first.

Greedy by value is right only while caps nest; where they cross it loses up to a quarter of a user's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.bundle import Bundle, Past, Pool, fill_bundle, new_bundle
from notif_rec.planning.caps import Caps, Fatigues
from notif_rec.planning.compiled import inner, kernel

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
SAME = 1e-12  # values this close, relative to the larger, are equal: rounding must not decide


class Search(NamedTuple):
    """Scratch space of a search. Level d holds what may join the d picks so far, most gainful first.

    offer, worth, gain: (levels, offers) what may join, its value after the fatigue of known sends and picks, and what it adds:
    worth less price less what the picks of its own channel lose when it comes before them. ahead, at: how many, and the next to try.
    total: the value of the picks. used: messages per channel. best: 0/1, the best set so far. The rest is for single steps.
    """

    offer: IntArray
    worth: FloatArray
    gain: FloatArray
    ahead: IntArray
    at: IntArray
    picks: IntArray
    total: FloatArray
    used: IntArray
    best: npt.NDArray[np.uint8]
    gains: FloatArray
    taken: IntArray
    times: IntArray
    flags: npt.NDArray[np.uint8]


def new_search(most: int, n_channels: int, longest: int) -> Search:
    levels = most + 1
    return Search(
        offer=np.zeros((levels, most), dtype=np.int64),
        worth=np.zeros((levels, most)),
        gain=np.zeros((levels, most)),
        ahead=np.zeros(levels, dtype=np.int64),
        at=np.zeros(levels, dtype=np.int64),
        picks=np.zeros(levels, dtype=np.int64),
        total=np.zeros(levels),
        used=np.zeros(n_channels, dtype=np.int64),
        best=np.zeros(most, dtype=np.uint8),
        gains=np.zeros(levels),
        taken=np.zeros(levels, dtype=np.int64),
        times=np.zeros(longest + levels, dtype=np.int64),
        flags=np.zeros(longest + levels, dtype=np.uint8),
    )


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
    n_users, bundle, search = len(pool.start) - 1, *_scratch(pool, past, room, caps)
    chosen, value, bound, nodes = np.zeros(len(pool.us), dtype=np.bool_), *np.zeros((2, n_users)), np.zeros(n_users, dtype=np.int64)
    _select(pool, past, room, caps, fatigues, node_limit, bundle, search, chosen, value, bound, nodes)
    return Selection(chosen, value, bound, nodes)


def agreeing(pool: Pool, past: Past, room: IntArray, caps: Caps, fatigues: Fatigues, fixed: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(n_offers,) True where a usable offer of positive net value is feasible beside its user's `fixed` ones, which it is none of."""
    bundle, search = _scratch(pool, past, room, caps)
    agrees = np.zeros(len(pool.us), dtype=np.bool_)
    _agree(pool, past, room, caps, fatigues, bundle, search, fixed, agrees)
    return agrees


def _scratch(pool: Pool, past: Past, room: IntArray, caps: Caps) -> tuple[Bundle, Search]:
    most, longest = int(np.diff(pool.start).max(initial=0)) + 1, int(np.diff(past.start).max(initial=0))
    return new_bundle(most, len(caps.rule), room.shape[1], longest), new_search(most, room.shape[1], longest)


@kernel
def _select(
    pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, node_limit: int, bundle: Any, search: Any, chosen: Any, value: Any,
    bound: Any, nodes: Any,
) -> None:  # fmt: skip
    for u in range(len(pool.start) - 1):
        fill_bundle(u, pool, past, room[u], caps, fatigues, bundle)
        reach, nodes[u] = _search(bundle, caps, pool, node_limit, search)
        value[u] = _worth_of(bundle, search.best)
        bound[u] = max(reach, value[u])
        for i in range(bundle.n[0]):
            if search.best[i]:
                chosen[bundle.row[i]] = True


@kernel
def _agree(pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, bundle: Any, search: Any, fixed: Any, agrees: Any) -> None:
    for u in range(len(pool.start) - 1):
        fill_bundle(u, pool, past, room[u], caps, fatigues, bundle)
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
            agrees[bundle.row[i]] = free and _fits(i, depth, bundle, caps, pool, search)


@inner
def _worth_of(bundle: Any, best: Any) -> float:
    """The value of a set less its prices, added up in the order of the bundle."""
    total = 0.0
    for j in range(bundle.n[0]):
        if best[j]:
            left = 1.0
            for i in range(bundle.n[0]):
                if best[i] and i != j:
                    left *= bundle.tired[i, j]
            total += bundle.value[j] * left - bundle.price[j]
    return total


@inner
def _search(bundle: Any, caps: Any, pool: Any, node_limit: int, s: Any) -> tuple[float, int]:
    """Marks the best set in s.best; returns an upper bound and the number of steps.

    Every set is met once: what a level has tried is out of reach for those after it.
    """
    n = bundle.n[0]
    for c in range(len(s.used)):
        s.used[c] = 0
    for i in range(n):
        s.best[i] = 0
        s.offer[0, i], s.worth[0, i], s.gain[0, i] = i, bundle.value[i], bundle.value[i] - bundle.price[i]
    s.ahead[0], s.at[0], s.total[0] = n, 0, 0.0
    depth, steps, top = 0, 0, 0.0
    while depth >= 0:
        if _reach(depth, bundle, s) <= top + SAME * top:
            depth -= 1
            if depth >= 0:
                s.used[bundle.channel[s.picks[depth]]] -= 1
            continue
        if steps >= node_limit:
            return _open_bound(depth, top, bundle, s), steps
        steps += 1
        pick, own = s.offer[depth, s.at[depth]], s.worth[depth, s.at[depth]]
        s.at[depth] += 1
        s.picks[depth] = pick
        if not _fits(pick, depth, bundle, caps, pool, s):
            continue
        s.total[depth + 1] = s.total[depth] + own - bundle.price[pick] - _loss(pick, depth, -1, bundle, s)
        s.used[bundle.channel[pick]] += 1
        if s.total[depth + 1] > top + SAME * top:
            top = s.total[depth + 1]
            _keep(n, depth + 1, s)
        _descend(depth, pick, bundle, s)
        depth += 1
    return top, steps


@inner
def _keep(n: int, n_picks: int, s: Any) -> None:
    for i in range(n):
        s.best[i] = 0
    for d in range(n_picks):
        s.best[s.picks[d]] = 1


@inner
def _loss(pick: int, depth: int, channel: int, bundle: Any, s: Any) -> float:
    """What the first `depth` picks (of one channel, -1 = of all) lose because `pick` comes before them."""
    loss = 0.0
    for d in range(depth):
        other = s.picks[d]
        if bundle.tired[pick, other] == 1.0 or (channel >= 0 and bundle.channel[other] != channel):
            continue
        left = bundle.value[other] * (1.0 - bundle.tired[pick, other])
        for e in range(depth):
            if e != d:
                left *= bundle.tired[s.picks[e], other]
        loss += left
    return loss


@inner
def _descend(depth: int, pick: int, bundle: Any, s: Any) -> None:
    """The next level: what is still ahead, agrees with `pick` and is worth more than its price."""
    n, offer, worth, gain = 0, s.offer[depth + 1], s.worth[depth + 1], s.gain[depth + 1]
    for k in range(s.at[depth], s.ahead[depth]):
        j = s.offer[depth, k]
        c = bundle.channel[j]
        if bundle.conflict[pick, j] or s.used[c] >= bundle.room[c]:
            continue
        left = s.worth[depth, k] * bundle.tired[pick, j]
        if left <= bundle.price[j]:
            continue
        adds = left - bundle.price[j] - _loss(j, depth + 1, c, bundle, s)
        m = n
        while m > 0 and gain[m - 1] < adds:
            offer[m], worth[m], gain[m] = offer[m - 1], worth[m - 1], gain[m - 1]
            m -= 1
        offer[m], worth[m], gain[m] = j, left, adds
        n += 1
    s.ahead[depth + 1], s.at[depth + 1] = n, 0


@inner
def _reach(depth: int, bundle: Any, s: Any) -> float:
    """No set of this level's picks and what is ahead is worth more.

    Per channel the best messages that its room allows, no two with the same content, the m-th more at what the best placed m-th
    keeps; of those of all channels the best that fit in the whole room.
    """
    n, n_channels = 0, len(s.used)
    for c in range(n_channels):
        keep, left = 1.0, bundle.room[c] - s.used[c]
        for m in range(left):
            best, best_gain = -1, 0.0
            for k in range(s.at[depth], s.ahead[depth]):
                j = s.offer[depth, k]
                if bundle.channel[j] != c:
                    continue
                # a single message more is charged with what it takes from its channel's picks; of several the losses overlap
                gain = s.gain[depth, k] if left == 1 else s.worth[depth, k] - bundle.price[j]
                if gain > best_gain and not (m > 0 and _is_taken(bundle.content[j], s.taken, m)):
                    best, best_gain = j, gain
            if best < 0:
                break
            s.taken[m] = bundle.content[best]
            s.gains[n] = best_gain * keep
            keep *= bundle.spread[c]
            n += 1
    return float(s.total[depth] + _largest(s.gains, n, bundle.room[n_channels] - depth))


@inner
def _largest(gains: Any, n: int, room: int) -> float:
    """The sum of the `room` largest of the first n gains."""
    total = 0.0
    for i in range(n):
        total += gains[i]
    for _ in range(n - max(room, 0)):
        low = 0
        for i in range(n):
            if gains[i] < gains[low]:
                low = i
        total -= gains[low]
        gains[low] = np.inf
    return total


@inner
def _is_taken(content: int, taken: Any, n: int) -> bool:
    for i in range(n):  # noqa: SIM110
        if taken[i] == content:
            return True
    return False


@inner
def _open_bound(depth: int, top: float, bundle: Any, s: Any) -> float:
    """The largest reach of what the search left open, from the deepest level up."""
    bound = top
    for d in range(depth, -1, -1):
        bound = max(bound, _reach(d, bundle, s))
        if d > 0:
            s.used[bundle.channel[s.picks[d - 1]]] -= 1
    return bound


@inner
def _fits(pick: int, depth: int, bundle: Any, caps: Any, pool: Any, s: Any) -> bool:
    """Whether `pick` keeps every limit beside the picks so far and the known sends."""
    for g in range(bundle.n[1]):
        if bundle.member[g, pick] == 0:
            continue
        c = bundle.limit_cap[g]
        if caps.per[c] > 0:
            if not _fits_period(pick, depth, s.picks, g, caps.per[c], caps.maximum[c], bundle, pool):
                return False
        elif not _fits_window(pick, depth, s.picks, g, caps.window_us[c], caps.maximum[c], bundle, s.times, s.flags):
            return False
    return True


@inner
def _fits_period(pick: int, depth: int, picks: Any, g: int, per: int, maximum: int, bundle: Any, pool: Any) -> bool:
    period = pool.period[per, bundle.row[pick]]
    n, bound = 1, bundle.member[g, pick] == 2
    for k in range(bundle.n_known[g]):
        n += bundle.known[g, k] == period
    for d in range(depth):
        if bundle.member[g, picks[d]] > 0 and pool.period[per, bundle.row[picks[d]]] == period:
            n += 1
            bound = bound or bundle.member[g, picks[d]] == 2
    return not (bound and n > maximum)


@inner
def _fits_window(pick: int, depth: int, picks: Any, g: int, window: int, maximum: int, bundle: Any, times: Any, flags: Any) -> bool:
    """No `maximum` + 1 sends in a row, one of the picks bound among them, lie within less than the window."""
    n = bundle.n_known[g]
    for k in range(n):
        times[k], flags[k] = bundle.known[g, k], 0
    for d in range(depth + 1):
        i = pick if d == depth else picks[d]
        if bundle.member[g, i] == 0:
            continue
        k = n
        while k > 0 and times[k - 1] > bundle.us[i]:
            times[k], flags[k] = times[k - 1], flags[k - 1]
            k -= 1
        times[k], flags[k] = bundle.us[i], bundle.member[g, i] == 2
        n += 1
    for k in range(n - maximum):
        if times[k + maximum] - times[k] < window:
            for i in range(k, k + maximum + 1):
                if flags[i]:
                    return False
    return True
