"""Exact top-k over a float32 product, nominated by the peaks of its strips and scored again in float64.

A float32 product changes in its last bits with the shape of the batch. So it only nominates: everything within its error bound
of the k-th best is scored again, row by row, in float64 and a fixed order. A user's list never depends on who else is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from notif_rec.models.blas import one_blas_thread
from notif_rec.scoring.peaks import DEPTH, RUN, nominate

BLOCK = 128  # users whose product with all items is held at once, per thread
HALF_ULP = 2.0**-24

Vectors = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Items = npt.NDArray[np.int32]
Wide = npt.NDArray[np.float64]


class Lists(NamedTuple):
    """Lists of items, one per user: those of user u are item[offsets[u]:offsets[u + 1]]."""

    offsets: Ints
    item: Items


class Walk(NamedTuple):
    """What similar items add to each user's scores: share × z(Σ over the profile of weight × neighbour's weight).

    z is over all items. offsets, item, weight: the profile of each user. near_*: the neighbours of each item, CSR over all items.
    new: items to which no such road leads yet; each is added what its known likes got, alike_weight times, rows of a CSR as long as `new`.
    """

    share: float
    offsets: Ints
    item: Items
    weight: Vectors
    near_offsets: Ints
    near_item: Items
    near_weight: Vectors
    new: Items
    alike_offsets: Ints
    alike_item: Items
    alike_weight: Vectors


class Allowed(NamedTuple):
    """What may be chosen: eligible items, of those not what `banned` lists for a user, nor items of a group shut to the user.

    eligible: (n_items,) bool. group_of_item: (n_items,) int16, -1 = open to all. shut: (n_users, n_groups) bool.
    """

    eligible: npt.NDArray[np.bool_]
    banned: Lists
    group_of_item: npt.NDArray[np.int16]
    shut: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """item (n_users, k) int32, -1 where nothing is left; score float64, best first, -inf there; walked: the Walk's part of it."""

    item: Items
    score: Wide
    walked: Wide


class _Table(NamedTuple):
    """The eligible items: their vectors, their place among all, the place of each of all among them (-1 = none), by group."""

    vectors: Vectors
    live: Items
    place: Items
    group_offsets: Ints
    group_item: Items


def top_k(users: Vectors, items: Vectors, k: int, allowed: Allowed, walk: Walk | None = None, *, threads: int = 1) -> Chosen:
    """The k best allowed items of each user by dot product plus walk; ties by item index; the same bits for any `threads`.

    users: (n_users, f). items: (n_items, f).
    """
    n = len(users)
    chosen = Chosen(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf), np.zeros((n, k)))
    if not n or not allowed.eligible.any() or not k:
        return chosen
    table = _table(items, allowed)
    longest = float(np.sqrt(np.einsum("ij,ij->i", table.vectors, table.vectors, dtype=np.float64).max()))
    length = np.sqrt(np.einsum("ij,ij->i", users, users, dtype=np.float64))
    slack = 2 * (users.shape[1] + 4) * HALF_ULP * length * longest
    width = len(table.live)
    walk = walk or _no_walk(n, len(items))

    def work(buffer: Vectors, start: int, stop: int) -> None:
        np.matmul(users[start:stop], table.vectors.T, out=buffer[: stop - start, :width])
        _choose(buffer, start, stop, users, table, slack, walk, allowed.banned, allowed.shut, k, chosen.item, chosen.score, chosen.walked)

    each_block(work, n, width, threads)
    return chosen


def each_block(work: Callable[[Vectors, int, int], None], n: int, width: int, threads: int) -> None:
    """Calls work(buffer, start, stop) for blocks of n users, `threads` at once; a buffer has `width` columns and some to spare."""
    starts = deque(range(0, n, BLOCK))

    def drain(_: int) -> None:
        buffer = np.empty((min(BLOCK, n), -(-width // RUN) * RUN), np.float32)
        while starts:
            try:
                start = starts.popleft()
            except IndexError:  # another thread took the last one
                return
            work(buffer, start, min(start + BLOCK, n))

    with one_blas_thread():
        if threads == 1:
            drain(0)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(drain, range(threads)))


def _table(items: Vectors, allowed: Allowed) -> _Table:
    live = np.flatnonzero(allowed.eligible).astype(np.int32)
    place = np.full(len(items), -1, np.int32)
    place[live] = np.arange(len(live), dtype=np.int32)
    group = allowed.group_of_item[live]
    order = np.argsort(group, kind="stable").astype(np.int32)
    offsets = np.searchsorted(group[order], np.arange(allowed.shut.shape[1] + 1)).astype(np.int64)
    return _Table(items if len(live) == len(items) else items[live], live, place, offsets, order)


def _no_walk(n_users: int, n_items: int) -> Walk:
    item, weight, none = np.zeros(0, np.int32), np.zeros(0, np.float32), np.zeros(1, np.int64)
    return Walk(0.0, np.zeros(n_users + 1, np.int64), item, weight, np.zeros(n_items + 1, np.int64), item, weight, item, none, item, weight)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _choose(
    scores: Vectors,
    start: int,
    stop: int,
    users: Vectors,
    table: _Table,
    slack: Wide,
    walk: Walk,
    banned: Lists,
    shut: npt.NDArray[np.bool_],
    k: int,
    out_item: Items,
    out_score: Wide,
    out_walked: Wide,
) -> None:
    """Fills rows start to stop of out_* from the product `scores` of these users with the table; changes `scores`."""
    live, place, m = table.live, table.place, table.live.shape[0]
    walked = np.zeros(place.shape[0] if walk.share > 0.0 else 0, np.float32)
    peaks = np.empty((scores.shape[1] // DEPTH + RUN - 1) // RUN * RUN, np.float32)
    tops, heap = np.empty(peaks.shape[0] // DEPTH, np.float32), np.empty(k, np.float32)
    found, exact, order = np.empty(m, np.int32), np.empty(m, np.float64), np.empty(k, np.int32)
    for u in range(start, stop):
        row = scores[u - start]
        row[m:] = -np.inf
        room, mean, scale = slack[u], 0.0, 0.0
        if walk.share > 0.0 and walk.offsets[u] < walk.offsets[u + 1]:
            _walk(walked, u, walk)
            mean, scale, most = _standard(walked, walk.share)
            _add(row, walked, np.float32(scale), live)
            room += 8.0 * HALF_ULP * scale * most
        for p in range(banned.offsets[u], banned.offsets[u + 1]):
            if place[banned.item[p]] >= 0:
                row[place[banned.item[p]]] = -np.inf
        for g in range(shut.shape[1]):
            if shut[u, g]:
                for p in range(table.group_offsets[g], table.group_offsets[g + 1]):
                    row[table.group_item[p]] = -np.inf
        n = nominate(row, k, room, peaks, tops, heap, found)
        for i in range(n):
            exact[i] = _dot(users[u], table.vectors[found[i]])
            if scale > 0.0:
                exact[i] += scale * (walked[live[found[i]]] - mean)
        for i in range(_rank(exact, found, n, order)):
            item = live[found[order[i]]]
            out_item[u, i], out_score[u, i] = item, exact[order[i]]
            if scale > 0.0:
                out_walked[u, i] = scale * (walked[item] - mean)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(walked: Vectors, u: int, walk: Walk) -> None:
    """walked (n_items,) = Σ over user u's profile of weight × neighbour's weight, then what that says of new items, in a fixed order."""
    walked[:] = 0.0
    for p in range(walk.offsets[u], walk.offsets[u + 1]):
        weight = walk.weight[p]
        for q in range(walk.near_offsets[walk.item[p]], walk.near_offsets[walk.item[p] + 1]):
            walked[walk.near_item[q]] += weight * walk.near_weight[q]
    for i in range(walk.new.shape[0]):
        for q in range(walk.alike_offsets[i], walk.alike_offsets[i + 1]):
            walked[walk.new[i]] += walk.alike_weight[q] * walked[walk.alike_item[q]]


@njit(cache=True, nogil=True, fastmath={"reassoc", "nnan", "nsz"})  # type: ignore[untyped-decorator]
def _standard(walked: Vectors, share: float) -> tuple[float, float, float]:
    """Mean, share / spread (0 where there is no spread) and largest of the sums."""
    total, squares, most = 0.0, 0.0, np.float32(0.0)
    for j in range(walked.shape[0]):
        value = np.float64(walked[j])
        total += value
        squares += value * value
        most = max(most, walked[j])
    mean = total / walked.shape[0]
    variance = squares / walked.shape[0] - mean * mean
    return mean, share / np.sqrt(variance) if variance > 0.0 else 0.0, np.float64(most)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _add(row: Vectors, walked: Vectors, scale: np.float32, live: Items) -> None:
    m = live.shape[0]
    if m == walked.shape[0]:
        for j in range(m):
            row[j] += scale * walked[j]
    else:
        for j in range(m):
            row[j] += scale * walked[live[j]]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rank(exact: Wide, found: Items, n: int, order: Items) -> int:
    """order[:m]: the best m = min(n, len(order)) nominees, highest exact score first, ties by place; returns m."""
    m = 0
    for i in range(n):
        at = m
        while at > 0:
            other = order[at - 1]
            if exact[other] > exact[i] or (exact[other] == exact[i] and found[other] < found[i]):
                break
            at -= 1
        if at == order.shape[0]:
            continue
        m = min(m + 1, order.shape[0])
        for place in range(m - 1, at, -1):
            order[place] = order[place - 1]
        order[at] = i
    return m


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _dot(a: Vectors, b: Vectors) -> float:
    """a · b in float64; the compiler fixes the order of the sum, whatever the batch."""
    total = 0.0
    for i in range(a.shape[0]):
        total += np.float64(a[i]) * np.float64(b[i])
    return total
