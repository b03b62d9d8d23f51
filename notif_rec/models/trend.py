"""How fast what is popular changes: the half-life by which the newest signs of taste are foretold best, and what that foretells."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from notif_rec.models.blas import one_blas_thread
from notif_rec.models.popularity import RECENT_PRIOR

DEFAULT = timedelta(days=14)
HALF_LIVES = tuple(timedelta(hours=h) for h in (2, 6, 12, 24, 72, 168, 336, 720, 2160, 8760))
SLICE_US = 86_400_000_000  # lists are made once a day, and used until the next
SLICES = 14  # the newest days that are foretold
MOST_SIGNS = 4_000_000  # the newest ones are enough
LEAST_SIGNS = 200  # on those days
FEW_LIKES = 5.0  # typical pairs by which a change of popularity is doubted, of all and of the last days'
MOST_DRIFT, DOUBT = 10.0, 6.0  # of drift: the highest, and how far from 0 one expects it before anything is seen
UNIT = 0.75  # nats that 1 of a score, which is 1 for taste, is worth: .6 to .95 in films and the sample shop, by what came next
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Pace:
    """half_life: of what is popular. gain: nats a sign by which counts that fade so foretell more than counts of all time, at least 0.

    drift: how far changes go on, by unit of `change_of` and against 1 for taste, 0 to MOST_DRIFT; about 1 where what has changed stays,
    0 where it reverts.
    """

    half_life: timedelta = DEFAULT
    gain: float = 0.0
    drift: float = 0.0


class _Days(NamedTuple):
    """Signs, the newest first. age: days before the newest one. start: where the signs of each day that is foretold begin, the newest
    day first; behind the last lies what is never foretold.

    Of those that are foretold, visit: a number for each user's day; weight: 1 together for its signs of items that somebody had before.
    """

    item: Ints
    age: Floats
    visit: Ints
    weight: Floats
    start: Ints
    n_items: int


class _Morning(NamedTuple):
    """How often items were taken before a day, ever and as it fades, and the places of what was taken on it."""

    ever: Floats
    counts: Floats
    inside: slice


def fit_pace(user: Ints, item: Ints, at_us: npt.NDArray[np.int64], n_items: int) -> Pace:
    """How well decayed counts, before each of the newest days, foretell that day's signs; a user counts once a day, as with lists.

    Of HALF_LIVES the one that makes them most likely, or a longer one not surely worse. user, item, at_us: one entry a sign of taste.
    Of a short past the newer half is foretold; with too few signs to tell, Pace(). Signs of items that nobody had yet say
    nothing: what comes new is no matter of how fast the old fades.
    """
    newest = newest_signs(at_us)
    days = _days_of(user[newest], item[newest], at_us[newest], n_items) if len(at_us) else None
    if days is None:
        return Pace()
    likely = [float(_told(days, half_life).sum()) for half_life in HALF_LIVES]
    best = len(HALF_LIVES) - 1 - int(np.argmax(likely[::-1]))
    top, chosen = _told(days, HALF_LIVES[best]), best
    while chosen + 1 < len(HALF_LIVES) and not _surely_more(top, _told(days, HALF_LIVES[chosen + 1])):
        chosen += 1
    gain = (likely[chosen] - float(_told(days, None).sum())) / max(float(days.weight.sum()), 1.0)
    with one_blas_thread():  # several would add up in another order
        return Pace(HALF_LIVES[chosen], max(gain, 0.0), _drift(days, HALF_LIVES[chosen]))


def _days_of(user: Ints, item: Ints, at_us: npt.NDArray[np.int64], n_items: int) -> _Days | None:
    """The signs by days; None where those that are to be foretold are too few."""
    days_ago = (int(at_us.max()) - at_us) // SLICE_US
    slices = min(SLICES, (int(days_ago.max()) + 1) // 2)
    if (days_ago < slices).sum() < LEAST_SIGNS:
        return None
    order = np.argsort(days_ago, kind="stable")
    age, start = (int(at_us.max()) - at_us[order]) / SLICE_US, np.searchsorted(days_ago[order], np.arange(slices + 1))
    told, first = order[: start[-1]], np.full(n_items, -1)
    np.maximum.at(first, item, days_ago)
    _, visit = np.unique(days_ago[told] * (int(user.max()) + 1) + user[told], return_inverse=True)
    known = first[item[told]] > days_ago[told]
    return _Days(item[order], age, visit, known / np.maximum(np.bincount(visit, weights=known), 1)[visit], start, n_items)


def newest_signs(at_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | slice:
    """Places of the newest MOST_SIGNS of them, or of all."""
    if len(at_us) <= MOST_SIGNS:
        return slice(None)
    return np.argpartition(at_us, len(at_us) - MOST_SIGNS)[-MOST_SIGNS:]


def change_of(now: npt.NDArray[np.floating], likes: Floats, lately: float) -> npt.NDArray[np.float32]:
    """(n_items,) from −1 to 1: (now − then) / (now + then), of an item's share in what is popular now and in what taste was learned from.

    Taste foretells what users like as popular as it was; this is tanh of half the log of by how much that changed. FEW_LIKES are added to
    both, of all pairs and of the `lately` ones, so that it stays near 0 for what is rare, and where the last days hold few.
    """
    total = max(float(likes.sum()), 1.0)
    few = FEW_LIKES / total + FEW_LIKES / min(max(lately, 1.0), total)
    now, then = now.astype(np.float64) / max(float(now.sum()), 1e-12), likes / total
    found: npt.NDArray[np.float32] = ((now - then) / (now + then + few)).astype(np.float32)
    return found


def _drift(days: _Days, half_life: timedelta) -> float:
    """Of P(item) ∝ √(now · ever) · exp(UNIT · drift · change) on each day, the drift that makes its signs most likely.

    A conditional logit (McFadden, 1974) with a normal prior around 0. The root is what the rest of a score knows of popularity: taste knows
    it as it ever was, `trend` as it is now. A user counts once a day: who takes all there is says little of any.
    """
    told = []
    for ever, counts, inside in _mornings(days, half_life):
        now = _share(ever, counts)
        change = np.float32(UNIT) * change_of(now, ever, float(counts.sum()))
        asked = np.bincount(days.item[inside], weights=days.weight[inside], minlength=days.n_items)
        told.append((np.sqrt(now * ever / ever.sum()), change, float(asked.sum()), float(asked @ change)))

    def unlikely(drift: float) -> float:
        doubt = (drift / DOUBT) ** 2 / 2
        return doubt + sum(n * float(np.log(now @ np.exp(np.float32(drift) * change))) - drift * got for now, change, n, got in told)

    return round(float(minimize_scalar(unlikely, bounds=(0.0, MOST_DRIFT), method="bounded", options={"xatol": 1e-3}).x), 2)


def _told(days: _Days, half_life: timedelta | None) -> Floats:
    """(n_visits,) mean log share of what each user took on each day, by what came before that day; half_life None: nothing fades."""
    found = np.zeros(int(days.visit.max()) + 1)
    for ever, counts, inside in _mornings(days, half_life):
        told = np.log(np.maximum(_share(ever, counts), 1e-300))[days.item[inside]]
        found += np.bincount(days.visit[inside], weights=told * days.weight[inside], minlength=len(found))
    return found


def _surely_more(top: Floats, other: Floats) -> bool:
    """Whether the mean lead of `top` is more than twice its standard error."""
    lead = top - other
    return bool(lead.mean() > 2 * lead.std() / np.sqrt(len(lead)))


def _mornings(days: _Days, half_life: timedelta | None) -> Iterator[_Morning]:
    """Each day that is foretold, the oldest first; half_life None: nothing fades."""
    rate, slices, n_items = timedelta(days=1) / half_life if half_life else 0.0, len(days.start) - 1, days.n_items
    old = slice(days.start[slices], None)
    ever = np.bincount(days.item[old], minlength=n_items).astype(np.float64)
    faded = np.exp2(-(days.age[old] - slices) * rate)  # as it is then
    counts = np.bincount(days.item[old], weights=faded, minlength=n_items).astype(np.float64)
    for day in range(slices - 1, -1, -1):
        inside = slice(days.start[day], days.start[day + 1])
        yield _Morning(ever, counts, inside)
        item, faded = days.item[inside], np.exp2(-(days.age[inside] - day) * rate)
        ever = (ever + np.bincount(item, minlength=n_items)).astype(np.float64)
        counts = (counts * np.exp2(-rate) + np.bincount(item, weights=faded, minlength=n_items)).astype(np.float64)


def _share(ever: Floats, counts: Floats) -> Floats:
    """What is popular lately, as `fit_fallback` has it."""
    found: Floats = (counts + RECENT_PRIOR * ever / ever.sum()) / (counts.sum() + RECENT_PRIOR)
    return found
