"""Reads tests/policy_cases/*.yml and judges each case by its rule alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from notif_rec.policy.load import REGISTRY
from notif_rec.policy.rule import Cap, CapSpec, Filter, ItemWeight, Moments, Rule, UserBatch, Weight
from notif_rec.strict_yaml import load_yaml
from notif_rec.tables import CONSENTS
from tests.oracles.caps import Sent, calendar_ok, fatigue_weight, rolling_ok, span, wall
from tests.policy.zones import us

FOLDER = Path(__file__).parents[1] / "policy_cases"
CHANNELS = ("push", "email", "in_app")
AS_OF = "2026-05-05T12:00Z"
KEYS = {"name", "policy", "zone", "as_of", "history", "consent", "ignored", "inactive", "candidate", "expect", "at"}


@dataclass(frozen=True)
class Case:
    """One user, one rule, and what it should say of a send per channel at each moment."""

    name: str
    rule: Rule
    entry: Mapping[str, Any]

    @property
    def zone(self) -> str:
        return str(self.entry.get("zone", "UTC") or "UTC")

    def expectations(self) -> Iterator[tuple[datetime, str, Any]]:
        """(moment, channel, allowed | blocked | the weight)."""
        at = self.entry.get("at", {self.entry.get("as_of", AS_OF): self.entry.get("expect", {})})
        for moment, channels in at.items():
            yield from ((parse(moment), channel, word) for channel, word in channels.items())


def parse(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%MZ")


def cases(path: Path) -> list[Case]:
    """The cases of a file; a key that nothing reads is an error."""
    found = []
    for entry in load_yaml(path.read_text(), str(path))[0]:
        assert set(entry) <= KEYS, f"{path.name}: {entry['name']}: unknown keys {set(entry) - KEYS}"
        found.append(Case(entry["name"], REGISTRY[entry["policy"]["rule"]].model_validate(entry["policy"]), entry))
    return found


def answer(case: Case, at: datetime, channel: str) -> Any:
    """allowed or blocked, or for a weight the number (for one of items, what it takes), of a send on `channel` at `at`."""
    free = channel not in (case.rule.channels or CHANNELS) or case.entry.get("candidate", {}).get("class", "marketing") in case.rule.exempt
    if isinstance(case.rule, Weight):
        return 1.0 if free else weight(case, at)
    if isinstance(case.rule, ItemWeight):
        return 0.0 if free else taken(case, at)
    if isinstance(case.rule, Filter):
        return "allowed" if free or passes(case, at, channel) else "blocked"
    assert isinstance(case.rule, Cap)
    return "allowed" if free or has_room(case, case.rule.limit(case.rule.channels or CHANNELS), at) else "blocked"


def passes(case: Case, at: datetime, channel: str) -> bool:
    """The filter's own answer, broadcast as the planner does it."""
    assert isinstance(case.rule, Filter)
    allowed = np.broadcast_to(case.rule.allows(users(case, at), moments(case, at)), (1, len(CHANNELS), 1))
    return bool(allowed[0, CHANNELS.index(channel), 0])


def users(case: Case, at: datetime) -> UserBatch:
    consent = [CONSENTS.index(case.entry.get("consent", {}).get(c, "yes")) for c in CHANNELS]
    ignored = [case.entry.get("ignored", {}).get(c, {"run": 0, "ago": "0h"}) for c in CHANNELS]
    return UserBatch(
        CHANNELS,
        np.array([consent], dtype=np.int8),
        np.array([[i["run"] for i in ignored]], dtype=np.int32),
        np.array([[us(at - span(i["ago"])) for i in ignored]], dtype=np.int64),
        np.array([c not in case.entry.get("inactive", ()) for c in CHANNELS]),
    )


def moments(case: Case, at: datetime) -> Moments:
    shown = np.array([[us(wall(at, case.zone))]], dtype=np.int64)
    return Moments(np.array([us(at)]), np.array([0]), shown, (case.zone,), np.array([case.entry.get("zone", "UTC") is not None]))


def history(case: Case, channels: tuple[str, ...]) -> list[Sent]:
    """The sends that count for the rule."""
    assert isinstance(case.rule, Cap | Weight | ItemWeight)
    found = []
    for entry in case.entry.get("history", ()):
        kind = entry.get("class", "marketing")
        if entry["channel"] in channels and (case.rule.count_exempt or kind not in case.rule.exempt):
            found.append(
                Sent("u", entry["channel"], when(case, entry), (entry.get("item", "old"),), frozenset([entry.get("category", "")]))
            )
    return found


def when(case: Case, entry: Mapping[str, Any]) -> datetime:
    as_of = parse(case.entry.get("as_of", AS_OF))
    shift = -span(entry["ago"]) if "ago" in entry else span(entry["ahead"]) if "ahead" in entry else timedelta(0)
    return parse(entry["at"]) if "at" in entry else as_of + shift


def has_room(case: Case, spec: CapSpec, at: datetime) -> bool:
    """What the spec says, by the plain words of the contract."""
    candidate = {"item": "new", "category": "", **case.entry.get("candidate", {})}
    sends = history(case, spec.channels)
    if spec.same_item:
        sends = [s for s in sends if candidate["item"] in s.items]
    if spec.category is not None:
        if candidate["category"] != spec.category:
            return True
        sends = [s for s in sends if spec.category in s.categories]
    times = [s.at for s in sends]
    if spec.per == "rolling":
        return rolling_ok(times, at, spec.maximum, timedelta(microseconds=spec.window_us))
    return calendar_ok(times, at, spec.maximum, spec.per, case.zone)


def weight(case: Case, at: datetime) -> float:
    assert isinstance(case.rule, Weight)
    spec = case.rule.fatigue(case.rule.channels or CHANNELS)
    times = [s.at for s in history(case, spec.channels)]
    return fatigue_weight(times, at, timedelta(microseconds=spec.half_life_us), spec.strength)


def taken(case: Case, at: datetime) -> float:
    assert isinstance(case.rule, ItemWeight)
    spec = case.rule.recovery(case.rule.channels or CHANNELS)
    item = case.entry.get("candidate", {}).get("item", "new")
    times = [s.at for s in history(case, spec.channels) if item in s.items and s.at <= at]
    return float(spec.penalty * 2.0 ** (-((at - max(times)) / timedelta(microseconds=spec.half_life_us)))) if times else 0.0
