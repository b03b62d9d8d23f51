"""Silence on a channel that a user ignores, longer each time."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from notif_rec.policy.local_time import MINUTE_US
from notif_rec.policy.rule import BoolArray, Filter, Moments, UserBatch
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.strict_yaml import Duration, microseconds


class BackOff(Filter):
    """After `after_ignored` sends in a row without an answer, the channel waits from the last of them.

    The wait is wait · factor^(run − after_ignored), at most max_wait; an engagement ends the run. Binds only on channels
    where anybody opened or clicked in the last 30 days, so that a feed without opens silences nobody.
    """

    rule: Literal["back_off"]
    after_ignored: int = Field(default=3, ge=1, le=1000, description="ignored sends in a row before the channel waits")
    wait: Duration = Field(default=timedelta(days=7), description="the first wait")
    factor: float = Field(default=2.0, ge=1, le=1000, description="how much longer each further wait is")
    max_wait: Duration = Field(default=timedelta(days=30), description="no wait is longer")
    learned: bool = Field(default=False, description="the first wait is longer where past sends show that users need longer to recover")
    precedence: ClassVar[int] = 30

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_wait < self.wait:
            raise ValueError("max_wait is shorter than wait")
        return self

    def with_curve(self, curve: FatigueCurve, channels: tuple[str, ...]) -> BackOff:
        """With the wait in which the channel that recovers most slowly is back; never shorter than written, nor longer than max_wait."""
        if not self.learned:
            return self
        needed = max(curve.of(channel).recovery_us(self.after_ignored) for channel in channels)
        minutes = timedelta(minutes=int(needed // MINUTE_US))
        return self.model_copy(update={"wait": min(max(self.wait, minutes), self.max_wait)})

    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        longest = microseconds(self.max_wait)
        extra = np.clip(users.ignored - self.after_ignored, 0, 64)
        wait = np.minimum(microseconds(self.wait) * np.power(self.factor, extra), longest).astype(np.int64)
        bound = (users.ignored >= self.after_ignored) & users.active[None, :]
        free_from = np.where(bound, users.ignored_us + wait, np.iinfo(np.int64).min)
        return np.asarray(moments.utc_us[None, None, :] >= free_from[:, :, None], dtype=np.bool_)
