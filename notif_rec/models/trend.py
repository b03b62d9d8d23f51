"""How fast what is popular changes: the half-life by which the newest signs of taste are foretold best, and how much it foretells."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from notif_rec.models.popularity import RECENT_PRIOR

DEFAULT = timedelta(days=14)
HALF_LIVES = tuple(timedelta(hours=h) for h in (2, 6, 12, 24, 72, 168, 336, 720, 2160, 8760))
SLICE_US = 86_400_000_000  # lists are made once a day, and used until the next
SLICES = 14  # the newest days that are foretold
MOST_SIGNS = 4_000_000  # the newest ones are enough
LEAST_SIGNS = 200  # on those days
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pace:
    """half_life: of what is popular. gain: nats a sign by which counts that fade so foretell more than counts of all time, at least 0."""

    half_life: timedelta = DEFAULT
    gain: float = 0.0


def fit_pace(item: npt.NDArray[np.integer], at_us: npt.NDArray[np.int64], n_items: int) -> Pace:
    """Of HALF_LIVES the one whose decayed counts, before each of the newest days, make that day's signs most likely, and its gain.

    item, at_us: one entry a sign of taste. Of a short past the newer half is foretold; with too few signs to tell, DEFAULT. Signs of
    items that nobody had yet say nothing: what comes new is no matter of how fast the old fades.
    """
    item, at_us = newest_signs(item, at_us)
    if not len(at_us):
        return Pace()
    days_ago = (int(at_us.max()) - at_us) // SLICE_US
    slices = min(SLICES, (int(days_ago.max()) + 1) // 2)
    if (days_ago < slices).sum() < LEAST_SIGNS:
        return Pace()
    order = np.argsort(days_ago, kind="stable")
    item, age = item[order], (int(at_us.max()) - at_us[order]) / SLICE_US
    start = np.searchsorted(days_ago[order], np.arange(slices + 1))
    likely = [_likelihood(item, age, start, half_life, n_items) for half_life in (*HALF_LIVES, None)]
    best = len(HALF_LIVES) - 1 - int(np.argmax(likely[-2::-1]))
    return Pace(HALF_LIVES[best], max(likely[best] - likely[-1], 0.0))


def newest_signs(item: npt.NDArray[np.integer], at_us: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.int64]]:
    """The newest MOST_SIGNS of them, or all."""
    if len(at_us) <= MOST_SIGNS:
        return item, at_us
    newest = np.argpartition(at_us, len(at_us) - MOST_SIGNS)[-MOST_SIGNS:]
    return item[newest], at_us[newest]


def _likelihood(
    item: npt.NDArray[np.integer], age: Floats, start: npt.NDArray[np.integer], half_life: timedelta | None, n_items: int
) -> float:
    """Mean log share of the signs of each day, oldest first, by what came before that day; half_life None: nothing fades.

    age: days before the newest sign, ascending.
    start: where the signs of each day begin, the newest day first; behind the last lies what is never foretold.
    """
    rate, slices = timedelta(days=1) / half_life if half_life else 0.0, len(start) - 1
    old = slice(start[slices], None)
    ever = np.bincount(item[old], minlength=n_items).astype(np.float64)
    counts = np.bincount(item[old], weights=np.exp2(-(age[old] - slices) * rate), minlength=n_items)  # as it is then
    total, n = 0.0, 0
    for day in range(slices - 1, -1, -1):
        inside = slice(start[day], start[day + 1])
        asked = item[inside][ever[item[inside]] > 0]
        share = (counts + RECENT_PRIOR * ever / ever.sum()) / (counts.sum() + RECENT_PRIOR)
        total, n = total + float(np.log(share[asked]).sum()), n + len(asked)
        ever += np.bincount(item[inside], minlength=n_items)
        counts = counts * np.exp2(-rate) + np.bincount(item[inside], weights=np.exp2(-(age[inside] - day) * rate), minlength=n_items)
    return total / max(n, 1)
