"""The same item not again too soon."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from notif_rec.policy.rule import Cap, CapSpec
from notif_rec.strict_yaml import Duration, microseconds


class NoRepeat(Cap):
    """An item goes out once in any window of length `within`, counted over all of `channels`."""

    rule: Literal["no_repeat"]
    within: Duration = Field(description="how long an item rests after it was sent")
    precedence: ClassVar[int] = 40

    def limit(self, channels: tuple[str, ...]) -> CapSpec:
        return CapSpec(channels, 1, window_us=microseconds(self.within), same_item=True)
