"""The days of a world: local clocks, weekdays and seasons."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.simulation.world.chance import FloatArray, uniform
from notif_rec.simulation.world.laws import TOPICS
from notif_rec.store.zones import time_zone

Int64s = npt.NDArray[np.int64]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "America/Los_Angeles", "Asia/Kolkata")
ZONE_SHARES = np.array([0.35, 0.15, 0.25, 0.15, 0.10])
COUNTRIES = ("DE", "GB", "US", "US", "IN")  # of the zones
SWING = 0.5  # a topic's season moves the interest in it this far up and down


@dataclass(frozen=True)
class Days:
    """Days are numbered from `start`, 0; those before it are history.

    offset_us: (n_zones, n) what to add to UTC at noon of each day. season: (n, TOPICS) interest in each topic, around 1.
    """

    start: datetime
    first: int
    offset_us: Int64s
    season: FloatArray

    @property
    def end(self) -> int:
        """The day after the last."""
        return self.first + len(self.season)

    def moment(self, day: int) -> datetime:
        """Midnight (UTC) that begins a day."""
        return self.start + timedelta(days=day)

    def begin_us(self, day: int) -> int:
        """That midnight in microseconds since 1970."""
        return (self.moment(day) - datetime(1970, 1, 1)) // timedelta(microseconds=1)

    def weekday(self, day: int) -> int:
        """0 = Monday."""
        return self.moment(day).weekday()

    def local_hour(self, zone: npt.NDArray[Any], day: int, us: Int64s) -> Int64s:
        """The hour on the wall clock of each zone at moments of a day."""
        return np.asarray((us + self.offset_us[zone, day - self.first]) // HOUR_US % 24, dtype=np.int64)

    def at_hour(self, zone: npt.NDArray[Any], day: int, hour: Int64s, within_us: Int64s) -> Int64s:
        """The moment of the UTC day at which it is that local hour, and so far into it."""
        since = hour * HOUR_US + within_us - self.offset_us[zone, day - self.first]
        return np.asarray(self.begin_us(day) + since % DAY_US, dtype=np.int64)


def make_days(seed: int, start: datetime, history: int, days: int) -> Days:
    """The days −history … days − 1."""
    noon = [start + timedelta(days=day, hours=12) for day in range(-history, days)]
    offset = np.array([[_offset_us(name, moment) for moment in noon] for name in ZONES], dtype=np.int64)
    topic = np.arange(TOPICS)
    period = 30 + 60 * uniform(seed, "season-period", topic)
    phase = uniform(seed, "season-phase", topic)
    day = np.arange(-history, days)[:, None]
    return Days(start, -history, offset, 1 + SWING * np.sin(2 * np.pi * (day / period + phase)))


def _offset_us(name: str, moment: datetime) -> int:
    offset = moment.replace(tzinfo=UTC).astimezone(time_zone(name)).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)
