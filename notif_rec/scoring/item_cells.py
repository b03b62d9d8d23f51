"""The parts of items that depend on the user, and the cells of a plan's candidates: loops over what each user liked and was sent."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from notif_rec.scoring.item_parts import AFFINITY_EDGES, AFFINITY_WORTH, REPEAT_US, STEPS, Ints, Parts


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def affinity_of(own: float, all_own: float, n_categories: int) -> int:
    """A category's share of the user's signs of taste beside an even share; the middle where the user or the item has none."""
    if n_categories <= 0:
        return 2
    even = 1.0 / n_categories
    lift = (own + AFFINITY_WORTH * even) / (all_own + AFFINITY_WORTH) * n_categories
    return int(np.searchsorted(AFFINITY_EDGES, lift, side="right"))


class Signs(NamedTuple):
    """Signs of taste, user u's in rows start[u] to start[u + 1], in order of time. category: -1 = none."""

    start: Ints
    us: Ints
    category: npt.NDArray[np.int32]


class SentBefore(NamedTuple):
    """Sends, user u's in rows start[u] to start[u + 1], in order of time; send s held the items item_start[s] to item_start[s + 1]."""

    start: Ints
    us: Ints
    item_start: Ints
    item: npt.NDArray[np.int32]


def parts_about_user(
    user: npt.NDArray[np.integer[Any]], plan_us: Ints, items: Ints, item: npt.NDArray[np.int32], category: npt.NDArray[np.int32],
    signs: Signs, sent: SentBefore, n_categories: int, lookback_us: int,
) -> tuple[Parts, Parts]:  # fmt: skip
    """(n_items,) affinity and repeats of the items of some sends: send i, planned at plan_us[i], holds items[i] to items[i + 1]."""
    affinity, repeats = np.zeros(len(item), np.int8), np.zeros(len(item), np.int8)
    _about_user(user.astype(np.int64), plan_us, items, item, category, signs, sent, n_categories, lookback_us, affinity, repeats)
    return affinity, repeats


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _about_user(
    user: Any, plan_us: Any, items: Any, item: Any, category: Any, signs: Any, sent: Any, n_categories: int, lookback_us: int,
    affinity: Any, repeats: Any,
) -> None:  # fmt: skip
    counts = np.zeros(max(n_categories, 1))
    for i in range(len(user)):
        u, now = user[i], plan_us[i]
        total, low, high = 0.0, signs.start[u], signs.start[u + 1]
        for k in range(low, high):
            if signs.us[k] >= now:
                high = k
                break
            if signs.category[k] >= 0 and signs.us[k] >= now - lookback_us:
                counts[signs.category[k]] += 1.0
                total += 1.0
        for m in range(items[i], items[i + 1]):
            own = counts[category[m]] if category[m] >= 0 else 0.0
            affinity[m] = affinity_of(own, total, n_categories) if category[m] >= 0 else 2
            repeats[m] = _times_sent(sent, u, item[m], now)
        for k in range(low, high):
            if signs.category[k] >= 0:
                counts[signs.category[k]] = 0.0


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _times_sent(sent: Any, u: int, item: int, now: int) -> int:
    times = 0
    first, end = sent.start[u], sent.start[u] + np.searchsorted(sent.us[sent.start[u] : sent.start[u + 1]], now)
    for j in range(end - 1, first - 1, -1):
        if sent.us[j] < now - REPEAT_US or times == 2:
            break
        for k in range(sent.item_start[j], sent.item_start[j + 1]):
            times += sent.item[k] == item
    return min(times, 2)


class Candidates(NamedTuple):
    """What cells of candidates are made of; per item of the model: parts and category. Per user: signs by category, ascending, how many
    there are altogether, and items sent, by item and time."""

    popularity: npt.NDArray[np.int8]
    age: npt.NDArray[np.int8]
    category: npt.NDArray[np.int32]
    n_categories: int
    liked_start: Ints
    liked_category: npt.NDArray[np.int32]
    liked_count: npt.NDArray[np.float32]
    sent_start: Ints
    sent_item: npt.NDArray[np.int32]
    sent_us: Ints


def candidate_cells(item: npt.NDArray[np.int32], bucket: Ints, users: Ints, now: int, known: Candidates) -> tuple[Ints, Ints]:
    """(n, k) cells by opens and by clicks of the candidates of some users (rows of `known`). bucket: (n, k) of their ranks."""
    opened, clicked = np.zeros(item.shape, np.int64), np.zeros(item.shape, np.int64)
    _cells(item, bucket, users.astype(np.int64), now, known, STEPS, opened, clicked)
    return opened, clicked


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cells(item: Any, bucket: Any, users: Any, now: int, known: Any, steps: Any, opened: Any, clicked: Any) -> None:
    for i in range(len(users)):
        u, total = users[i], 0.0
        a, b = known.liked_start[u], known.liked_start[u + 1]
        for m in range(a, b):
            total += known.liked_count[m]
        for r in range(item.shape[1]):
            found = item[i, r]
            if found < 0:
                break
            affinity, category = 2, known.category[found]
            if category >= 0:
                m = a + np.searchsorted(known.liked_category[a:b], category)
                own = known.liked_count[m] if m < b and known.liked_category[m] == category else 0.0
                affinity = affinity_of(own, total, known.n_categories)
            times = 0
            m = known.sent_start[u] + np.searchsorted(known.sent_item[known.sent_start[u] : known.sent_start[u + 1]], found)
            while m < known.sent_start[u + 1] and known.sent_item[m] == found:
                times += now - REPEAT_US <= known.sent_us[m] < now
                m += 1
            cell = bucket[i, r] * steps[0] + known.age[found] * steps[2] + affinity * steps[3] + min(times, 2) * steps[4]
            opened[i, r] = cell + known.popularity[found, 0] * steps[1]
            clicked[i, r] = cell + known.popularity[found, 1] * steps[1]
