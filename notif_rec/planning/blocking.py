"""Which moments the sends already known leave free of each cap."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.caps import PER, Caps
from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.grid import Grid, Words, first_after, first_at, set_range
from notif_rec.planning.users import Sends
from notif_rec.policy.local_time import DAY_US, NEVER, ZoneTable, period_of, zone_table

IntArray = npt.NDArray[np.int64]
REACH_US = 33 * DAY_US  # no calendar period is longer than 31 days, and no clock is set by more than one


class Clock:
    """The wall clock of a batch: zone rows, and the calendar period (by code in PER) of moments and of sends."""

    def __init__(self, names: tuple[str, ...], zone: npt.NDArray[np.int32], first_us: int, last_us: int) -> None:
        self.names = names
        self.zone = zone.astype(np.int64)
        self.table: ZoneTable = zone_table(names, first_us - REACH_US, last_us + REACH_US)

    def wall_us(self, moments_us: IntArray) -> IntArray:
        """(n_zones, n_moments) wall clock."""
        return self.table.wall_us(np.arange(len(self.names))[:, None], moments_us[None, :])

    def periods_of_moments(self, moments_us: IntArray) -> IntArray:
        """(len(PER), n_zones, n_moments) numbers of calendar periods; row 0, rolling, is empty of meaning."""
        wall = self.wall_us(moments_us)
        return np.stack([np.zeros_like(wall), *(period_of(per, wall) for per in PER[1:])])

    def periods_of_sends(self, start: IntArray, us: IntArray) -> IntArray:
        """(len(PER), n_sends) the same for ragged sends; NEVER for those too far away to share a period with a moment."""
        near = (us >= self.table.start_us) & (us < self.table.end_us)
        periods = np.full((len(PER), len(us)), NEVER, dtype=np.int64)
        wall = self.table.wall_us(np.repeat(self.zone, np.diff(start))[near], us[near])
        for code, per in enumerate(PER[1:], start=1):
            periods[code, near] = period_of(per, wall)
        return periods


def blocked_by_history(sends: Sends, caps: Caps, grid: Grid, clock: Clock) -> Words:
    """(n_users, n_caps, n_words): the moments at which one more send would make or worsen a breach of a cap.

    Caps per item are left empty: they depend on the item.
    """
    blocked = np.zeros((len(sends.start) - 1, len(caps.rule), grid.n_words), dtype=np.uint64)
    moments = clock.periods_of_moments(grid.moments_us())
    periods = clock.periods_of_sends(sends.start, sends.us)
    _block(
        sends.start, sends.us, sends.channel, sends.item_class, sends.categories, periods,
        clock.zone, moments, caps, grid.first_us, grid.n, blocked,
    )  # fmt: skip
    return blocked


@inner
def is_counted(caps: Any, c: int, channel: int, item_class: int, categories: np.uint64) -> bool:
    """Whether a send takes room under cap c."""
    if channel < 0 or not caps.channels[c, channel] or not caps.counts[c, item_class]:
        return False
    return bool(caps.category[c] == 0 or (categories & caps.category[c]) != 0)


@inner
def is_bound(caps: Any, c: int, channel: int, item_class: int, categories: np.uint64) -> bool:
    """Whether cap c may forbid a send; what is bound is always counted."""
    if not caps.channels[c, channel] or not caps.binds[c, item_class]:
        return False
    return bool(caps.category[c] == 0 or (categories & caps.category[c]) != 0)


@inner
def block_rolling(times: Any, n: int, maximum: int, window: int, first_us: int, n_moments: int, words: Any) -> None:
    """Sets the moments t where `maximum` of the n sorted times and t lie within less than `window` of each other.

    Each run of `maximum` times within the window blocks the open interval (its last - window, its first + window).
    """
    if maximum == 0:
        set_range(words, 0, n_moments)
        return
    for i in range(n - maximum + 1):
        last = times[i + maximum - 1]
        if last - times[i] < window:
            set_range(words, first_after(last - window, first_us, n_moments), first_at(times[i] + window, first_us, n_moments))


@kernel
def _block(
    start: Any, us: Any, channel: Any, item_class: Any, categories: Any, periods: Any,
    zone: Any, moments: Any, caps: Any, first_us: int, n_moments: int, blocked: Any,
) -> None:  # fmt: skip
    longest = 1
    for u in range(len(start) - 1):
        longest = max(longest, start[u + 1] - start[u])
    times = np.empty(longest, np.int64)
    for u in range(len(start) - 1):
        for c in range(len(caps.rule)):
            if caps.same_item[c]:
                continue
            per = caps.per[c]
            n = 0
            for i in range(start[u], start[u + 1]):
                if is_counted(caps, c, channel[i], item_class[i], categories[i]):
                    times[n] = us[i] if per == 0 else periods[per, i]
                    n += 1
            if per == 0:
                block_rolling(times, n, caps.maximum[c], caps.window_us[c], first_us, n_moments, blocked[u, c])
            else:
                _block_periods(times, n, caps.maximum[c], moments[per, zone[u]], blocked[u, c])


@inner
def _block_periods(sent: Any, n: int, maximum: int, periods: Any, words: Any) -> None:
    """Sets the moments whose period already holds `maximum` of the n sent ones."""
    low = 0
    for i in range(1, len(periods) + 1):
        if i < len(periods) and periods[i] == periods[low]:
            continue
        count = 0
        for k in range(n):
            if sent[k] == periods[low]:
                count += 1
        if count >= maximum:
            set_range(words, low, i)
        low = i
