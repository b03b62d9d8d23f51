"""One user's offers as a small problem: who excludes whom, who tires whom, and which counts are limited."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner
from notif_rec.planning.limits import add_limit
from notif_rec.planning.tiring import bits_of, fill_tiring, left_between, left_by_past, moment_of

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Pool(NamedTuple):
    """Sends to choose from, of a whole batch; user u owns rows start[u] to start[u + 1].

    value: before fatigue. price: what it pays for quotas, and for the fatigue that it leaves to sends after the plan. content:
    equal ones of a user exclude each other, and so do those of one channel that share an item. item: (n, widest) with -1 beyond its
    size. period: (len(PER), n) calendar periods. usable: 0/1. order: place of its channel's name.
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

    row: its place in the pool. value: after the fatigue of known sends. moment: its place in Tiring. counts, binds: bits of the
    caps that count and bind it; tires, tired_by: bits of the fatigue rules. conflict: (n, n) 0/1. keeps: (n, n), [i, j] what
    choosing i leaves of j's value. limit: the n[1] caps that the search counts; known: (limits, …) the times, or periods, of the
    known sends that matter to each, n_known how many. room: messages per channel, and last altogether, that no set exceeds.
    spread: what the best placed second message of a channel keeps.
    """

    n: IntArray
    row: IntArray
    channel: IntArray
    content: IntArray
    us: IntArray
    moment: IntArray
    value: FloatArray
    price: FloatArray
    counts: npt.NDArray[np.uint64]
    binds: npt.NDArray[np.uint64]
    tires: npt.NDArray[np.uint64]
    tired_by: npt.NDArray[np.uint64]
    conflict: npt.NDArray[np.uint8]
    keeps: FloatArray
    limit: IntArray
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
        moment=np.zeros(most, dtype=np.int64),
        value=np.zeros(most),
        price=np.zeros(most),
        counts=np.zeros(most, dtype=np.uint64),
        binds=np.zeros(most, dtype=np.uint64),
        tires=np.zeros(most, dtype=np.uint64),
        tired_by=np.zeros(most, dtype=np.uint64),
        conflict=np.zeros((most, most), dtype=np.uint8),
        keeps=np.ones((most, most)),
        limit=np.zeros(n_caps, dtype=np.int64),
        known=np.zeros((n_caps, max(1, longest)), dtype=np.int64),
        n_known=np.zeros(n_caps, dtype=np.int64),
        room=np.zeros(n_channels + 1, dtype=np.int64),
        spread=np.zeros(n_channels),
    )


@inner
def fill_bundle(u: int, pool: Any, past: Any, room: Any, caps: Any, fatigues: Any, tiring: Any, bundle: Any) -> None:
    """Fills `bundle` with user u's usable offers of positive net value. room: (n_channels,) by max_sends."""
    tiring.n[0] = 0
    for row in range(pool.start[u], pool.start[u + 1]):
        if pool.usable[row]:
            moment_of(pool.us[row], tiring.n, tiring.when)
    fill_tiring(u, past, fatigues, tiring)
    _rank(u, pool, fatigues, tiring, bundle)
    _mark(pool, caps, fatigues, tiring, bundle)
    n_channels = len(room)
    for c in range(n_channels):
        bundle.room[c], bundle.spread[c] = room[c], 0.0
    bundle.room[n_channels], bundle.n[1] = bundle.n[0], 0
    _pair(pool, caps, tiring, bundle)
    for c in range(len(caps.rule)):
        if bundle.n[0] > 0 and caps.rule[c] >= 0 and not caps.same_item[c]:
            add_limit(u, c, pool, past, caps, bundle, n_channels)


# Compiled code pays for every field of a tuple that it reads in a loop, and for every tuple that it hands on: so loops read plain arrays.


@inner
def _rank(u: int, pool: Any, fatigues: Any, tiring: Any, bundle: Any) -> None:
    """The usable offers of positive net value, best first."""
    row, value, price, tie, usable = bundle.row, bundle.value, bundle.price, pool.tie, pool.usable
    us, channel, item_class, worth, paid = pool.us, pool.channel, pool.item_class, pool.value, pool.price
    covers, binds, past, met, when = fatigues.channels, fatigues.binds, tiring.past, tiring.n, tiring.when
    n = 0
    for r in range(pool.start[u], pool.start[u + 1]):
        if not usable[r]:
            continue
        left = left_by_past(moment_of(us[r], met, when), bits_of(covers, binds, channel[r], item_class[r]), past)
        net = worth[r] * left - paid[r]
        if net <= 0.0:
            continue
        k = n
        while k > 0:
            other = value[k - 1] - price[k - 1]
            if other > net or (other == net and tie[row[k - 1]] < tie[r]):
                break
            row[k], value[k], price[k] = row[k - 1], value[k - 1], price[k - 1]
            k -= 1
        row[k], value[k], price[k] = r, worth[r] * left, paid[r]
        n += 1
    bundle.n[0] = n


@inner
def _mark(pool: Any, caps: Any, fatigues: Any, tiring: Any, bundle: Any) -> None:
    """Copies what the search reads of each offer, and notes the caps and fatigue rules that concern it."""
    counts, binds, tires, tired_by, row = bundle.counts, bundle.binds, bundle.tires, bundle.tired_by, bundle.row
    covers, counting, binding, wanted, rule = caps.channels, caps.counts, caps.binds, caps.category, caps.rule
    channels, categories, classes, us, content = pool.channel, pool.categories, pool.item_class, pool.us, pool.content
    for i in range(bundle.n[0]):
        r = row[i]
        channel, item_class = channels[r], classes[r]
        bundle.channel[i], bundle.content[i], bundle.us[i] = channel, content[r], us[r]
        bundle.moment[i] = moment_of(us[r], tiring.n, tiring.when)
        tires[i] = bits_of(fatigues.tires, fatigues.counts, channel, item_class)
        tired_by[i] = bits_of(fatigues.channels, fatigues.binds, channel, item_class)
        counts[i], binds[i] = np.uint64(0), np.uint64(0)
        for c in range(len(rule)):
            if rule[c] < 0 or not covers[c, channel] or (wanted[c] != 0 and (wanted[c] & categories[r]) == 0):
                continue
            if counting[c, item_class]:
                counts[i] |= np.uint64(1) << np.uint64(c)
            if binding[c, item_class]:
                binds[i] |= np.uint64(1) << np.uint64(c)


@inner
def _pair(pool: Any, caps: Any, tiring: Any, bundle: Any) -> None:
    """Which offers exclude each other, and what the earlier leaves of the later of two.

    Of two at one moment the channel first in the alphabet is the earlier.
    """
    row, channel, content, us, moment = bundle.row, bundle.channel, bundle.content, bundle.us, bundle.moment
    counts, binds, tires, tired_by = bundle.counts, bundle.binds, bundle.tires, bundle.tired_by
    conflict, keeps, spread, order, item = bundle.conflict, bundle.keeps, bundle.spread, pool.order, pool.item
    between, window, per, same_item, period = tiring.pair, caps.window_us, caps.per, caps.same_item, pool.period
    single = np.uint64(0)
    for c in range(len(caps.rule)):
        if caps.rule[c] >= 0 and caps.maximum[c] <= 1:
            single |= np.uint64(1) << np.uint64(c)
    for x in range(bundle.n[0]):
        conflict[x, x], keeps[x, x] = 1, 1.0
        for y in range(x):
            i, j = x, y
            if us[i] > us[j] or (us[i] == us[j] and order[row[i]] > order[row[j]]):
                i, j = y, x
            a, b = row[i], row[j]
            keeps[i, j], keeps[j, i] = left_between(moment[i], moment[j], tires[i] & tired_by[j], between), 1.0
            clash = content[i] == content[j]
            if channel[i] == channel[j] and not clash:  # a channel has one send a moment and, in one plan, an item once
                clash = us[i] == us[j] or share(item, a, b)
            shared, c = counts[i] & counts[j] & (binds[i] | binds[j]) & single, 0
            while shared and not clash:
                if shared & np.uint64(1):
                    near = us[j] - us[i] < window[c] if per[c] == 0 else period[per[c], a] == period[per[c], b]
                    clash = near and (not same_item[c] or share(item, a, b))
                shared >>= np.uint64(1)
                c += 1
            conflict[i, j] = conflict[j, i] = clash
            if not clash and channel[i] == channel[j]:
                spread[channel[i]] = max(spread[channel[i]], keeps[i, j])


@inner
def share(item: Any, a: int, b: int) -> bool:
    """Whether rows a and b of `item`, each ended by -1 or its width, have one in common."""
    for m in range(item.shape[1]):
        if item[a, m] < 0:
            break
        for n in range(item.shape[1]):
            if item[a, m] == item[b, n]:
                return True
            if item[b, n] < 0:
                break
    return False
