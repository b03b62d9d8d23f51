"""Nothing to users whose time zone is not known."""

from __future__ import annotations

from typing import ClassVar, Literal

from notif_rec.policy.rule import BoolArray, Filter, Moments, UserBatch


class KnownTimezone(Filter):
    """A send only to users with a time zone of their own; `unknown_timezone: block` is this rule on every channel."""

    rule: Literal["known_timezone"]
    precedence: ClassVar[int] = 15

    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        return moments.zone_known[:, None, None]
