"""The kinds of values that a config holds, each with one way to write it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

LONGEST = timedelta(days=36_500)  # so that no date minus a duration leaves the calendar
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


class StrictModel(BaseModel):
    """A frozen piece of config: an unknown key is an error, and so is a text where a number belongs."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True, serialize_by_alias=True)


def show(value: object) -> str:
    """A value as it may stand in a message, cut to 60 characters."""
    if isinstance(value, dict | tuple | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = str(value).lower() if isinstance(value, bool) else repr(format_duration(value) if isinstance(value, timedelta) else value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def parse_duration(text: object) -> timedelta:
    """`30m`, `12h`, `7d` or `2w`, and nothing else."""
    if isinstance(text, timedelta):
        return text
    found = re.fullmatch(r"([0-9]{1,6})([mhdw])", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{show(text)} is not a duration; write 30m, 12h, 7d or 2w")
    value = timedelta(seconds=int(found[1]) * UNITS[found[2]])
    if value > LONGEST:
        raise ValueError(f"{show(text)} is longer than 100 years")
    return value


def format_duration(value: timedelta) -> str:
    """A text that `parse_duration` reads back as `value`, in the largest unit up to days."""
    seconds = int(value.total_seconds())
    unit = next(u for u in ("d", "h", "m") if seconds % UNITS[u] == 0) if seconds else "m"
    return f"{seconds // UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}[mhdw]$"}),
]


def microseconds(value: timedelta) -> int:
    """A duration as whole microseconds."""
    return value // timedelta(microseconds=1)


def parse_percent(text: object) -> float:
    """The share that `50%` or `2.5%` is."""
    found = re.fullmatch(r"([0-9]{1,4}(?:\.[0-9]{1,2})?)%", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{show(text)} is not a percentage; write 50% or 2.5%")
    return float(found[1]) / 100


Percent = Annotated[
    float,
    BeforeValidator(parse_percent),
    PlainSerializer(lambda share: f"{round(share * 100, 2):g}%", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,4}(\\.[0-9]{1,2})?%$"}),
]


def parse_time_of_day(text: object) -> int:
    """Minutes since midnight of "21:00"."""
    found = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f'{show(text)} is not a time of day; write it quoted, from "00:00" to "23:59"')
    return int(found[1]) * 60 + int(found[2])


TimeOfDay = Annotated[
    int,
    BeforeValidator(parse_time_of_day),
    PlainSerializer(lambda minutes: f"{minutes // 60:02d}:{minutes % 60:02d}", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]$"}),
]
