"""Caps that a pair of offers cannot settle: how many known and chosen sends share a window or a calendar period."""

from __future__ import annotations

from typing import Any

import numpy as np

from notif_rec.planning.blocking import is_counted
from notif_rec.planning.compiled import inner


@inner
def add_limit(u: int, c: int, pool: Any, past: Any, caps: Any, bundle: Any, n_channels: int) -> None:
    """Makes cap c a limit that the search counts, if it could ever bind, and lowers the room of channels that it fills."""
    g, n, n_bound, n_unbound, bit = bundle.n[1], bundle.n[0], 0, 0, np.uint64(1) << np.uint64(c)
    low, high, per = np.int64(0), np.int64(0), caps.per[c]
    us, row, counts, binds, period = bundle.us, bundle.row, bundle.counts, bundle.binds, pool.period
    for i in range(n):
        if binds[i] & bit:
            at = us[i] if per == 0 else period[per, row[i]]
            low, high = (at, at) if n_bound == 0 else (min(low, at), max(high, at))
            n_bound += 1
        elif counts[i] & bit:
            n_unbound += 1
    if n_bound == 0:
        return
    _gather(u, c, past, caps, bundle, g)
    if caps.maximum[c] > 1 and bundle.n_known[g] + n_bound + n_unbound > caps.maximum[c]:
        bundle.limit[g] = c
        bundle.n[1] += 1
    at_once = low == high if per > 0 else high - low < caps.window_us[c]
    if at_once and n_unbound == 0 and caps.category[c] == 0:  # what counts without being bound may exceed the cap
        used = _used(per, caps.window_us[c], low, high, bundle.known[g], bundle.n_known[g])
        _narrow(bit, max(0, caps.maximum[c] - used), bundle, n_channels)


@inner
def _gather(u: int, c: int, past: Any, caps: Any, bundle: Any, g: int) -> None:
    """The times (or periods) of known sends that could share a window (or period) with an offer, in their order."""
    per, window, n, known, offered = caps.per[c], caps.window_us[c], 0, bundle.known, bundle.us
    us, channel, item_class, categories, period = past.us, past.channel, past.item_class, past.categories, past.period
    low, high = offered[0], offered[0]
    for i in range(1, bundle.n[0]):
        low, high = min(low, offered[i]), max(high, offered[i])
    for i in range(past.start[u], past.start[u + 1]):
        if per == 0 and not low - window < us[i] < high + window:
            continue
        if is_counted(caps, c, channel[i], item_class[i], categories[i]):
            known[g, n] = us[i] if per == 0 else period[per, i]
            n += 1
    bundle.n_known[g] = n


@inner
def _used(per: int, window: int, low: Any, high: Any, known: Any, n: int) -> int:
    """The most known sends that share a window (or the period) with every offer from `low` to `high`."""
    used, b = 0, 0
    if per > 0:
        for k in range(n):
            if known[k] == low:
                used += 1
        return used
    for a in range(n):
        b = max(b, a)
        while b < n and max(known[b], high) - min(known[a], low) < window:
            b += 1
        used = max(used, b - a)
    return used


@inner
def _narrow(bit: np.uint64, left: int, bundle: Any, n_channels: int) -> None:
    """Lowers the room of a channel, or of all, where the cap binds every offer of it."""
    n_outside, room, channel_of, binds = 0, bundle.room, bundle.channel, bundle.binds
    for channel in range(n_channels):
        n_inside, n_beside = 0, 0
        for i in range(bundle.n[0]):
            if channel_of[i] == channel:
                if binds[i] & bit:
                    n_inside += 1
                else:
                    n_beside += 1
        n_outside += n_beside
        if n_inside > 0 and n_beside == 0:
            room[channel] = min(room[channel], left)
    if n_outside == 0:
        room[n_channels] = min(room[n_channels], left)


@inner
def fits(pick: int, depth: int, picks: Any, bundle: Any, caps: Any, pool: Any, times: Any, flags: Any) -> bool:
    """Whether offer `pick` keeps every limit beside the first `depth` picks and the known sends. times, flags: scratch."""
    us, row, counts, binds = bundle.us, bundle.row, bundle.counts, bundle.binds
    for g in range(bundle.n[1]):
        c = bundle.limit[g]
        bit, per, maximum = np.uint64(1) << np.uint64(c), caps.per[c], caps.maximum[c]
        if not counts[pick] & bit:
            continue
        known, n = bundle.known[g], bundle.n_known[g]
        if per > 0:
            if not _fits_period(pick, depth, picks, bit, maximum, known, n, row, pool.period[per], counts, binds):
                return False
        elif not _fits_window(pick, depth, picks, bit, maximum, caps.window_us[c], known, n, us, counts, binds, times, flags):
            return False
    return True


@inner
def _fits_period(
    pick: int, depth: int, picks: Any, bit: np.uint64, maximum: int, known: Any, n: int, row: Any, period: Any, counts: Any, binds: Any
) -> bool:
    own, total, bound = period[row[pick]], 1, (binds[pick] & bit) != 0
    for k in range(n):
        if known[k] == own:
            total += 1
    for d in range(depth):
        if counts[picks[d]] & bit and period[row[picks[d]]] == own:
            total += 1
            bound = bound or (binds[picks[d]] & bit) != 0
    return not (bound and total > maximum)


@inner
def _fits_window(
    pick: int, depth: int, picks: Any, bit: np.uint64, maximum: int, window: int, known: Any, n: int, us: Any, counts: Any, binds: Any,
    times: Any, flags: Any,
) -> bool:  # fmt: skip
    """No `maximum` + 1 sends in a row, one of the picks bound among them, lie within less than the window."""
    for k in range(n):
        times[k], flags[k] = known[k], 0
    for d in range(depth + 1):
        i = pick if d == depth else picks[d]
        if not counts[i] & bit:
            continue
        k = n
        while k > 0 and times[k - 1] > us[i]:
            times[k], flags[k] = times[k - 1], flags[k - 1]
            k -= 1
        times[k], flags[k] = us[i], (binds[i] & bit) != 0
        n += 1
    for k in range(n - maximum):
        if times[k + maximum] - times[k] < window:
            for i in range(k, k + maximum + 1):
                if flags[i]:
                    return False
    return True
