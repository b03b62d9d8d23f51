"""Hours of the user's own clock in which nothing goes out."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from notif_rec.policy.local_time import DAY_US, zone_table
from notif_rec.policy.rule import BoolArray, Filter, Moments, UserBatch
from notif_rec.strict_yaml import TimeOfDay

MINUTE_US = 60_000_000
MARGIN_US = 2 * DAY_US  # no clock is ever set by more than a day


class QuietHours(Filter):
    """Nothing in [from, to) of the wall clock, past midnight where from > to; where the clock is set back, both passes."""

    rule: Literal["quiet_hours"]
    start: TimeOfDay = Field(alias="from", description="first quiet minute, quoted")
    end: TimeOfDay = Field(alias="to", description="first minute after, quoted")
    unknown_timezone: Literal["default", "block"] = Field(
        default="default", description="users without a zone: the config's zone stands in, or nothing is sent"
    )
    precedence: ClassVar[int] = 20

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if self.start == self.end:
            raise ValueError("from and to are the same time; leave the rule out, or say when it ends")
        return self

    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        allowed = ~self._quiet(moments)[moments.zone]
        if self.unknown_timezone == "block":
            allowed &= moments.zone_known[:, None]
        return allowed[:, None, :]

    def _quiet(self, moments: Moments) -> BoolArray:
        """(n_zones, n_moments): the clock has shown the last `from`, and has yet to show its `to`, for the last time."""
        utc = moments.utc_us
        if not utc.size or not moments.zone_names:
            return np.zeros((len(moments.zone_names), utc.size), dtype=np.bool_)
        table = zone_table(tuple(moments.zone_names), int(utc[0]) - MARGIN_US, int(utc[-1]) + MARGIN_US)
        zones = np.arange(len(moments.zone_names))[:, None]
        rows = table.rows(zones, utc[None, :])
        wall = utc[None, :] + table.offset_us[rows]
        midnight = (np.maximum(wall, table.peak_us[rows]) - self.start * MINUTE_US) // DAY_US * DAY_US
        end = midnight + self.end * MINUTE_US + (DAY_US if self.start > self.end else 0)
        return np.asarray((wall < end) | (table.trough_us[rows] <= end), dtype=np.bool_)
