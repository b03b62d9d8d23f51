"""When messages could go: per user and lane a few moments, apart from each other, best hours first."""

from __future__ import annotations

from typing import Any

from notif_rec.planning.compiled import inner
from notif_rec.planning.grid import has

MAX_SLOTS = 12
TOGETHER = 4  # messages whose best moments are looked for at once
NEVER = -1e9


@inner
def find_slots(
    hour_weight: Any, lane_open: Any, room: Any, hour: Any, lanes: Any, n_moments: int, slots: Any, anchors: Any, table: Any
) -> None:
    """Fills slots (n_lanes, MAX_SLOTS) with moments, -1 where there are no more.

    A lane's first slot is its best open moment. Then come the moments, one spacing apart, that together weigh most: for as many
    messages as the lanes of its group have room for, which share them so that the group's gap is kept, and for its own. Last come
    anchors: moments one spacing apart on a phase that the group shares, the one whose best anchors weigh most.
    hour_weight: (n_channels, 168). lane_open: (n_lanes, n_words). hour: (n_moments,) local hour of the week. anchors (n_moments,) and
    table (TOGETHER + 2, n_moments + 1): scratch.
    """
    for lane in range(len(lanes.channel)):
        for i in range(MAX_SLOTS):
            slots[lane, i] = -1
        channel, spacing = lanes.channel[lane], lanes.spacing[lane]
        best = _best(hour_weight[channel], lane_open[lane], hour, 0, 1, n_moments)
        if best < 0 or room[channel] == 0:
            continue
        slots[lane, 0], n, weight = best, 1, table[TOGETHER + 1]
        wanted = _wanted(lane, room, lanes)
        if wanted > 1:
            for k in range(n_moments):
                weight[k] = _heaviest(k, lanes.group[lane], hour_weight, lane_open, hour, lanes)
            n = _put_together(min(wanted, TOGETHER), spacing, n_moments, table, lane_open[lane], slots[lane], n)
        if 1 < room[channel] < wanted:
            for k in range(n_moments):
                weight[k] = hour_weight[channel, hour[k]] if has(lane_open[lane], k) else 0.0
            n = _put_together(min(room[channel], TOGETHER), spacing, n_moments, table, lane_open[lane], slots[lane], n)
        phase, first = _phase(lane, wanted, hour_weight, lane_open, hour, lanes, n_moments, anchors), n
        for k in range(phase, n_moments, spacing):
            if has(lane_open[lane], k) and not _holds(slots[lane], first, k):
                n = _keep_heaviest(slots[lane], first, n, k, hour_weight[channel], hour)


@inner
def _wanted(lane: int, room: Any, lanes: Any) -> int:
    """The messages that the lane's group has room for."""
    wanted = 0
    for c in range(len(room)):
        for other in range(len(lanes.channel)):
            if lanes.channel[other] == c and lanes.group[other] == lanes.group[lane]:
                wanted += room[c]
                break
    return wanted


@inner
def _put_together(most: int, spacing: int, n_moments: int, table: Any, words: Any, row: Any, n: int) -> int:
    """Puts into row[n:] the open moments, `spacing` apart, of the sets of `most`, most − 1, …, 2 moments that weigh most; returns n.

    The weights, 0 where a moment is closed, stand in the last row of `table`. table[m, k]: the most that m moments from k on weigh.
    """
    weight = table[TOGETHER + 1]
    table[0, : n_moments + 1] = 0.0
    for m in range(1, most + 1):
        table[m, n_moments] = NEVER
        for k in range(n_moments - 1, -1, -1):
            with_k = weight[k] + table[m - 1, min(k + spacing, n_moments)] if weight[k] > 0.0 else NEVER
            table[m, k] = max(table[m, k + 1], with_k)
    for m in range(most, 1, -1):
        left, k, start = m if table[m, 0] > 0.0 else 0, 0, n
        while left > 0:
            after = min(k + spacing, n_moments)
            if weight[k] <= 0.0 or weight[k] + table[left - 1, after] < table[left, k]:
                k += 1
                continue
            if n < MAX_SLOTS and has(words, k) and not _holds(row, n, k):
                n = _insert(row, start, n, k, weight)
            left, k = left - 1, after
    return n


@inner
def _insert(row: Any, low: int, n: int, moment: int, weight: Any) -> int:
    """Puts a moment among row[low:n] by falling weight, equals by time; returns n + 1."""
    k = n
    while k > low and weight[row[k - 1]] < weight[moment]:
        row[k] = row[k - 1]
        k -= 1
    row[k] = moment
    return n + 1


@inner
def _holds(row: Any, n: int, moment: int) -> bool:
    for i in range(n):  # noqa: SIM110
        if row[i] == moment:
            return True
    return False


@inner
def _best(weight: Any, words: Any, hour: Any, start: int, step: int, n_moments: int) -> int:
    """The heaviest open moment, the earliest of equals, -1 if none."""
    best = -1
    for k in range(start, n_moments, step):
        if has(words, k) and (best < 0 or weight[hour[k]] > weight[hour[best]]):
            best = k
    return best


@inner
def _phase(lane: int, wanted: int, hour_weight: Any, lane_open: Any, hour: Any, lanes: Any, n_moments: int, anchors: Any) -> int:
    """The phase whose anchors, as many as the group has messages, weigh most."""
    best, best_weight = 0, -1.0
    for phase in range(min(lanes.spacing[lane], n_moments)):
        n, total = 0, 0.0
        for k in range(phase, n_moments, lanes.spacing[lane]):
            weight = _heaviest(k, lanes.group[lane], hour_weight, lane_open, hour, lanes)
            m = n
            while m > 0 and anchors[m - 1] < weight:
                anchors[m] = anchors[m - 1]
                m -= 1
            anchors[m] = weight
            n += 1
        for i in range(min(n, wanted)):
            total += anchors[i]
        if total > best_weight + 1e-12:
            best, best_weight = phase, total
    return best


@inner
def _heaviest(k: int, group: int, hour_weight: Any, lane_open: Any, hour: Any, lanes: Any) -> float:
    weight = 0.0
    for lane in range(len(lanes.channel)):
        if lanes.group[lane] == group and has(lane_open[lane], k):
            weight = max(weight, hour_weight[lanes.channel[lane], hour[k]])
    return weight


@inner
def _keep_heaviest(row: Any, low: int, n: int, moment: int, weight: Any, hour: Any) -> int:
    """Puts a moment among row[low:n], by falling weight and then time, if it is one of the heaviest that there is room for; returns n."""
    if n == MAX_SLOTS and (low == n or weight[hour[row[n - 1]]] >= weight[hour[moment]]):
        return n
    k = min(n, MAX_SLOTS - 1)
    while k > low and weight[hour[row[k - 1]]] < weight[hour[moment]]:
        row[k] = row[k - 1]
        k -= 1
    row[k] = moment
    return int(min(n + 1, MAX_SLOTS))
