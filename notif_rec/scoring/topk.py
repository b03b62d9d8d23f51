"""Exact top-k over a float32 product, chosen by chunk maxima and scored again in float64.

A float32 product changes in its last bits with the shape of the batch. So it only nominates: everything within its error bound
of the k-th best is scored again, row by row, in float64 and a fixed order. A user's list never depends on who else is there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from threadpoolctl import threadpool_limits

BLOCK = 128  # users whose product with all items is held at once, per thread
CHUNK = 64
HALF_ULP = 2.0**-24
LANES = 8  # partial sums of a float64 dot product: fixed, so that every machine adds in the same order

Vectors = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Lists:
    """Sorted int32 lists, one per user: those of user u are item[offsets[u]:offsets[u + 1]]."""

    offsets: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]


@dataclass(frozen=True)
class Boost:
    """What similar items add to a user's scores: scale[u] × Σ over the profile of weight × neighbour's weight.

    offsets, item, weight: the profile of each user. near_*: the neighbours of each item, CSR over all items. scale: (n_users,);
    0 switches it off for a user. value: (n_users, k) out: the unscaled sum of each item chosen.
    """

    offsets: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    weight: npt.NDArray[np.float32]
    near_offsets: npt.NDArray[np.int64]
    near_item: npt.NDArray[np.int32]
    near_weight: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float64]


@dataclass(frozen=True)
class Allowed:
    """What may be chosen: `eligible` for anybody; of those not what `banned` lists for a user, nor items of a group that is
    shut to the user.

    group_of_item: (n_items,) int16, -1 = open to all. shut: (n_users, n_groups) bool.
    """

    eligible: npt.NDArray[np.bool_]
    banned: Lists
    group_of_item: npt.NDArray[np.int16]
    shut: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Chosen:
    """item (n_users, k) int32, -1 where nothing is left; score float64, best first; boost float64: the part of `Boost`, scaled."""

    item: npt.NDArray[np.int32]
    score: npt.NDArray[np.float64]
    boost: npt.NDArray[np.float64]


def top_k(users: Vectors, items: Vectors, k: int, allowed: Allowed, boost: Boost | None = None, *, threads: int = 1) -> Chosen:
    """The k best allowed items of each user by dot product plus boost; ties by item index; the same bits for any `threads`.

    users: (n_users, f). items: (n_items, f).
    """
    n = len(users)
    chosen = Chosen(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf), np.zeros((n, k)))
    live = np.flatnonzero(allowed.eligible).astype(np.int32)
    if not n or not len(live) or not k:
        return chosen
    table = items if len(live) == len(items) else np.ascontiguousarray(items[live])
    longest = float(np.sqrt(np.einsum("ij,ij->i", table, table, dtype=np.float64).max()))
    slack = 2 * (users.shape[1] + 4) * HALF_ULP * np.linalg.norm(users.astype(np.float64), axis=1) * longest
    groups = _groups(allowed.group_of_item[live], allowed.shut.shape[1])
    place = np.full(len(items), -1, np.int32)
    place[live] = np.arange(len(live), dtype=np.int32)
    adds = boost or _no_boost(n, len(items))

    def work(buffer: Vectors, start: int, stop: int) -> None:
        scores = buffer[: stop - start]
        np.matmul(users[start:stop], table.T, out=scores)
        _choose(
            scores, start, users, table, live, place, slack,
            adds.offsets, adds.item, adds.weight, adds.near_offsets, adds.near_item, adds.near_weight, adds.scale,
            allowed.banned.offsets, allowed.banned.item, groups.offsets, groups.item, allowed.shut,
            k, chosen.item, chosen.score, chosen.boost,
        )  # fmt: skip

    _each_block(work, n, len(live), threads)
    return chosen


def _each_block(work: Callable[[Vectors, int, int], None], n: int, width: int, threads: int) -> None:
    starts = deque(range(0, n, BLOCK))

    def drain(_: int) -> None:
        buffer = np.empty((min(BLOCK, n), width), np.float32)
        while True:
            try:
                start = starts.popleft()
            except IndexError:
                return
            work(buffer, start, min(start + BLOCK, n))

    with threadpool_limits(1, "blas"):
        if threads == 1:
            drain(0)
            return
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(drain, range(threads)))


def _groups(group: npt.NDArray[np.int16], n_groups: int) -> Lists:
    """The places of the items of each group."""
    order = np.argsort(group, kind="stable").astype(np.int32)
    offsets = np.searchsorted(group[order], np.arange(n_groups + 1)).astype(np.int64)
    return Lists(offsets, order)


def _no_boost(n_users: int, n_items: int) -> Boost:
    none, no_weight = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return Boost(np.zeros(n_users + 1, np.int64), none, no_weight, np.zeros(n_items + 1, np.int64), none, no_weight, np.zeros(n_users))


@njit(cache=True, nogil=True)
def _choose(
    scores, start, users, table, live, place, slack,
    own_at, own_item, own_weight, near_at, near_item, near_weight, scale,
    ban_at, ban_item, group_at, group_item, shut,
    k, out_item, out_score, out_boost,
):  # type: ignore[no-untyped-def]  # fmt: skip
    """Fills rows start… of out_* from the product `scores` of these users with `table`; changes `scores`."""
    m = table.shape[0]
    acc = np.zeros(place.shape[0] if own_item.shape[0] else 0, np.float32)
    found = np.empty(m, np.int32)
    for r in range(scores.shape[0]):
        u = start + r
        row = scores[r]
        room = slack[u]
        boosted = scale[u] != 0.0 and own_at[u] < own_at[u + 1]
        if boosted:
            room += _boost(row, acc, u, live, own_at, own_item, own_weight, near_at, near_item, near_weight, np.float32(scale[u]))
        for p in range(ban_at[u], ban_at[u + 1]):
            if place[ban_item[p]] >= 0:
                row[place[ban_item[p]]] = -np.inf
        for g in range(shut.shape[1]):
            if shut[u, g]:
                for p in range(group_at[g], group_at[g + 1]):
                    row[group_item[p]] = -np.inf
        n = _nominate(row, k, room, found)
        exact = np.empty(n, np.float64)
        for i in range(n):
            exact[i] = _dot(users[u], table[found[i]])
            if boosted:
                exact[i] += scale[u] * acc[live[found[i]]]
        order = np.argsort(-exact, kind="mergesort")  # stable: ties stay in item order
        for i in range(min(k, n)):
            at = found[order[i]]
            out_item[u, i] = live[at]
            out_score[u, i] = exact[order[i]]
            if boosted:
                out_boost[u, i] = scale[u] * acc[live[at]]


@njit(cache=True, nogil=True)
def _boost(row, acc, u, live, own_at, own_item, own_weight, near_at, near_item, near_weight, scale):  # type: ignore[no-untyped-def]
    """Adds the boost to `row`, leaves the sums in `acc`; returns what rounding may have cost, twice."""
    walk(acc, u, own_at, own_item, own_weight, near_at, near_item, near_weight)
    most = np.float32(0.0)
    for j in range(row.shape[0]):
        most = max(most, acc[live[j]])
        row[j] += scale * acc[live[j]]
    return 8.0 * HALF_ULP * abs(scale) * most


@njit(cache=True, nogil=True)
def walk(acc, u, own_at, own_item, own_weight, near_at, near_item, near_weight):  # type: ignore[no-untyped-def]
    """acc (n_items,) float32 = Σ over user u's profile of weight × neighbour's weight, added in a fixed order."""
    acc[:] = 0.0
    for p in range(own_at[u], own_at[u + 1]):
        for q in range(near_at[own_item[p]], near_at[own_item[p] + 1]):
            acc[near_item[q]] += own_weight[p] * near_weight[q]


@njit(cache=True, nogil=True)
def _nominate(row, k, room, found):  # type: ignore[no-untyped-def]
    """Writes the ascending places of all entries that may be among the k best into `found`; returns how many."""
    m = row.shape[0]
    n_chunks = (m + CHUNK - 1) // CHUNK
    peaks = np.empty(n_chunks, np.float32)
    for c in range(n_chunks):
        peaks[c] = _peak(row[c * CHUNK : min(c * CHUNK + CHUNK, m)])
    least = -np.inf
    if n_chunks > k:
        least = np.float64(np.partition(peaks, n_chunks - k)[n_chunks - k]) - room
    n = 0
    for c in range(n_chunks):
        if peaks[c] >= least and peaks[c] > -np.inf:
            for j in range(c * CHUNK, min(c * CHUNK + CHUNK, m)):
                if row[j] >= least and row[j] > -np.inf:
                    found[n] = j
                    n += 1
    if n <= k:
        return n
    least = np.float64(np.partition(row[found[:n]], n - k)[n - k]) - room
    kept = 0
    for i in range(n):
        if row[found[i]] >= least:
            found[kept] = found[i]
            kept += 1
    return kept


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})
def _peak(values):  # type: ignore[no-untyped-def]
    most = np.float32(-np.inf)
    for i in range(values.shape[0]):
        most = max(most, values[i])
    return most


@njit(cache=True, nogil=True)
def _dot(a, b):  # type: ignore[no-untyped-def]
    """a · b in float64, in LANES partial sums."""
    part = np.zeros(LANES, np.float64)
    whole = a.shape[0] // LANES * LANES
    for i in range(0, whole, LANES):
        for lane in range(LANES):
            part[lane] += np.float64(a[i + lane]) * np.float64(b[i + lane])
    for i in range(whole, a.shape[0]):
        part[0] += np.float64(a[i]) * np.float64(b[i])
    total = 0.0
    for lane in range(LANES):
        total += part[lane]
    return total
