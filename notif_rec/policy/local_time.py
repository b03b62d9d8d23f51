"""The wall clock of many users at once: offsets of time zones over a span, as flat arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from notif_rec.errors import BugError
from notif_rec.store.zones import known_zones, time_zone

IntArray = npt.NDArray[np.int64]
SECOND_US = 1_000_000
MINUTE_US, DAY_US = 60 * SECOND_US, 86_400 * SECOND_US
NEVER = np.iinfo(np.int64).min
ALWAYS = np.iinfo(np.int64).max


def known_zone(name: str) -> bool:
    """True for an IANA zone."""
    return name in known_zones()


def zone_names() -> frozenset[str]:
    """Every zone that there is."""
    return known_zones()


@dataclass(frozen=True)
class ZoneTable:
    """Offsets of zones within [start_us, end_us); zone z owns rows zone_start[z] to zone_start[z + 1].

    transition_us: (n,) int64, ascending within a zone, its first row at start_us; offset_us: (n,) what to add to UTC from then on.
    peak_us: the latest reading that the wall clock showed before that row; trough_us: the earliest one after it. A reading below the
    peak has been shown before, one at or above the trough will be shown again: both happen only where the clock is set back.
    """

    names: tuple[str, ...]
    start_us: int
    end_us: int
    zone_start: IntArray
    transition_us: IntArray
    offset_us: IntArray
    peak_us: IntArray
    trough_us: IntArray
    row_key: IntArray

    def rows(self, zone: npt.NDArray[Any], utc_us: IntArray) -> IntArray:
        """The row that holds at `utc_us` in `zone`; both broadcast together. Raises BugError outside the span."""
        utc = np.asarray(utc_us, dtype=np.int64)
        if utc.size and (utc.min() < self.start_us or utc.max() >= self.end_us):
            raise BugError(f"a time outside the span of the zone table: {utc.min()} to {utc.max()}", "widen the span")
        key = np.asarray(zone, dtype=np.int64) * (self.end_us - self.start_us) + (utc - self.start_us)
        return np.searchsorted(self.row_key, key, side="right") - 1

    def wall_us(self, zone: npt.NDArray[Any], utc_us: IntArray) -> IntArray:
        """The wall clock, as microseconds since 1970-01-01 00:00 of that clock."""
        return np.asarray(utc_us + self.offset_us[self.rows(zone, utc_us)], dtype=np.int64)


@lru_cache(maxsize=64)
def zone_table(names: tuple[str, ...], start_us: int, end_us: int) -> ZoneTable:
    """The table of `names` (in this order, at least one) over [start_us, end_us), exact to the second from 1970 on."""
    if not names or end_us <= start_us:
        raise BugError(f"an empty zone table: {len(names)} zones over {end_us - start_us} us", "give a zone and a span")
    pieces = [_transitions(name, start_us, end_us) for name in names]
    sizes = np.array([len(times) for times, _ in pieces], dtype=np.int64)
    zone_start = np.concatenate(([0], np.cumsum(sizes)))
    transition = np.concatenate([times for times, _ in pieces])
    offset = np.concatenate([offsets for _, offsets in pieces])
    extremes = [_extremes(times, offsets) for times, offsets in pieces]
    row_key = np.repeat(np.arange(len(names)), sizes) * (end_us - start_us) + (transition - start_us)
    peak, trough = (np.concatenate([e[side] for e in extremes]) for side in (0, 1))
    return ZoneTable(names, start_us, end_us, zone_start, transition, offset, peak, trough, row_key)


def _transitions(name: str, start_us: int, end_us: int) -> tuple[IntArray, IntArray]:
    """Times at which the offset of a zone changes, the first being start_us, and the offset from each on.

    Looks once a day and halves: no zone has changed twice within a day since 1970 (the closest two lie 166 hours apart).
    """
    zone = time_zone(name)
    first, last = start_us // SECOND_US, -(-end_us // SECOND_US)
    times, offsets = [start_us], [_offset(zone, first)]
    for day in range(first, last, 86_400):
        low, high = day, min(day + 86_400, last)
        if (after := _offset(zone, high)) == offsets[-1]:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if _offset(zone, middle) == after else (middle, high)
        times.append(high * SECOND_US)
        offsets.append(after)
    return np.array(times, dtype=np.int64), np.array(offsets, dtype=np.int64) * SECOND_US


def _offset(zone: ZoneInfo, second: int) -> int:
    offset = datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset()
    assert offset is not None
    return offset.days * 86_400 + offset.seconds


def _extremes(times: IntArray, offsets: IntArray) -> tuple[IntArray, IntArray]:
    """Per row: the last reading before it, highest so far; and the first reading after it, lowest to come."""
    ends = np.concatenate(([NEVER], times[1:] + offsets[:-1] - 1))
    begins = np.concatenate((times[1:] + offsets[1:], [ALWAYS]))
    return np.maximum.accumulate(ends), np.minimum.accumulate(begins[::-1])[::-1]


def day_of(wall_us: Any) -> Any:
    """Days since 1970-01-01 of a wall time; plain arithmetic, for scalars, arrays and compiled kernels alike."""
    return wall_us // 86_400_000_000


def week_of(wall_us: Any) -> Any:
    """Weeks from Monday, counted from the one that holds 1970-01-01."""
    return (wall_us // 86_400_000_000 + 3) // 7


def month_of(wall_us: Any) -> Any:
    """Months since January 1970. Source: Hinnant, "chrono-compatible low-level date algorithms", civil_from_days."""
    days = wall_us // 86_400_000_000 + 719_468
    era = days // 146_097
    day_of_era = days - era * 146_097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    return (era * 400 + year_of_era - 1970) * 12 + month_from_march + 2


PERIOD_OF: dict[str, Callable[[Any], Any]] = {"calendar_day": day_of, "calendar_week": week_of, "calendar_month": month_of}


def period_of(per: str, wall_us: IntArray) -> IntArray:
    """The number of the calendar period that each wall time lies in; equal numbers = same period."""
    return np.asarray(PERIOD_OF[per](wall_us), dtype=np.int64)


def zone_codes(names: Sequence[str | None], default: str) -> tuple[tuple[str, ...], npt.NDArray[np.int32], npt.NDArray[np.bool_]]:
    """Distinct zones sorted by name, the row of each user in them, and False where `default` stands in for none."""
    filled = np.array([name if name is not None else default for name in names], dtype=object)
    distinct, codes = np.unique(filled.astype(str), return_inverse=True) if len(filled) else (np.array([], dtype=str), np.zeros(0))
    return tuple(str(n) for n in distinct), codes.astype(np.int32), np.array([n is not None for n in names], dtype=np.bool_)
