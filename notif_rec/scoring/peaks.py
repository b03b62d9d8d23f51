"""The peaks of strips of a row of scores: its highest, and all from a threshold on, found without looking at every score twice."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

LANES = DEPTH = 16  # a strip is every LANES-th score of a run: its peak is found without looking across a vector register
RUN = LANES * DEPTH
LOWEST = float(np.finfo(np.float32).min)

Vectors = npt.NDArray[np.float32]
Items = npt.NDArray[np.int32]
Wide = npt.NDArray[np.float64]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def nominate(row: Vectors, least: float, peaks: Vectors, tops: Vectors, found: Items) -> int:
    """Writes the places of all entries from `least` on, but for −inf, into `found`, in no order; returns how many.

    `peaks` are those of the row and `tops` the peaks of the peaks.
    """
    n, least = 0, max(least, LOWEST)
    for t in range(tops.shape[0]):
        if tops[t] >= least:
            first_peak = t // LANES * RUN + t % LANES
            for s in range(first_peak, first_peak + RUN, LANES):
                if peaks[s] >= least:
                    first = s // LANES * RUN + s % LANES
                    for j in range(first, first + RUN, LANES):
                        found[n] = j
                        n += row[j] >= least
    return n


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def leading(row: Vectors, k: int, room: float, peaks: Vectors, tops: Vectors, heap: Vectors, found: Items) -> int:
    """Writes the places of the k highest entries, of what lies less than `room` below and of a few more into `found`; returns how many.

    Fills `peaks` and `tops`: the k-th highest peak is no higher than the k-th highest entry.
    """
    find_peaks(row, peaks)
    find_peaks(peaks, tops)
    n: int = nominate(row, kth(tops if tops.shape[0] >= 2 * k else peaks, k, heap) - room, peaks, tops, found)
    return n if n <= 2 * k else narrow(row, k, room, heap, found, n)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def narrow(row: Vectors, k: int, room: float, heap: Vectors, found: Items, n: int) -> int:
    """Drops the first n nominees that lie more than `room` below the k-th best of them; returns how many stay, at the front."""
    least = kth(row[found[:n]], k, heap) - room
    kept = 0
    for i in range(n):
        if row[found[i]] >= least:
            found[kept] = found[i]
            kept += 1
    return kept


@njit(cache=True, nogil=True, fastmath={"nnan", "nsz"})  # type: ignore[untyped-decorator]
def find_peaks(row: Vectors, peaks: Vectors) -> None:
    """peaks[r · LANES + l] = the highest of row[r · RUN + l :: LANES] within run r; −inf beyond the last run of `row`."""
    step = LANES
    for run in range(row.shape[0] // RUN):
        a, first = row[run * RUN : (run + 1) * RUN], run * step
        for i in range(LANES):  # written out, since only so it becomes one pass of vector instructions
            low = max(max(a[i], a[i + step]), max(a[i + 2 * step], a[i + 3 * step]))
            low = max(low, max(max(a[i + 4 * step], a[i + 5 * step]), max(a[i + 6 * step], a[i + 7 * step])))
            high = max(max(a[i + 8 * step], a[i + 9 * step]), max(a[i + 10 * step], a[i + 11 * step]))
            high = max(high, max(max(a[i + 12 * step], a[i + 13 * step]), max(a[i + 14 * step], a[i + 15 * step])))
            peaks[first + i] = max(low, high)
    peaks[row.shape[0] // DEPTH :] = -np.inf


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def kth(values: Vectors, k: int, heap: Vectors) -> float:
    """The k-th highest value, −inf where there are fewer; `heap` has k places, the lowest first."""
    heap[:] = -np.inf
    for value in values:
        if value > heap[0]:
            at = 0
            while 2 * at + 1 < k:
                child = 2 * at + 1
                if child + 1 < k and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= value:
                    break
                heap[at] = heap[child]
                at = child
            heap[at] = value
    return np.float64(heap[0])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def insert(exact: Wide, found: Items, first: int, n: int, order: Items, m: int) -> int:
    """Sorts nominees first to n into order[:m], the best so far: highest exact score first, ties by place; returns the new m."""
    for i in range(first, n):
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
