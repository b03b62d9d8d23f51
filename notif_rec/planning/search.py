"""Branch and bound over one user's offers, most gainful first."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner
from notif_rec.planning.limits import fits

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
    """Scratch space for users with up to `most` offers and `longest` known sends."""
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


@inner
def worth_of(bundle: Any, best: Any) -> float:
    """The value of a set less its prices, added up in the order of the bundle."""
    total = 0.0
    for j in range(bundle.n[0]):
        if best[j]:
            left = 1.0
            for i in range(bundle.n[0]):
                if best[i] and i != j:
                    left *= bundle.keeps[i, j]
            total += bundle.value[j] * left - bundle.price[j]
    return total


@inner
def search_best(bundle: Any, caps: Any, pool: Any, node_limit: int, s: Any) -> tuple[float, int]:
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
        if not fits(pick, depth, s.picks, bundle, caps, pool, s.times, s.flags):
            continue
        s.total[depth + 1] = (
            s.total[depth] + own - bundle.price[pick] - _loss(pick, depth, -1, s.picks, bundle.channel, bundle.value, bundle.keeps)
        )
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
def _loss(pick: int, depth: int, only: int, picks: Any, channel: Any, value: Any, keeps: Any) -> float:
    """What the first `depth` picks (of one channel, -1 = of all) lose because `pick` comes before them."""
    loss = 0.0
    for d in range(depth):
        other = picks[d]
        if keeps[pick, other] == 1.0 or (only >= 0 and channel[other] != only):
            continue
        left = value[other] * (1.0 - keeps[pick, other])
        for e in range(depth):
            if e != d:
                left *= keeps[picks[e], other]
        loss += left
    return loss


@inner
def _descend(depth: int, pick: int, bundle: Any, s: Any) -> None:
    """The next level: what is still ahead, agrees with `pick` and is worth more than its price."""
    n, offer, worth, gain, used, picks = 0, s.offer, s.worth, s.gain, s.used, s.picks
    channel, value, price, keeps, conflict, room = bundle.channel, bundle.value, bundle.price, bundle.keeps, bundle.conflict, bundle.room
    for k in range(s.at[depth], s.ahead[depth]):
        j = offer[depth, k]
        c = channel[j]
        if conflict[pick, j] or used[c] >= room[c]:
            continue
        left = worth[depth, k] * keeps[pick, j]
        if left <= price[j]:
            continue
        adds, m = left - price[j] - _loss(j, depth + 1, c, picks, channel, value, keeps), n
        while m > 0 and gain[depth + 1, m - 1] < adds:
            offer[depth + 1, m], worth[depth + 1, m] = offer[depth + 1, m - 1], worth[depth + 1, m - 1]
            gain[depth + 1, m] = gain[depth + 1, m - 1]
            m -= 1
        offer[depth + 1, m], worth[depth + 1, m], gain[depth + 1, m] = j, left, adds
        n += 1
    s.ahead[depth + 1], s.at[depth + 1] = n, 0


@inner
def _reach(depth: int, bundle: Any, s: Any) -> float:
    """No set of this level's picks and what is ahead is worth more.

    Per channel the best messages that its room allows, no two with the same content, the m-th more at what the best placed m-th
    keeps; of those of all channels the best that fit in the whole room.
    """
    offer, worth, alone, taken, gains = s.offer, s.worth, s.gain, s.taken, s.gains
    channel, content, price = bundle.channel, bundle.content, bundle.price
    n, n_channels, low, high = 0, len(s.used), s.at[depth], s.ahead[depth]
    for c in range(n_channels):
        keep, left = 1.0, bundle.room[c] - s.used[c]
        for m in range(left):
            best, best_gain = -1, 0.0
            for k in range(low, high):
                j = offer[depth, k]
                if channel[j] != c:
                    continue
                # a single message more is charged with what it takes from its channel's picks; of several the losses overlap
                gain = alone[depth, k] if left == 1 else worth[depth, k] - price[j]
                if gain > best_gain and not is_among(content[j], taken, m):
                    best, best_gain = j, gain
            if best < 0:
                break
            taken[m] = content[best]
            gains[n] = best_gain * keep
            keep *= bundle.spread[c]
            n += 1
    return float(s.total[depth] + _largest(gains, n, bundle.room[n_channels] - depth))


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
def is_among(wanted: int, row: Any, n: int) -> bool:
    """Whether one of the first n of `row` is `wanted`."""
    for i in range(n):  # noqa: SIM110
        if row[i] == wanted:
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
