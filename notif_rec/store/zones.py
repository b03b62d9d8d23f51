"""Time zones by the `tzdata` package, and wall-clock times of a zone as UTC; one that does not exist, or exists twice, is never guessed.

A machine's own zone files are not asked: they differ in age, and the same store, config and as-of shall give the same bytes anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from notif_rec.errors import BugError

Int64s = npt.NDArray[np.int64]

SECOND, DAY = 1_000_000, 86_400_000_000
FIRST_DAY = datetime(1900, 1, 1, tzinfo=UTC)
DAYS = 73_414  # until 2101; the last rule goes on from there
ONCE, NEVER, TWICE = 0, 1, 2
EARLIEST, LATEST = np.iinfo(np.int64).min // 4, np.iinfo(np.int64).max // 4


@cache
def known_zones() -> frozenset[str]:
    """The IANA names that there are."""
    return frozenset(files("tzdata").joinpath("zones").read_text(encoding="utf-8").split()) - {"Factory"}


@cache
def time_zone(name: str) -> ZoneInfo:
    """The zone of that name, which must be one of `known_zones`."""
    if name not in known_zones():
        raise BugError(f"{name!r} is no time zone")
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as stream:
        return ZoneInfo.from_file(stream, key=name)


@cache
def _segments(name: str) -> tuple[Int64s, Int64s, Int64s]:
    """(first wall time, wall time after the last, offset) of each stretch of one UTC offset, in microseconds, in order."""
    zone = time_zone(name)

    def offset(moment: datetime) -> int:
        return int((moment.astimezone(zone).utcoffset() or timedelta()).total_seconds())

    starts, offsets, before = [EARLIEST], [offset(FIRST_DAY)], FIRST_DAY
    for day in range(1, DAYS):
        after = FIRST_DAY + timedelta(days=day)
        if offset(after) != offsets[-1]:
            starts.append(_change(offset, before, after))
            offsets.append(offset(after))
        before = after
    utc, shift = np.array(starts, np.int64), np.array(offsets, np.int64) * SECOND
    return utc + shift, np.append(utc[1:], LATEST) + shift, shift


def _change(offset: Callable[[datetime], int], before: datetime, after: datetime) -> int:
    """The microsecond at which the offset changes between two moments."""
    low, high = int(before.timestamp()), int(after.timestamp())
    old = offset(before)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if offset(datetime.fromtimestamp(middle, UTC)) == old else (low, middle)
    return high * SECOND


def wall_to_utc(wall_us: Int64s, zone: str) -> tuple[Int64s, npt.NDArray[np.int8]]:
    """UTC of wall times of `zone`, and whether each exists ONCE, NEVER (the clock jumped over it) or TWICE (the clock was set back)."""
    first, after, shift = _segments(zone)
    at = np.clip(np.searchsorted(first, wall_us, "right") - 1, 0, first.size - 1)
    inside = wall_us < after[at]
    earlier = np.maximum(at - 1, 0)
    also = (at > 0) & (wall_us < after[earlier])
    utc = wall_us - np.where(inside, shift[at], shift[earlier])
    return utc, np.where(inside & also, TWICE, np.where(inside | also, ONCE, NEVER)).astype(np.int8)
