"""A shortest time between two sends."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from notif_rec.policy.rule import Cap, CapSpec
from notif_rec.strict_yaml import Duration, microseconds


class MinGap(Cap):
    """Two sends on `channels` (any of them) lie at least `gap` apart; exactly `gap` is allowed."""

    rule: Literal["min_gap"]
    gap: Duration = Field(description="shortest time between two sends, whichever of the channels they use")
    precedence: ClassVar[int] = 60

    def limit(self, channels: tuple[str, ...]) -> CapSpec:
        return CapSpec(channels, 1, window_us=microseconds(self.gap))
