"""What must hold between keys of a config, judged on the text as written, so that every problem is told at once."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from notif_rec.config.quota_problems import quota_problems
from notif_rec.config.sections import CHANNELS
from notif_rec.errors import did_you_mean
from notif_rec.strict_yaml import Problem, parse_duration, show
from notif_rec.tables import OUTCOMES

RESERVED = frozenset(("user_id", "timezone", "created_at", "created", "channel", "all", "any"))
TASTE = {"clicked": 4.0, "opened": 1.0}  # the outcomes that may be signs of taste, and their weight unless the config says another
NEEDS_DIAGONAL = "solver: implicit knows no bias; write solver: diagonal beside it, or bias: false"
WEEK = timedelta(days=7)
MAX_CATEGORIES = 64  # sends keep the categories that somebody counts as bits of one word


def cross_problems(value: Mapping[str, Any]) -> list[Problem]:
    """What is wrong between keys of a config as written; passes over whatever is wrong within one."""
    channels = value.get("channels", CHANNELS)
    names = [str(c) for c in channels] if isinstance(channels, dict) else []
    found = [*_event_problems(value.get("events")), *_span_problems(value), *_category_problems(value)]
    if names:
        found += [*_channel_problems(names, channels, value.get("candidates", 50)), *_use_problems(value, names)]
        found += quota_problems(_entries(value.get("quotas")), channels)
    return [*found, *_model_problems(value.get("model"), channels if names else {})]


def _event_problems(events: object) -> Iterator[Problem]:
    for name in events if isinstance(events, dict) else ():
        if name in OUTCOMES and name not in TASTE:
            yield ("events", name), f"'{name}' is an outcome with a meaning of its own; only opened and clicked may be signs of taste"
        elif not name or name != name.strip() or len(name) > 64 or not name.isprintable():
            yield ("events", name), f"{show(name)} is not a name: 1 to 64 printable characters, no space around"


def _span_problems(value: Mapping[str, Any]) -> Iterator[Problem]:
    try:
        horizon, lead = parse_duration(value.get("horizon", "24h")), parse_duration(value.get("lead", "0m"))
    except ValueError:
        return
    if horizon and lead >= horizon:
        yield ("lead",), f"lead is {value.get('lead')}, not shorter than the horizon of {value.get('horizon', '24h')}: no moment is left"
    for name, channel in value["channels"].items() if isinstance(value.get("channels"), dict) else ():
        if horizon > WEEK and isinstance(channel, dict) and channel.get("weekly") is not None:
            yield ("channels", name, "weekly"), f"a budget a week, but plans of {value.get('horizon')}; a horizon of 7d at most can keep it"


def _channel_problems(names: list[str], channels: Mapping[str, Any], candidates: object) -> Iterator[Problem]:
    for name in names:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", name):
            yield ("channels", name), f"{show(name)} is not a channel name: a-z first, then a-z 0-9 _, at most 32"
        elif name in RESERVED:
            yield ("channels", name), f"'{name}' is taken, by a column of the users file or a word of ours; choose another name"
        elif name.endswith("_at") and name[:-3] in names:
            yield ("channels", name), f"'{name}' is the column that dates the consent of '{name[:-3]}'; choose another name"
        channel = channels[name]
        items = channel.get("items_per_send", 1) if isinstance(channel, dict) else 1
        if isinstance(items, int) and isinstance(candidates, int) and items > candidates:
            yield ("channels", name, "items_per_send"), f"{items} items in a send, but candidates: {candidates} retrieves fewer"


def _use_problems(value: Mapping[str, Any], names: list[str]) -> Iterator[Problem]:
    """Channels that rules and quotas name but the config does not have."""
    for i, entry in enumerate(_entries(value.get("rules"))):
        used = entry.get("channels")
        for j, channel in enumerate(used if isinstance(used, tuple | list) else ()):
            if isinstance(channel, str) and channel not in names:
                yield ("rules", i, "channels", j), f"unknown channel '{channel}'{did_you_mean(channel, names)}"
    for i, entry in enumerate(_entries(value.get("quotas"))):
        channel = entry.get("channel")
        if isinstance(channel, str) and channel not in names:
            yield ("quotas", i, "channel"), f"unknown channel '{channel}'{did_you_mean(channel, names)}"


def _model_problems(model: object, channels: Mapping[str, Any]) -> Iterator[Problem]:
    """ALS settings that do not go together, for all or in a channel, whose keys lie upon those for all."""
    base = model if isinstance(model, dict) else {}
    if _is_biased_implicit(base):
        yield ("model", "bias"), NEEDS_DIAGONAL
    for name, channel in channels.items():
        own = channel.get("model") if isinstance(channel, dict) else None
        if isinstance(own, dict) and not own.keys().isdisjoint(("bias", "solver")) and _is_biased_implicit({**base, **own}):
            yield ("channels", name, "model", "bias" if "bias" in own else "solver"), NEEDS_DIAGONAL


def _is_biased_implicit(model: Mapping[str, Any]) -> bool:
    return model.get("bias") is True and model.get("solver", "implicit") == "implicit"


def _category_problems(value: Mapping[str, Any]) -> Iterator[Problem]:
    entries = [*_entries(value.get("rules")), *_entries(value.get("quotas"))]
    named = {e["category"] for e in entries if isinstance(e.get("category"), str)}
    if len(named) > MAX_CATEGORIES:
        yield ("rules",), f"rules and quotas name {len(named)} categories, at most {MAX_CATEGORIES} can be counted; name fewer"


def _entries(value: object) -> list[Mapping[str, Any]]:
    """The entries of a list that are mappings, others as empty ones, so that places keep their number."""
    return [v if isinstance(v, dict) else {} for v in value] if isinstance(value, tuple | list) else []
