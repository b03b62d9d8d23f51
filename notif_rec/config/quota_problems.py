"""What is wrong between quotas as written: doubled ones, ones that no plan can keep together, money without a cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from notif_rec.strict_yaml import Problem

WORDS = ("channel", "item", "category", "segment")
ANY = "any"
Entry = Mapping[str, Any]


def quota_problems(quotas: Sequence[Entry], channels: Mapping[str, Any]) -> Iterator[Problem]:
    """Each with its place in the file; passes over whatever is wrong within one quota."""
    yield from _doubled(quotas)
    yield from _contradictions(quotas)
    for i, entry in enumerate(quotas):
        if entry.get("max_cost") is not None and not _costs(entry, channels):
            where = f"channels.{entry['channel']}" if entry.get("channel") else "any channel"
            yield ("quotas", i, "max_cost"), f"a budget of money, but no cost stands at {where}; give channels their cost"


def _doubled(quotas: Sequence[Entry]) -> Iterator[Problem]:
    seen: dict[tuple[object, ...], int] = {}
    for i, entry in enumerate(quotas):
        key = (*(entry.get(word) for word in WORDS), entry.get("max_cost") is not None)
        if all(value is None or isinstance(value, str) for value in key[:-1]) and seen.setdefault(key, i) != i:
            yield ("quotas", i), f"a second quota for {_told(entry)}; keep one of them"


def _contradictions(quotas: Sequence[Entry]) -> Iterator[Problem]:
    """A minimum above a maximum that holds for all of its sends."""
    limits = [(i, entry) for i, entry in enumerate(quotas) if isinstance(entry.get("max_sends"), int)]
    for i, entry in enumerate(quotas):
        least = entry.get("min_sends")
        for j, other in limits if isinstance(least, int) else ():
            if j != i and other["max_sends"] < least and _covers(other, entry):
                yield (
                    ("quotas", i, "min_sends"),
                    f"min_sends {least}, but quotas.{j} allows {other['max_sends']} for {_told(other)}: no plan can keep both",
                )


def _covers(wide: Entry, narrow: Entry) -> bool:
    """Whether every send that `narrow` counts is one that `wide` counts, in the same cell."""
    for word in WORDS:
        wanted, own = wide.get(word), narrow.get(word)
        if wanted is not None and wanted != own and not (word == "item" and wanted == ANY and own is not None):
            return False
    return not (narrow.get("item") == ANY and wide.get("item") not in (None, ANY))


def _costs(entry: Entry, channels: Mapping[str, Any]) -> bool:
    """Whether some send that the quota counts costs anything."""
    named = [entry["channel"]] if entry.get("channel") is not None else list(channels)
    costs = [
        channels[name].get("cost", 0) if isinstance(channels.get(name), dict) else getattr(channels.get(name), "cost", 0) for name in named
    ]
    return any(not isinstance(cost, int | float) or cost > 0 for cost in costs)


def _told(entry: Entry) -> str:
    said = [f"{word} '{entry[word]}'" for word in WORDS if entry.get(word) is not None]
    return ", ".join(said) or "all sends"
