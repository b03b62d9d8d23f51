"""Exact top-k: a product nominates by the peaks of its strips, and what it nominates is scored again in float64.

A float32 product changes in its last bits with the shape of the batch, one of bytes is coarse. So it only nominates: everything
within its error bound of the k-th best is scored again, row by row, in float64 and a fixed order. A user's list never depends on
who else is there, nor on what nominated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from notif_rec.models.blas import one_blas_thread
from notif_rec.scoring.peaks import DEPTH, RUN, insert, leading, nominate
from notif_rec.scoring.small_product import USERS, aligned, multiply, pack, ready

BLOCK, SMALL_BLOCK = 128, 32  # users whose product with all items is held at once, per thread: of floats, of bytes
MANY = 256  # users from whom on it pays to pack the items as bytes
SPARED = 4096  # multiplications of bytes instead of floats that pay for one more item a list: there more is nominated
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


class Chosen(NamedTuple):
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
    slack = (users.shape[1] + 4) * HALF_ULP * length * longest  # what a score of the product may be wrong by
    width = len(table.live)
    walk = walk or _no_walk(n, len(items))
    pays = n >= MANY and width * users.shape[1] >= SPARED * k
    packed = pack(table.vectors) if pays and ready() and np.isfinite(longest) else None
    given = (users, table, slack, walk, allowed.banned, allowed.shut, k, chosen)

    def work(buffer: Vectors, start: int, stop: int) -> None:
        if packed is None:
            np.matmul(users[start:stop], table.vectors.T, out=buffer[: stop - start, :width])
        else:
            multiply(users[start:stop], packed, buffer, slack[start:stop])
        _choose(buffer, packed is not None, start, stop, *given)

    each_block(work, n, BLOCK if packed is None else SMALL_BLOCK, width, threads)
    return chosen


def each_block(work: Callable[[Vectors, int, int], None], n: int, block: int, width: int, threads: int) -> None:
    """Calls work(buffer, start, stop) for blocks of n users, `threads` at once.

    A buffer has `block` rows, or n where there are fewer, `width` columns, and some of both to spare.
    """
    starts = deque(range(0, n, block))

    def drain(_: int) -> None:
        buffer = aligned(-(-min(block, n) // USERS) * USERS, -(-width // RUN) * RUN, np.float32)
        while starts:
            try:
                start = starts.popleft()
            except IndexError:  # another thread took the last one
                return
            work(buffer, start, min(start + block, n))

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
    coarse: bool,
    start: int,
    stop: int,
    users: Vectors,
    table: _Table,
    slack: Wide,
    walk: Walk,
    banned: Lists,
    shut: npt.NDArray[np.bool_],
    k: int,
    out: Chosen,
) -> None:
    """Fills rows start to stop of `out` from the product `scores` of these users with the table; changes `scores`.

    coarse: whether the product is, so that it pays to look first at the k best and then at what their exact scores leave.
    """
    live, m = table.live, table.live.shape[0]
    walked = np.zeros(table.place.shape[0] if walk.share > 0.0 else 0, np.float32)
    peaks = np.empty((scores.shape[1] // DEPTH + RUN - 1) // RUN * RUN, np.float32)
    tops, heap = np.empty(peaks.shape[0] // DEPTH, np.float32), np.empty(k, np.float32)
    found, exact, order = np.empty(m + 1, np.int32), np.empty(m, np.float64), np.empty(k, np.int32)
    for u in range(start, stop):
        row, room, mean, scale = scores[u - start], slack[u], 0.0, 0.0
        if walk.share > 0.0 and walk.offsets[u] < walk.offsets[u + 1]:
            _walk(walked, u, walk)
            mean, scale, most = _standard(walked, walk.share)
            _add(row, walked, np.float32(scale), live)
            room += 8.0 * HALF_ULP * scale * most
        _shut_out(row, u, table, banned, shut)
        n = leading(row, k, 0.0 if coarse else 2.0 * room, peaks, tops, heap, found)
        _score(users[u], table, walked, mean, scale, found, 0, n, exact)
        kept = insert(exact, found, 0, n, order, 0)
        if coarse and kept == k:  # the last of whom is a floor: whatever may reach it is scored too
            row[found[:n]] = -np.inf
            more = nominate(row, exact[order[k - 1]] + scale * mean - room, peaks, tops, found[n:])
            _score(users[u], table, walked, mean, scale, found, n, n + more, exact)
            insert(exact, found, n, n + more, order, kept)
        for i in range(kept):
            item = live[found[order[i]]]
            out.item[u, i], out.score[u, i] = item, exact[order[i]]
            if scale > 0.0:
                out.walked[u, i] = scale * (walked[item] - mean)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shut_out(row: Vectors, u: int, table: _Table, banned: Lists, shut: npt.NDArray[np.bool_]) -> None:
    """−inf for what user u may not get, and beyond the last item."""
    row[table.live.shape[0] :] = -np.inf
    for p in range(banned.offsets[u], banned.offsets[u + 1]):
        if table.place[banned.item[p]] >= 0:
            row[table.place[banned.item[p]]] = -np.inf
    for g in range(shut.shape[1]):
        if shut[u, g]:
            for p in range(table.group_offsets[g], table.group_offsets[g + 1]):
                row[table.group_item[p]] = -np.inf


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
def _score(user: Vectors, table: _Table, walked: Vectors, mean: float, scale: float, found: Items, first: int, n: int, exact: Wide) -> None:
    """The exact scores of nominees first to n."""
    for i in range(first, n):
        exact[i] = _dot(user, table.vectors[found[i]])
        if scale > 0.0:
            exact[i] += scale * (walked[table.live[found[i]]] - mean)


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _dot(a: Vectors, b: Vectors) -> float:
    """a · b in float64; the compiler fixes the order of the sum, whatever the batch."""
    total = 0.0
    for i in range(a.shape[0]):
        total += np.float64(a[i]) * np.float64(b[i])
    return total
