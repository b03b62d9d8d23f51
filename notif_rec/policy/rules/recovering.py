"""An item that a user was sent is worth less to that user for a while."""

from __future__ import annotations

from datetime import timedelta
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from notif_rec.policy.rule import ItemWeight, RecoverySpec
from notif_rec.strict_yaml import Duration, microseconds


class Recovering(ItemWeight):
    """Value − penalty · 2^(−age / half_life), per item, where age is since the user was last sent the item on `channels`.

    Source: Yancey & Settles, "A Sleeping, Recovering Bandit Algorithm …", KDD'20: ŝ − γ·2^(−d/h) with γ = .017, h = 15 days.
    """

    rule: Literal["recovering"]
    penalty: float = Field(default=0.017, ge=0, description="what a repeat right away loses, in the unit of `value`; 0 loses nothing")
    half_life: Duration = Field(default=timedelta(days=15), description="age at which the loss is half")
    precedence: ClassVar[int] = 72

    @field_validator("half_life")
    @classmethod
    def _some_time(cls, half_life: timedelta) -> timedelta:
        if not half_life:
            raise ValueError("a half-life of no length never counts; leave the rule out")
        return half_life

    def recovery(self, channels: tuple[str, ...]) -> RecoverySpec:
        return RecoverySpec(channels, microseconds(self.half_life), self.penalty)
