"""What messages could hold: candidates that rules leave, filled into digests, with alternatives where these exclude each other."""

from __future__ import annotations

from typing import Any

import numpy as np

from notif_rec.planning.blocking import block_rolling, is_bound, is_counted
from notif_rec.planning.compiled import inner
from notif_rec.planning.grid import first_at, set_range
from notif_rec.planning.reasons import EXPIRED

MAX_QUANTITY = 8  # messages a lane prepares at most per way of filling them
MAX_BUILT = 96  # messages of a user before the best of them become offers
PLAIN, AFTER_ALL, WITHOUT_CAPPED, AFTER_ONE = range(4)  # ways of filling: see fill_contents


@inner
def find_item(sent_item: Any, low: int, high: int, item: int) -> int:
    """The first row in [low, high) that holds `item` or a larger one; rows are sorted by item."""
    while low < high:
        middle = (low + high) // 2
        if sent_item[middle] < item:
            low = middle + 1
        else:
            high = middle
    return low


@inner
def item_moments(
    u: int, lane: int, item: int, channel: int, item_class: int, lane_open: Any, blocked: Any, sent: Any, caps: Any, items: Any,
    first_us: int, n_moments: int, words: Any, scratch: Any, times: Any,
) -> tuple[np.uint64, np.uint64]:  # fmt: skip
    """Fills `words` with the moments at which a user may be sent an item; returns the bits of what closes all, and some, of them."""
    full, touch = np.uint64(0), np.uint64(0)
    for w in range(len(words)):
        words[w] = np.uint64(0)
    low, high = first_at(items.created_us[item], first_us, n_moments), first_at(items.expires_us[item], first_us, n_moments)
    set_range(words, low, high)
    live = np.uint64(1) << np.uint64(EXPIRED)
    if low > 0 or high < n_moments:
        touch |= live
    if low >= high:
        full |= live
    for w in range(len(words)):
        words[w] &= lane_open[w]
    a = find_item(sent.item, sent.start[u], sent.start[u + 1], item)
    b = find_item(sent.item, a, sent.start[u + 1], item + 1)
    for c in range(len(caps.rule)):
        if not (caps.same_item[c] or caps.category[c] != 0) or not is_bound(caps, c, channel, item_class, items.categories[item]):
            continue
        for w in range(len(words)):
            scratch[w] = np.uint64(0) if caps.same_item[c] else blocked[u, c, w]
        if caps.same_item[c]:
            n = 0
            for i in range(a, b):
                if is_counted(caps, c, sent.channel[i], sent.item_class[i], items.categories[item]):
                    times[n] = sent.us[i]
                    n += 1
            block_rolling(times, n, caps.maximum[c], caps.window_us[c], first_us, n_moments, scratch)
        some, every = close_moments(words, scratch, n_moments)
        if some:
            touch |= np.uint64(1) << np.uint64(caps.rule[c])
        if every:
            full |= np.uint64(1) << np.uint64(caps.rule[c])
    return full, touch


@inner
def close_moments(words: Any, closing: Any, n_moments: int) -> tuple[bool, bool]:
    """Takes `closing` out of `words`; whether it closes some, and all n, moments."""
    n_closed = 0
    for w in range(len(words)):
        rest = closing[w]
        while rest:
            n_closed += 1
            rest &= rest - np.uint64(1)
        words[w] &= ~closing[w]
    return n_closed > 0, n_closed >= n_moments


@inner
def fill(
    lane: int, quantity: int, u: int, item: Any, words: Any, lanes: Any, taken: int, without: np.uint64, categories: Any, work: Any
) -> int:
    """Fills up to `quantity` messages of one lane, best items first, into `work`; returns how many have an item.

    An item that would leave a message without a moment waits for the next one. The first `taken` items of work.avoid, and those
    with a category in `without`, are passed over.
    """
    for r in range(len(work.used)):
        work.used[r] = 0
    for q in range(quantity):
        n = 0
        for w in range(words.shape[2]):
            work.moments[q, w] = ~np.uint64(0)
        for r in range(item.shape[2]):
            found = item[lane, u, r]
            if found < 0 or n == lanes.size[lane]:
                break
            if work.used[r] or (categories[found] & without) != 0 or not meets(work.moments[q], words[lane, r]):
                continue
            if holds(work.avoid, taken, found):
                continue
            for w in range(words.shape[2]):
                work.moments[q, w] &= words[lane, r, w]
            work.ranks[q, n] = r
            work.used[r] = 1
            n += 1
        if n == 0:
            return q
        work.sizes[q] = n
    return quantity


@inner
def holds(row: Any, n: int, item: int) -> bool:
    for i in range(n):  # noqa: SIM110
        if row[i] == item:
            return True
    return False


@inner
def meets(a: Any, b: Any) -> bool:
    for w in range(len(a)):  # noqa: SIM110
        if a[w] & b[w]:
            return True
    return False


@inner
def fill_contents(u: int, item: Any, words: Any, room: Any, lanes: Any, categories: Any, spare: int, work: Any, built: Any) -> int:
    """Fills `built` with the messages that a user could be sent; returns how many.

    PLAIN: the best items in order. Where one item may not go out in two lanes, AFTER_ALL and AFTER_ONE: what is left when the
    other lanes, or one of them, took their best first. WITHOUT_CAPPED: nothing of a category that a cap limits.
    """
    n, n_lanes = 0, len(lanes.channel)
    for lane in range(n_lanes):
        quantity = min(room[lanes.channel[lane]], MAX_QUANTITY)
        if quantity == 0:
            continue
        for turn in range(AFTER_ONE + n_lanes):  # AFTER_ONE comes once for each other lane
            way, taken, without = min(turn, AFTER_ONE), 0, np.uint64(0)
            if way == WITHOUT_CAPPED:
                without = lanes.capped[lane]
                if without == 0:
                    continue
            if way in (AFTER_ALL, AFTER_ONE):
                for other in range(n_lanes):
                    if other != lane and lanes.exclusive[lane, other] and (way == AFTER_ALL or other == turn - AFTER_ONE):
                        taken = _take(other, u, item, words, room, lanes, categories, taken, work)
                if taken == 0:
                    continue
            made = fill(lane, quantity + (spare if way == PLAIN else 0), u, item, words, lanes, taken, without, categories, work)
            for q in range(made):
                if n < MAX_BUILT and not _is_built(lane, work.ranks[q], work.sizes[q], built, n):
                    built.lane[n], built.way[n], built.order[n], built.size[n] = lane, way, q, work.sizes[q]
                    for w in range(words.shape[2]):
                        built.moments[n, w] = work.moments[q, w]
                    for i in range(work.sizes[q]):
                        built.ranks[n, i] = work.ranks[q, i]
                    n += 1
    return n


@inner
def _take(other: int, u: int, item: Any, words: Any, room: Any, lanes: Any, categories: Any, taken: int, work: Any) -> int:
    """Adds to work.avoid the items that another lane would send, itself avoiding the first `taken`; returns how many it holds."""
    quantity = min(room[lanes.channel[other]], MAX_QUANTITY)
    made = fill(other, quantity, u, item, words, lanes, taken, np.uint64(0), categories, work)
    for q in range(made):
        for i in range(work.sizes[q]):
            if taken < len(work.avoid):
                work.avoid[taken] = item[other, u, work.ranks[q, i]]
                taken += 1
    return taken


@inner
def _is_built(lane: int, ranks: Any, size: int, built: Any, n: int) -> bool:
    for b in range(n):
        if built.lane[b] == lane and built.size[b] == size:
            same = True
            for i in range(size):
                if built.ranks[b, i] != ranks[i]:
                    same = False
                    break
            if same:
                return True
    return False
