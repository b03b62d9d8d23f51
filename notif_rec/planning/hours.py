"""At which hours of the week each user is about, as of a moment, and as it was known before each send."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from notif_rec.planning.answers import responses, visits
from notif_rec.planning.bucket import Events
from notif_rec.planning.facts import Facts
from notif_rec.policy.local_time import ZoneTable
from notif_rec.scoring.send_time import BESIDE, HOURS, MONDAY, WEEK

IntArray = npt.NDArray[np.int64]
HOUR_US = 3_600_000_000
HALF_LIVES = 6  # an hour seen longer ago than this says nothing any more


def local_hours(events: Events, zone: npt.NDArray[np.int32], zones: ZoneTable, facts: Facts, as_of_us: int) -> npt.NDArray[np.float32]:
    """(n_users, 168) how often each user opened, clicked or visited in each hour of the own week from Monday on, decayed.

    An hour of the clock counts once, however much was done in it: one long evening is no habit. zone: (n_users,) rows of `zones`.
    """
    row, hour = _active(events, zone, zones, as_of_us - HALF_LIVES * facts.hours_half_life_us, as_of_us)
    now = zones.wall_us(zone, np.full(len(zone), as_of_us - 1)) // HOUR_US
    decay = np.exp2(-(now[row] - hour) * (HOUR_US / facts.hours_half_life_us))
    summed = np.bincount(row * WEEK + (hour + MONDAY) % WEEK, decay, len(zone) * WEEK)
    return summed.reshape(len(zone), WEEK).astype(np.float32)


def own_before(
    events: Events, zone: npt.NDArray[np.int32], zones: ZoneTable, facts: Facts, row: npt.NDArray[np.int32], at_us: IntArray
) -> npt.NDArray[np.float32]:
    """(n_sends, 3) of `local_hours` just before each send: in its hour of the week, in its hour of the day, and altogether.

    Blurred as in scoring/send_time.py. Hours of the clock before the send's own alone: an answer to it comes later. row, at_us: by user
    and time, within the span of `zones`.
    """
    found, hour = np.zeros((len(row), 3), np.float32), zones.wall_us(zone[row], at_us) // HOUR_US
    user, active = _active(events, zone, zones, zones.start_us, zones.end_us)
    starts = np.searchsorted(user, np.arange(len(zone) + 1))
    _walk(starts, active, np.searchsorted(row, np.arange(len(zone) + 1)), hour, facts.hours_half_life_us / HOUR_US, found)
    return found


def _active(events: Events, zone: npt.NDArray[np.int32], zones: ZoneTable, start_us: int, end_us: int) -> tuple[IntArray, IntArray]:
    """User and hour of the wall clock, each pair once, of opens, clicks and visits in [start, end)."""
    about = events.where((events.at_us < end_us) & (events.at_us >= start_us) & (responses(events) | visits(events)))
    hour = zones.wall_us(zone[about.row], about.at_us) // HOUR_US
    pairs = np.sort(about.row.astype(np.int64) << 32 | hour)
    pairs = pairs[np.diff(pairs, prepend=-1) != 0]
    return pairs >> 32, pairs & 0xFFFFFFFF


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(starts: Any, active: Any, send_starts: Any, hour: Any, half_life: float, found: Any) -> None:
    week, day = np.zeros(WEEK), np.zeros(HOURS)
    for user in range(len(starts) - 1):
        week[:] = 0.0
        day[:] = 0.0
        total, at, since = 0.0, starts[user], np.int64(0)
        for send in range(send_starts[user], send_starts[user + 1]):
            while at < starts[user + 1] and active[at] < hour[send]:
                since = active[at] if total == 0.0 else since  # weights grow from the first hour on, instead of all others fading
                weight = 2.0 ** ((active[at] - since) / half_life)
                cell = (active[at] + MONDAY) % WEEK
                for step, part in ((-1, BESIDE), (0, 1.0 - 2.0 * BESIDE), (1, BESIDE)):
                    week[(cell + step) % WEEK] += part * weight
                    day[(cell + step) % HOURS] += part * weight
                total += weight
                at += 1
            fade, cell = 2.0 ** (-(hour[send] - since) / half_life), (hour[send] + MONDAY) % WEEK
            found[send, 0], found[send, 1], found[send, 2] = fade * week[cell], fade * day[cell % HOURS], fade * total
