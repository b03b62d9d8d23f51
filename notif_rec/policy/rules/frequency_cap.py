"""At most so many sends in a window or in a period of the user's calendar."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema

from notif_rec.errors import did_you_mean
from notif_rec.policy.rule import Cap, CapSpec
from notif_rec.strict_yaml import format_duration, microseconds, parse_duration, show

Calendar = Literal["calendar_day", "calendar_week", "calendar_month"]
PERIODS: tuple[str, ...] = get_args(Calendar)


def parse_period(text: object) -> timedelta | str:
    """A duration above zero, or the name of a calendar period."""
    if isinstance(text, str) and text in PERIODS:
        return text
    try:
        window = parse_duration(text)
    except ValueError:
        near = did_you_mean(text, PERIODS) if isinstance(text, str) else ""
        raise ValueError(f"{show(text)} is neither a duration such as 1d nor one of {', '.join(PERIODS)}{near}") from None
    if not window:
        raise ValueError("a window of no length limits nothing; write max: 0 to forbid, or leave the rule out")
    return window


Period = Annotated[
    Any,
    PlainValidator(parse_period),
    PlainSerializer(lambda per: per if isinstance(per, str) else format_duration(per), return_type=str),
    WithJsonSchema({"anyOf": [{"enum": list(PERIODS)}, {"type": "string", "pattern": "^[0-9]{1,6}[mhdw]$"}]}),
]


class FrequencyCap(Cap):
    """At most `max` sends on `channels` together: in any window of length `per`, or in each day, week or month of the user's zone."""

    rule: Literal["frequency_cap"]
    max: int = Field(ge=0, le=1_000_000, description="0 forbids")
    per: Period = Field(description="a duration (rolling, absolute time) or calendar_day, calendar_week (from Monday), calendar_month")
    category: str | None = Field(default=None, min_length=1, description="counts only sends with an item of this category")
    precedence: ClassVar[int] = 50

    def limit(self, channels: tuple[str, ...]) -> CapSpec:
        if isinstance(self.per, str):
            return CapSpec(channels, self.max, cast(Calendar, self.per), category=self.category)
        return CapSpec(channels, self.max, window_us=microseconds(self.per), category=self.category)
