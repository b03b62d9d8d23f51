"""Each send makes the next one worth less, by what is written or by what past sends show."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from notif_rec.policy.rule import FatigueSpec, Weight
from notif_rec.strict_yaml import Duration, microseconds


class Fatigue(Weight):
    """Value × (1 − strength)^F, where F sums 2^(−age / half_life) over earlier sends on `channels`."""

    rule: Literal["fatigue"]
    half_life: Duration = Field(description="age at which an earlier send weighs half")
    strength: float = Field(ge=0, le=1, description="share of the value that one send just before takes away; 0 takes nothing")
    precedence: ClassVar[int] = 70

    @field_validator("half_life")
    @classmethod
    def _some_time(cls, half_life: timedelta) -> timedelta:
        if not half_life:
            raise ValueError("a half-life of no length never fades and never counts; leave the rule out")
        return half_life

    def fatigue(self, channels: tuple[str, ...]) -> FatigueSpec:
        return FatigueSpec(channels, microseconds(self.half_life), self.strength)
