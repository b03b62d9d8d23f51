"""What each ingested table may have in its files: names, which are required, which may hold free text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

EVENTS = ("user_id", "item_id", "channel", "event", "timestamp")
ITEMS = ("item_id", "title", "text", "category", "tags", "channels", "created_at", "expires_at", "class", "audience", "value")


@dataclass(frozen=True)
class TableColumns:
    """The columns of a table's files. bound: those in which a line break, or a bare quote, can only be a fault."""

    table: str
    names: tuple[str, ...]
    required: tuple[str, ...]
    bound: frozenset[str]
    keeps_extras: bool


def columns_of(table: str, channels: Sequence[str]) -> TableColumns:
    """The columns of `table`, which is events, users, items or suppressions; users have consent columns named after `channels`."""
    if table == "events":
        names: tuple[str, ...] = (*EVENTS, "value", "event_id", "send_key")
        return TableColumns(table, names, EVENTS, frozenset(names), False)
    if table == "users":
        names = ("user_id", "timezone", "created_at", *channels, *(f"{c}_at" for c in channels))
        return TableColumns(table, names, ("user_id",), frozenset(names), True)
    if table == "items":
        return TableColumns(table, ITEMS, ("item_id",), frozenset(ITEMS) - {"title", "text"}, True)
    names = ("user_id", "channel")
    return TableColumns("suppressions", names, ("user_id",), frozenset(names), False)
