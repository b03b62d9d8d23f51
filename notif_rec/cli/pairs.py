"""Options of the form `column=value`."""

from __future__ import annotations

import click

from notif_rec.errors import UsageError


def pairs_of(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """`column=value` options as a mapping."""
    pairs: dict[str, str] = {}
    for text in values:
        column, equals, value = text.partition("=")
        if not equals or not column.strip():
            raise UsageError(f"{parameter.opts[0]} {text}: not a pair", f"write {parameter.opts[0]} {parameter.metavar}")
        if column.strip() in pairs:
            raise UsageError(f"{parameter.opts[0]} names '{column.strip()}' twice", "keep one of them")
        pairs[column.strip()] = value
    return pairs
