"""Fatigue in numbers: what earlier sends, known or chosen, leave of a later one's value."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner, kernel

FloatArray = npt.NDArray[np.float64]


class Tiring(NamedTuple):
    """One user's fatigue per rule f and distinct moment d of the offers: few moments carry many offers, and powers are dear.

    when: (moments,) times, as met; n[0] of them. past: (rules, moments) what known sends leave. pair: (rules, moments, moments)
    what a send at the first leaves of one at the second, 1 where it comes later.
    """

    n: npt.NDArray[np.int64]
    when: npt.NDArray[np.int64]
    past: FloatArray
    pair: FloatArray


def new_tiring(most: int, n_rules: int) -> Tiring:
    """Scratch space for users with up to `most` offers."""
    return Tiring(np.zeros(1, dtype=np.int64), np.zeros(most, dtype=np.int64), np.ones((n_rules, most)), np.ones((n_rules, most, most)))


@inner
def moment_of(us: int, n: Any, when: Any) -> int:
    """The place of a time among the n[0] distinct moments in `when`, which it joins if it is new."""
    for d in range(n[0]):
        if when[d] == us:
            return d
    when[n[0]] = us
    n[0] += 1
    return int(n[0] - 1)


@inner
def fill_tiring(u: int, past: Any, fatigues: Any, tiring: Any) -> None:
    """Fills past and pair for the moments in `tiring`."""
    start, us, channel, item_class = past.start, past.us, past.channel, past.item_class
    when, left, pair, covers, counts = tiring.when, tiring.past, tiring.pair, fatigues.tires, fatigues.counts
    for f in range(len(fatigues.keep)):
        keep, half_life, since = fatigues.keep[f], fatigues.half_life_us[f], fatigues.since_us[f]
        for d in range(tiring.n[0]):
            tiredness = 0.0
            for i in range(start[u], start[u + 1]):
                if us[i] > when[d]:
                    break
                if us[i] >= since and channel[i] >= 0 and covers[f, channel[i]] and counts[f, item_class[i]]:
                    tiredness += 2.0 ** ((us[i] - when[d]) / half_life)
            left[f, d] = keep**tiredness
            for e in range(tiring.n[0]):
                pair[f, d, e] = keep ** (2.0 ** ((when[d] - when[e]) / half_life)) if when[e] >= when[d] else 1.0


@inner
def bits_of(channels: Any, classes: Any, channel: int, item_class: int) -> np.uint64:
    """The fatigue rules, one bit each, that cover a channel and a class."""
    bits = np.uint64(0)
    for f in range(len(channels)):
        if channels[f, channel] and classes[f, item_class]:
            bits |= np.uint64(1) << np.uint64(f)
    return bits


@inner
def left_by_past(d: int, tired_by: np.uint64, past: Any) -> float:
    """What known sends leave of an offer at moment d under its rules: Π over them of (1 − strength)^F."""
    left, f = 1.0, 0
    while tired_by:
        if tired_by & np.uint64(1):
            left *= past[f, d]
        tired_by >>= np.uint64(1)
        f += 1
    return left


@inner
def left_between(d: int, e: int, rules: np.uint64, pair: Any) -> float:
    """What a send at moment d leaves of one at moment e, not earlier, under the rules that count the one and bind the other."""
    left, f = 1.0, 0
    while rules:
        if rules & np.uint64(1):
            left *= pair[f, d, e]
        rules >>= np.uint64(1)
        f += 1
    return left


@kernel
def appraise(pool: Any, past: Any, fatigues: Any, tiring: Any, chosen: Any, alone: bool, discount: Any, value: Any) -> None:
    """Fills, for the chosen sends of each user, discount (what fatigue leaves of each) and value (Σ value × discount).

    alone: each as if no other were chosen.
    """
    us, channel, item_class, order = pool.us, pool.channel, pool.item_class, pool.order
    n, when, covers, sources, counts, binds = tiring.n, tiring.when, fatigues.channels, fatigues.tires, fatigues.counts, fatigues.binds
    for u in range(len(pool.start) - 1):
        n[0], low, high = 0, pool.start[u], pool.start[u + 1]
        for j in range(low, high):
            if chosen[j]:
                moment_of(us[j], n, when)
        if n[0] == 0:
            continue
        fill_tiring(u, past, fatigues, tiring)
        for j in range(low, high):
            if not chosen[j]:
                continue
            e, tired_by = moment_of(us[j], n, when), bits_of(covers, binds, channel[j], item_class[j])
            left = left_by_past(e, tired_by, tiring.past)
            for i in range(low, low if alone else high):
                if chosen[i] and (us[i] < us[j] or (us[i] == us[j] and order[i] < order[j])):
                    tires = bits_of(sources, counts, channel[i], item_class[i])
                    left *= left_between(moment_of(us[i], n, when), e, tires & tired_by, tiring.pair)
            discount[j] = left
            value[u] += pool.value[j] * left
