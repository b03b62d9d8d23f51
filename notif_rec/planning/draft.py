"""One user's set in the making: offers join and leave it while every rule holds."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.compiled import inner
from notif_rec.planning.limits import fits

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BitArray = npt.NDArray[np.uint64]
MOST_CELLS = 64  # that a set takes; what it takes beyond them, no entry is made to do without


class Draft(NamedTuple):
    """Scratch space for one user. own, trial: picks in a set, places in the bundle; size[0], size[1] how many each.

    used: messages per channel of the trial. bits, value, net: the entries so far, size[2] of them. size[3]: the user's first offer.
    cells: those that the set takes, size[4] of them (MOST_CELLS at most); holds: bits of those that each offer takes. tried: the last user,
    from 1, for whom a message was tried.
    """

    own: IntArray
    trial: IntArray
    size: IntArray
    used: IntArray
    bits: BitArray
    value: FloatArray
    net: FloatArray
    times: IntArray
    flags: npt.NDArray[np.uint8]
    cells: IntArray
    holds: BitArray
    tried: IntArray


def new_draft(widest: int, longest: int, n_channels: int, most: int, last_content: int) -> Draft:
    """Scratch space for users with up to `widest` offers and `longest` known sends, and menus of up to `most` entries."""
    return Draft(
        own=np.zeros(widest, np.int64),
        trial=np.zeros(widest + 1, np.int64),
        size=np.zeros(5, np.int64),
        used=np.zeros(n_channels, np.int64),
        bits=np.zeros(most, np.uint64),
        value=np.zeros(most),
        net=np.zeros(most),
        times=np.zeros(longest + widest + 1, np.int64),
        flags=np.zeros(longest + widest + 1, np.uint8),
        cells=np.zeros(MOST_CELLS, np.int64),
        holds=np.zeros(widest, np.uint64),
        tried=np.zeros(last_content + 1, np.int64),
    )


@inner
def may_join(i: int, pool: Any, caps: Any, bundle: Any, draft: Any) -> bool:
    """Whether offer i agrees with the trial, which it may be part of."""
    n, channel = draft.size[1], bundle.channel[i]
    if draft.used[channel] >= bundle.room[channel] or n >= bundle.room[len(draft.used)]:
        return False
    for d in range(n):
        if bundle.conflict[i, draft.trial[d]]:
            return False
    draft.trial[n] = i
    return bool(fits(i, n, draft.trial, bundle, caps, pool, draft.times, draft.flags))


@inner
def clear(draft: Any) -> None:
    draft.size[1] = 0
    for c in range(len(draft.used)):
        draft.used[c] = 0


@inner
def join(i: int, bundle: Any, draft: Any) -> None:
    draft.trial[draft.size[1]] = i
    draft.size[1] += 1
    draft.used[bundle.channel[i]] += 1


@inner
def leave(d: int, bundle: Any, draft: Any) -> None:
    draft.used[bundle.channel[draft.trial[d]]] -= 1
    for e in range(d + 1, draft.size[1]):
        draft.trial[e - 1] = draft.trial[e]
    draft.size[1] -= 1


@inner
def value_of(bundle: Any, draft: Any) -> float:
    """Σ value × what fatigue leaves of it."""
    total = 0.0
    for d in range(draft.size[1]):
        j, left = draft.trial[d], 1.0
        for e in range(draft.size[1]):
            if e != d:
                left *= bundle.keeps[draft.trial[e], j]
        total += bundle.value[j] * left
    return total


@inner
def net_of(price: Any, bundle: Any, draft: Any) -> float:
    return value_of(bundle, draft) - paid_by(price, bundle, draft)


@inner
def paid_by(price: Any, bundle: Any, draft: Any) -> float:
    total = 0.0
    for d in range(draft.size[1]):
        total += price[bundle.row[draft.trial[d]]]
    return total
