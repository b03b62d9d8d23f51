"""The option type of lengths of time: `30m 12h 7d 2w`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import click


class Span(click.ParamType):  # type: ignore[type-arg]  # generic only in the newest click
    """`30m`, `12h`, `7d` or `2w`, as in the config; never zero."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length of time."""
        from notif_rec.strict_yaml import parse_duration

        if isinstance(value, timedelta):
            return value

        try:
            found = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if not found:
            self.fail(f"'{value}' is no length of time; write at least 1m", param, ctx)
        return found
