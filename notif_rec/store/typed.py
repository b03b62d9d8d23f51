"""Text columns → the columns of tables.py, per table; a row that cannot be read becomes a reject: line, column, value, reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import did_you_mean
from notif_rec.store import cells
from notif_rec.store.blocks import Block
from notif_rec.store.columns import columns_of
from notif_rec.store.faults import Faults
from notif_rec.store.forgotten import Forgotten
from notif_rec.store.timestamps import ISO_8601, TimeFormat
from notif_rec.store.zones import known_zones
from notif_rec.tables import CLASSES, CONSENTS, TIME

FORGOTTEN = ("user_id", "of a forgotten user")  # column and reason of such a reject
FAR = (cells.OLDEST, cells.NEWEST)


@dataclass(frozen=True)
class Vocabulary:
    """What words and times a file may hold. latest: now; events may lie up to 24 h ahead of it (None: any time).

    forgotten: users of whom nothing is taken in.
    """

    channels: tuple[str, ...]
    events: Collection[str]
    times: TimeFormat = ISO_8601
    latest: datetime | None = None
    forgotten: Forgotten = field(default_factory=Forgotten)

    @property
    def span(self) -> tuple[datetime, datetime]:
        """The first and last moment at which something can have happened."""
        return cells.EARLIEST, self.latest + cells.AHEAD if self.latest else cells.NEWEST


@dataclass(frozen=True)
class Typed:
    """The sound rows of a block, ids still as text, and the others. warnings: rows that were kept, by what was odd about them."""

    rows: pa.Table
    rejects: pa.Table
    warnings: Counter[str]


class _Cells:
    """The text columns of a block by our names; a column that a file lacks is a constant of the command line, or empty."""

    def __init__(self, block: Block, constants: Mapping[str, str]) -> None:
        self.block, self.constants = block, constants

    def __call__(self, column: str) -> Any:
        if column in self.block.columns:
            return self.block.columns[column]
        return pa.repeat(pa.scalar(self.constants.get(column, "")), len(self.block.line))

    def has(self, column: str) -> bool:
        return column in self.block.columns or column in self.constants


def read_block(table: str, path: Path, block: Block, constants: Mapping[str, str], words: Vocabulary) -> Typed:
    """The typed rows and the rejects of a block of `table`; DataError where the whole file must be refused."""
    faults = Faults(path, block.line)
    text = _Cells(block, constants)
    readers = {"events": _events, "users": _users, "items": _items, "suppressions": _suppressions}
    rows = pa.table(readers[table](text, words, faults))
    return Typed(rows.filter(pa.array(faults.sound)), faults.rejects(), faults.warnings)


def _leave_out(text: _Cells, words: Vocabulary, faults: Faults) -> None:
    """Rows of forgotten users are rejected before anything of them could be told; their value stays blank."""
    if not words.forgotten.rows:
        return
    ids = text("user_id").dictionary_encode()
    known = words.forgotten.among(ids.dictionary)[ids.indices.to_numpy(zero_copy_only=False)]
    faults.add(known, FORGOTTEN[0], pa.repeat("", len(known)), FORGOTTEN[1])


def _events(text: _Cells, words: Vocabulary, faults: Faults) -> dict[str, Any]:
    _leave_out(text, words, faults)
    user_id = cells.read_ids(text("user_id"), "user_id", faults)
    item_id = cells.read_ids(text("item_id"), "item_id", faults, required=False)
    channel = cells.read_words(text("channel"), "channel", words.channels, faults, "unknown channel", empty=True)
    event = cells.read_words(text("event"), "event", words.events, faults, "unknown event")
    unplaced = cells.mask(pc.and_(pc.equal(text("event"), "sent"), pc.equal(text("channel"), "")))
    faults.add(unplaced, "channel", text("channel"), "empty, but a sent event needs its channel")
    return {
        "user_id": user_id,
        "item_id": item_id,
        "channel": channel,
        "event": event,
        "timestamp": cells.read_moments(text("timestamp"), "timestamp", words.times, faults, words.span, required=True),
        "value": cells.read_numbers(text("value"), "value", faults, 1.0),
        "event_id": cells.read_optional_ids(text("event_id"), "event_id", faults),
        "send_key": cells.read_optional_ids(text("send_key"), "send_key", faults),
    }


def _users(text: _Cells, words: Vocabulary, faults: Faults) -> dict[str, Any]:
    _leave_out(text, words, faults)
    known = columns_of("users", words.channels).names
    consent = {c: text(c) for c in sorted(words.channels) if text.has(c)}
    dates = {c: text(f"{c}_at") for c in sorted(words.channels) if text.has(f"{c}_at")}
    extras = {**text.block.extras, **{c: text(c) for c in (*text.block.columns, *text.constants) if c not in known}}
    found = {
        "user_id": pc.cast(cells.read_ids(text("user_id"), "user_id", faults), pa.string()),
        "timezone": _zone(text("timezone"), faults),
        "created_at": cells.read_moments(text("created_at"), "created_at", words.times, faults, FAR),
    }
    states = {c: _consent(value, c, faults) for c, value in consent.items()}
    moments = {c: cells.read_moments(value, f"{c}_at", words.times, faults, words.span) for c, value in dates.items()}
    for c, moment in moments.items():
        stated = pc.is_valid(states[c]) if c in states else pa.repeat(pa.scalar(False), len(moment))
        moments[c] = pc.if_else(stated, moment, pa.scalar(None, TIME))  # a date without a state says nothing
    n = len(text.block.line)
    found["consent"] = as_map(states, n, pa.string())
    found["consent_at"] = as_map(moments, n, TIME)
    found["attributes"] = as_map({c: cells.optional_text(extras[c]) for c in sorted(extras)}, n, pa.string())
    return found


def _consent(text: Any, channel: str, faults: Faults) -> Any:
    """yes, no or provisional, in any case; null where empty."""
    folded = pc.utf8_lower(pc.utf8_trim_whitespace(text))
    words = cells.read_words(folded, channel, CONSENTS, faults, "not yes, no or provisional", empty=True, hint=False)
    return cells.optional_text(pc.cast(words, pa.string()))


def _zone(text: Any, faults: Faults) -> Any:
    """IANA names; null where empty or unknown, which is for the planner to weigh and no reason to lose the user."""
    zones = text.dictionary_encode()
    known = pc.is_in(zones.dictionary, value_set=pa.array(sorted(known_zones())))
    unknown = ~cells.mask(known)[zones.indices.to_numpy(zero_copy_only=False)] & cells.mask(pc.not_equal(text, ""))
    if unknown.any():
        faults.warnings["timezone: unknown zone; the user is kept without one"] += int(unknown.sum())
    return pc.if_else(pa.array(unknown), pa.scalar(None, pa.string()), cells.optional_text(text))


def _items(text: _Cells, words: Vocabulary, faults: Faults) -> dict[str, Any]:
    known = columns_of("items", words.channels).names
    extras = {**text.block.extras, **{c: text(c) for c in (*text.block.columns, *text.constants) if c not in known}}
    cells.check_distinct(text("channels"), "channels", faults, lambda value: _unknown_channels(value, words.channels))
    cells.check_distinct(text("audience"), "audience", faults, audience_problem)
    item_class = pc.if_else(pc.equal(text("class"), ""), CLASSES[0], text("class"))
    found = {
        "item_id": pc.cast(cells.read_ids(text("item_id"), "item_id", faults), pa.string()),
        **{c: cells.optional_text(text(c)) for c in ("title", "text", "category")},
        "tags": cells.read_lists(text("tags")),
        "channels": cells.read_lists(text("channels")),
        "created_at": cells.read_moments(text("created_at"), "created_at", words.times, faults, FAR),
        "expires_at": cells.read_moments(text("expires_at"), "expires_at", words.times, faults, FAR),
        "item_class": pc.cast(cells.read_words(item_class, "class", CLASSES, faults, "unknown class"), pa.string()),
        "audience": cells.optional_text(text("audience")),
        "value": cells.read_numbers(text("value"), "value", faults, 1.0),
        "extra": as_map({c: cells.optional_text(extras[c]) for c in sorted(extras)}, len(text.block.line), pa.string()),
    }
    never = cells.mask(pc.less_equal(found["expires_at"], found["created_at"]))
    faults.add(never, "expires_at", text("expires_at"), "not after created_at")
    return found


def _unknown_channels(value: str, channels: Sequence[str]) -> str:
    unknown = [part.strip() for part in value.split("|") if part.strip() and part.strip() not in channels]
    return f"unknown channel '{unknown[0]}'{did_you_mean(unknown[0], channels)}" if unknown else ""


def audience_problem(text: str) -> str:
    """What is wrong with an audience (`country=DE|AT;tier=gold`), '' where nothing is."""
    for part in text.split(";") if text else ():
        name, equals, values = part.partition("=")
        if not equals or not name.strip() or not all(value.strip() for value in values.split("|")) or "=" in values:
            return "not an audience such as country=DE|AT;tier=gold"
    names = [part.partition("=")[0].strip() for part in text.split(";")]
    return "names an attribute twice; write country=DE|AT" if len(set(names)) < len(names) else ""


def _suppressions(text: _Cells, words: Vocabulary, faults: Faults) -> dict[str, Any]:
    _leave_out(text, words, faults)
    return {
        "user_id": pc.cast(cells.read_ids(text("user_id"), "user_id", faults), pa.string()),
        "channel": pc.cast(
            cells.read_words(text("channel"), "channel", words.channels, faults, "unknown channel", empty=True), pa.string()
        ),
    }


def as_map(columns: Mapping[str, Any], n: int, kind: Any) -> Any:
    """One map a row: the columns that have a value there, in their order. kind: the type of the values."""
    names = list(columns)
    if not names:
        return pa.MapArray.from_arrays(pa.array(np.zeros(n + 1), pa.int32()), pa.array([], pa.string()), pa.array([], kind))
    given = np.stack([cells.mask(pc.is_valid(columns[name])) for name in names], axis=1)  # (n, columns)
    row, column = np.nonzero(given)
    values = pa.concat_arrays([pc.cast(columns[name], kind) for name in names]).take(pa.array(column * n + row))
    ends = np.concatenate(([0], np.cumsum(given.sum(axis=1))))
    return pa.MapArray.from_arrays(pa.array(ends, pa.int32()), pa.array(names).take(pa.array(column)), values)
