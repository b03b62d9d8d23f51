"""One user's offers as a small problem: who excludes whom, who tires whom, and which counts are limited."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.blocking import is_bound, is_counted
from notif_rec.planning.compiled import inner, kernel

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Pool(NamedTuple):
    """Sends to choose from, of a whole batch; user u owns rows start[u] to start[u + 1].

    value: before fatigue. price: what it pays for quotas. content: equal ones of a user exclude each other, and so do those
    of one channel that share an item. item: (n, widest) with -1 beyond its size. period: (len(PER), n) calendar periods. usable: 0/1. order: place of its channel's name.
    """

    start: IntArray
    channel: IntArray
    item_class: IntArray
    us: IntArray
    content: IntArray
    categories: npt.NDArray[np.uint64]
    item: npt.NDArray[np.int32]
    period: IntArray
    value: FloatArray
    price: FloatArray
    tie: IntArray
    order: IntArray
    usable: npt.NDArray[np.uint8]


class Past(NamedTuple):
    """Sends already known, as in users.Sends, with their calendar periods (len(PER), n)."""

    start: IntArray
    us: IntArray
    channel: npt.NDArray[np.int8]
    item_class: npt.NDArray[np.int8]
    categories: npt.NDArray[np.uint64]
    period: IntArray


class Bundle(NamedTuple):
    """One user's usable offers, best net value first, ties by `tie`; n[0] of them. Scratch, filled again for every user.

    row: its place in the pool. value: after the fatigue of known sends. price. conflict: (n, n) 0/1. tired: (n, n), [i, j] what
    choosing i leaves of j's value. limits: n[1] caps that count beyond pairs: limit_cap their rows in Caps, member (limits, n)
    0 = not counted, 1 = counted, 2 = bound too; known (limits, …) sorted times, or periods, of known sends; n_known how many.
    room: messages per channel, and last altogether, that no set exceeds. spread: what a channel's best placed second one keeps.
    """

    n: IntArray
    row: IntArray
    channel: IntArray
    content: IntArray
    us: IntArray
    value: FloatArray
    price: FloatArray
    conflict: npt.NDArray[np.uint8]
    tired: FloatArray
    limit_cap: IntArray
    member: npt.NDArray[np.uint8]
    known: IntArray
    n_known: IntArray
    room: IntArray
    spread: FloatArray


def new_bundle(most: int, n_caps: int, n_channels: int, longest: int) -> Bundle:
    """Scratch space for users with up to `most` offers and `longest` known sends."""
    return Bundle(
        n=np.zeros(2, dtype=np.int64),
        row=np.zeros(most, dtype=np.int64),
        channel=np.zeros(most, dtype=np.int64),
        content=np.zeros(most, dtype=np.int64),
        us=np.zeros(most, dtype=np.int64),
        value=np.zeros(most),
        price=np.zeros(most),
        conflict=np.zeros((most, most), dtype=np.uint8),
        tired=np.ones((most, most)),
        limit_cap=np.zeros(n_caps, dtype=np.int64),
        member=np.zeros((n_caps, most), dtype=np.uint8),
        known=np.zeros((n_caps, max(1, longest)), dtype=np.int64),
        n_known=np.zeros(n_caps, dtype=np.int64),
        room=np.zeros(n_channels + 1, dtype=np.int64),
        spread=np.zeros(n_channels),
    )


@inner
def fill_bundle(u: int, pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, bundle: Any) -> None:
    """Fills `bundle` with user u's usable offers of positive net value. room: (n_channels,) by max_sends."""
    _rank(u, pool, past, fatigues, bundle)
    n = bundle.n[0]
    for i in range(n):
        for j in range(n):
            bundle.conflict[i, j] = i == j or bundle.content[i] == bundle.content[j] or _repeats(bundle.row[i], bundle.row[j], pool)
            bundle.tired[i, j] = _tired(bundle.row[i], bundle.row[j], pool, fatigues)
    n_channels = len(room)
    for c in range(n_channels):
        bundle.room[c] = room[c]
    bundle.room[n_channels] = n
    bundle.n[1] = 0
    for c in range(len(caps.rule)):
        _add_cap(u, c, pool, past, caps, bundle, n_channels)
    for c in range(n_channels):
        bundle.spread[c] = _least_tired(c, bundle)


@inner
def _repeats(i: int, j: int, pool: Any) -> bool:
    """One plan holds an item once a channel, rule or no rule."""
    return bool(pool.channel[i] == pool.channel[j] and share(pool.item[i], pool.item[j]))


@inner
def _rank(u: int, pool: Any, past: Any, fatigues: Any, bundle: Any) -> None:
    n = 0
    for row in range(pool.start[u], pool.start[u + 1]):
        if not pool.usable[row]:
            continue
        value, price = pool.value[row] * tired_by_past(u, row, pool, past, fatigues), pool.price[row]
        if value - price <= 0.0:
            continue
        k = n
        while k > 0 and _beats(value - price, pool.tie[row], k - 1, pool, bundle):
            bundle.row[k], bundle.value[k], bundle.price[k] = bundle.row[k - 1], bundle.value[k - 1], bundle.price[k - 1]
            k -= 1
        bundle.row[k], bundle.value[k], bundle.price[k] = row, value, price
        n += 1
    for i in range(n):
        row = bundle.row[i]
        bundle.channel[i], bundle.content[i], bundle.us[i] = pool.channel[row], pool.content[row], pool.us[row]
    bundle.n[0] = n


@inner
def _beats(net: float, tie: int, k: int, pool: Any, bundle: Any) -> bool:
    other = bundle.value[k] - bundle.price[k]
    return bool(net > other or (net == other and tie < pool.tie[bundle.row[k]]))


@inner
def tired_by_past(u: int, row: int, pool: Any, past: Any, fatigues: Any) -> float:
    """Π over fatigue rules of (1 − strength)^F, F over the known sends at or before the offer's moment."""
    left = 1.0
    for f in range(len(fatigues.keep)):
        if not (fatigues.channels[f, pool.channel[row]] and fatigues.binds[f, pool.item_class[row]]):
            continue
        tiredness = 0.0
        for i in range(past.start[u], past.start[u + 1]):
            if past.us[i] > pool.us[row]:
                break
            c = past.channel[i]
            if c >= 0 and fatigues.channels[f, c] and fatigues.counts[f, past.item_class[i]]:
                tiredness += 2.0 ** ((past.us[i] - pool.us[row]) / fatigues.half_life_us[f])
        left *= fatigues.keep[f] ** tiredness
    return left


@inner
def _tired(i: int, j: int, pool: Any, fatigues: Any) -> float:
    """What choosing i leaves of j: 1 unless i comes earlier; of two at one moment, the channel first in the alphabet does."""
    if pool.us[i] > pool.us[j] or (pool.us[i] == pool.us[j] and pool.order[i] >= pool.order[j]):
        return 1.0
    left = 1.0
    for f in range(len(fatigues.keep)):
        counts = fatigues.channels[f, pool.channel[i]] and fatigues.counts[f, pool.item_class[i]]
        if counts and fatigues.channels[f, pool.channel[j]] and fatigues.binds[f, pool.item_class[j]]:
            left *= fatigues.keep[f] ** (2.0 ** ((pool.us[i] - pool.us[j]) / fatigues.half_life_us[f]))
    return left


@inner
def _least_tired(channel: int, bundle: Any) -> float:
    """What the best placed second message of a channel keeps of its value, 0 where no second one fits."""
    most = 0.0
    for i in range(bundle.n[0]):
        for j in range(bundle.n[0]):
            if i != j and bundle.channel[i] == channel and bundle.channel[j] == channel and not bundle.conflict[i, j]:
                most = max(most, min(bundle.tired[i, j], bundle.tired[j, i]))
    return most


@inner
def _add_cap(u: int, c: int, pool: Any, past: Any, caps: Any, bundle: Any, n_channels: int) -> None:
    """Turns one cap into conflicts (at most one) or into a limit that the search counts, and into room where it is simple."""
    n, n_bound = bundle.n[0], 0
    g = bundle.n[1]
    member = bundle.member[g]
    for i in range(n):
        row = bundle.row[i]
        member[i] = 0
        if is_counted(caps, c, pool.channel[row], pool.item_class[row], pool.categories[row]):
            member[i] = 1
            if is_bound(caps, c, pool.channel[row], pool.item_class[row], pool.categories[row]):
                member[i] = 2
                n_bound += 1
    if n_bound == 0:
        return
    if caps.maximum[c] <= 1:
        _exclude(c, member, pool, caps, bundle)
    if not caps.same_item[c]:
        bundle.limit_cap[g] = c
        _gather(u, c, past, caps, bundle, g)
        if caps.maximum[c] > 1 and bundle.n_known[g] + n > caps.maximum[c]:
            bundle.n[1] += 1
        if caps.category[c] == 0:
            _narrow(c, g, member, pool, caps, bundle, n_channels)


@inner
def _exclude(c: int, member: Any, pool: Any, caps: Any, bundle: Any) -> None:
    """Conflicts of a cap that allows one: two members, one of them bound, within its window or period."""
    n, per = bundle.n[0], caps.per[c]
    for i in range(n):
        for j in range(i):
            if member[i] == 0 or member[j] == 0 or (member[i] != 2 and member[j] != 2) or bundle.conflict[i, j]:
                continue
            a, b = bundle.row[i], bundle.row[j]
            near = abs(pool.us[a] - pool.us[b]) < caps.window_us[c] if per == 0 else pool.period[per, a] == pool.period[per, b]
            if near and (not caps.same_item[c] or share(pool.item[a], pool.item[b])):
                bundle.conflict[i, j] = bundle.conflict[j, i] = 1


@inner
def share(a: Any, b: Any) -> bool:
    """Whether two rows of items (-1 = none) have one in common."""
    for x in a:
        if x >= 0:
            for y in b:
                if x == y:
                    return True
    return False


@inner
def _gather(u: int, c: int, past: Any, caps: Any, bundle: Any, g: int) -> None:
    """The times (or periods) of known sends that could share a window (or period) with an offer, sorted."""
    per, n, last = caps.per[c], 0, bundle.n[0]
    low, high = bundle.us[0], bundle.us[0]
    for i in range(1, last):
        low, high = min(low, bundle.us[i]), max(high, bundle.us[i])
    for i in range(past.start[u], past.start[u + 1]):
        if not is_counted(caps, c, past.channel[i], past.item_class[i], past.categories[i]):
            continue
        if per > 0:
            bundle.known[g, n] = past.period[per, i]
            n += 1
        elif low - caps.window_us[c] < past.us[i] < high + caps.window_us[c]:
            bundle.known[g, n] = past.us[i]
            n += 1
    bundle.n_known[g] = n


@inner
def _narrow(c: int, g: int, member: Any, pool: Any, caps: Any, bundle: Any, n_channels: int) -> None:
    """Lowers the room of a channel, or of all, where every offer of it is bound by a cap that holds them all at once."""
    left = _left_at_once(c, g, member, pool, caps, bundle)
    if left < 0:
        return
    n_outside = 0
    for channel in range(n_channels):
        n_inside, n_beside = 0, 0
        for i in range(bundle.n[0]):
            if bundle.channel[i] == channel:
                n_inside += member[i] == 2
                n_beside += member[i] != 2
        n_outside += n_beside
        if n_inside > 0 and n_beside == 0:
            bundle.room[channel] = min(bundle.room[channel], left)
    if n_outside == 0:
        bundle.room[n_channels] = min(bundle.room[n_channels], left)


@inner
def _left_at_once(c: int, g: int, member: Any, pool: Any, caps: Any, bundle: Any) -> int:
    """How many members fit where they all share one window or period, -1 where they need not."""
    per, n, n_known = caps.per[c], bundle.n[0], bundle.n_known[g]
    low, high, used = np.int64(0), np.int64(0), 0
    first = True
    for i in range(n):
        if member[i] == 1:
            return -1  # counts but is not bound: it may exceed
        if member[i] == 2:
            at = bundle.us[i] if per == 0 else pool.period[per, bundle.row[i]]
            low, high = (at, at) if first else (min(low, at), max(high, at))
            first = False
    if per > 0:
        if low != high:
            return -1
        for k in range(n_known):
            used += bundle.known[g, k] == low
    elif high - low >= caps.window_us[c]:
        return -1
    else:
        for a in range(n_known):
            for b in range(a, n_known):
                if max(bundle.known[g, b], high) - min(bundle.known[g, a], low) < caps.window_us[c]:
                    used = max(used, b - a + 1)
    return int(max(0, caps.maximum[c] - used))


@kernel
def appraise(pool: Any, past: Any, fatigues: Any, chosen: Any, discount: Any, value: Any) -> None:
    """Fills, for the chosen sends of each user, discount (what fatigue leaves of each) and value (Σ value × discount)."""
    for u in range(len(pool.start) - 1):
        for j in range(pool.start[u], pool.start[u + 1]):
            if not chosen[j]:
                continue
            left = tired_by_past(u, j, pool, past, fatigues)
            for i in range(pool.start[u], pool.start[u + 1]):
                if chosen[i] and i != j:
                    left *= _tired(i, j, pool, fatigues)
            discount[j] = left
            value[u] += pool.value[j] * left
