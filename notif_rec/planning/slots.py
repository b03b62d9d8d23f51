"""When messages could go: per user and lane a few moments, apart from each other, best hour first."""

from __future__ import annotations

from typing import Any

from notif_rec.planning.compiled import inner
from notif_rec.planning.grid import has

MAX_SLOTS = 12


@inner
def find_slots(hour_weight: Any, lane_open: Any, room: Any, hour: Any, lanes: Any, n_moments: int, slots: Any, anchors: Any) -> None:
    """Fills slots (n_lanes, MAX_SLOTS) with moments, -1 where there are no more.

    A lane's first slot is its best open moment. The others are anchors: moments one spacing apart, on a phase that the lanes of
    a group share, so that any two of them keep the group's gap; the phase is the one whose best anchors weigh most.
    hour_weight: (n_channels, 168). lane_open: (n_lanes, n_words). hour: (n_moments,) local hour of the week. anchors: scratch (n_moments,).
    """
    for lane in range(len(lanes.channel)):
        for i in range(MAX_SLOTS):
            slots[lane, i] = -1
        channel = lanes.channel[lane]
        best = _best(hour_weight[channel], lane_open[lane], hour, 0, 1, n_moments)
        if best < 0 or room[channel] == 0:
            continue
        slots[lane, 0] = best
        phase = _phase(lane, hour_weight, lane_open, room, hour, lanes, n_moments, anchors)
        n = 1
        for k in range(phase, n_moments, lanes.spacing[lane]):
            if has(lane_open[lane], k) and k != best:
                n = _keep_heaviest(slots[lane], n, k, hour_weight[channel], hour)


@inner
def _best(weight: Any, words: Any, hour: Any, start: int, step: int, n_moments: int) -> int:
    """The heaviest open moment, the earliest of equals, -1 if none."""
    best = -1
    for k in range(start, n_moments, step):
        if has(words, k) and (best < 0 or weight[hour[k]] > weight[hour[best]]):
            best = k
    return best


@inner
def _phase(lane: int, hour_weight: Any, lane_open: Any, room: Any, hour: Any, lanes: Any, n_moments: int, anchors: Any) -> int:
    """The phase whose anchors, as many as the group has messages, weigh most."""
    wanted = 0
    for c in range(len(room)):
        for other in range(len(lanes.channel)):
            if lanes.channel[other] == c and lanes.group[other] == lanes.group[lane]:
                wanted += room[c]
                break
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
def _keep_heaviest(row: Any, n: int, moment: int, weight: Any, hour: Any) -> int:
    """Puts a moment among row[1:n], by falling weight and then time, if it is one of the heaviest that there is room for; returns n."""
    if n == MAX_SLOTS and weight[hour[row[n - 1]]] >= weight[hour[moment]]:
        return n
    k = min(n, MAX_SLOTS - 1)
    while k > 1 and weight[hour[row[k - 1]]] < weight[hour[moment]]:
        row[k] = row[k - 1]
        k -= 1
    row[k] = moment
    return int(min(n + 1, MAX_SLOTS))
