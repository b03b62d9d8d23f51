"""Seeded random worlds as a sender's own files: users in awkward time zones, consents, items, histories with breaches, and a policy.

Users fall into a handful of the store's buckets, so that a small plan has few parts.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from tests.end_to_end.desk import Desk

ZONES = (
    "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia",
    "Pacific/Kiritimati", "Pacific/Pago_Pago", "America/Sao_Paulo", "Africa/Casablanca",
)  # fmt: skip
# days on which one of them sets its clock (in 2018 Sao Paulo's midnight did not exist), and plain ones
DAYS = (
    "2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04", "2026-02-15", "2026-03-22", "2018-11-04",
    "2018-02-18", "2026-06-10", "2026-08-31",
)  # fmt: skip
BUCKETS = frozenset({3, 17, 40, 63})
ODD_IDS = ("007", "7", "NA", "null", 'quo"te', "com,ma", "ünï-ø", "user 9", "true", "1e5")
CATEGORIES = ("promo", "news", "plain", "")
FAST = {"factors": 16, "iterations": 2, "text_worth": 0.0}
# a policy under which most users get something, whatever else a world draws
GENEROUS: dict[str, Any] = {
    "channels": {
        name: {"items_per_send": 2, "max_sends": 2, "consent": "yes", "exclude_seen": False} for name in ("push", "email", "in_app")
    },
    "rules": [
        {"rule": "quiet_hours", "channels": ["push"], "from": "22:30", "to": "02:30"},
        {"rule": "frequency_cap", "max": 3, "per": "calendar_day"},
        {"rule": "min_gap", "channels": ["push", "email"], "gap": "4h"},
        {"rule": "no_repeat", "within": "2d"},
        {"rule": "fatigue", "half_life": "3d", "strength": 0.5},
    ],
    "value": {"unsubscribed": 0},
    "horizon": "24h",
    "lead": "0m",
    "candidates": 12,
}
HOUR, DAY, STEP = timedelta(hours=1), timedelta(days=1), timedelta(minutes=15)
Row = dict[str, str]


def stamp(moment: datetime) -> str:
    """As files and lists write it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def moment(text: str) -> datetime:
    """Naive UTC of what `stamp` wrote."""
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")


def bucket(user_id: str) -> int:
    return int.from_bytes(hashlib.md5(user_id.encode()).digest()[:8], "little") % 64


@dataclass
class World:
    """Rows of the contract's files as text, and a policy as the config's mapping."""

    seed: int
    as_of: datetime
    policy: dict[str, Any]
    users: list[Row] = field(default_factory=list)
    items: list[Row] = field(default_factory=list)
    events: list[Row] = field(default_factory=list)
    suppressions: list[Row] = field(default_factory=list)

    @property
    def channels(self) -> list[str]:
        return list(self.policy["channels"])

    def write(self, desk: Desk, order: random.Random | None = None) -> None:
        """The config and the four files; `order`: rows are shuffled by it."""
        desk.configure(self.policy)
        tables = {"users": self.users, "items": self.items, "events": self.events, "suppressions": self.suppressions}
        for name, rows in tables.items():
            shuffled = list(rows)
            if order:
                order.shuffle(shuffled)
            desk.write(f"{name}.csv", shuffled, HEADERS[name])

    def ingest(self, desk: Desk) -> None:
        """All four files through the front door; whatever they hold is sound."""
        for name in ("users", "items", "suppressions", "events"):
            told = desk.call("ingest", name, desk.folder / f"{name}.csv")
            assert told["rejected"] == 0, told["reasons"]


HEADERS = {
    "users": ("user_id",),
    "items": ("item_id",),
    "events": ("user_id", "item_id", "channel", "event", "timestamp"),
    "suppressions": ("user_id", "channel"),
}


class Chance(random.Random):
    """Draws that read as words."""

    def happens(self, p: float) -> bool:
        return self.random() < p

    def some(self, words: Sequence[str], least: int = 1) -> list[str]:
        chosen = set(self.sample(list(words), self.randint(least, len(words))))
        return [word for word in words if word in chosen]

    def around(self, centre: datetime, before: timedelta, after: timedelta) -> datetime:
        """A whole second in [centre − before, centre + after), often on the planner's grid."""
        at = centre - before + (before + after) * self.random()
        at = at.replace(microsecond=0)
        return at - (at - datetime(2000, 1, 1)) % STEP if self.happens(0.5) else at


def random_world(seed: int, n_users: int = 36, n_items: int = 24, **policy: Any) -> World:
    """The same world for the same seed; `policy` replaces keys of the drawn one."""
    chance = Chance(seed)
    as_of = datetime.fromisoformat(chance.choice(DAYS)) + chance.choice([-12, -6, 0, 2, 7, 13, 20]) * HOUR
    as_of += timedelta(minutes=chance.choice([0, 0, 0, 10, 15]))
    world = World(seed, as_of, {**random_policy(chance), **policy})
    ids = user_ids(chance, n_users)
    world.items = [_item(chance, n, world) for n in range(n_items)]
    world.users = _users(chance, ids, world)
    item_ids = [row["item_id"] for row in world.items] + ["no-such-item"]
    for user in [*ids, *user_ids(chance, 3, "stranger")]:
        world.events += _organic(chance, user, item_ids, as_of)
        world.events += _sends(chance, user, item_ids, world)
        world.events += _choices(chance, user, world)
    world.suppressions = [{"user_id": u, "channel": chance.choice(["", *world.channels])} for u in ids if chance.happens(0.06)]
    return world


def user_ids(chance: Chance, n: int, prefix: str = "u") -> list[str]:
    """Distinct ids, some of them awkward, all in BUCKETS."""
    odd = [text for text in ODD_IDS if bucket(text) in BUCKETS or chance.happens(0.3)] if prefix == "u" else []
    plain = (f"{prefix}{chance.randrange(10**6)}" for _ in iter(int, 1))
    found = dict.fromkeys(odd[:n])
    while len(found) < n:
        name = next(plain)
        if bucket(name) in BUCKETS:
            found[name] = None
    return list(found)


def random_policy(chance: Chance) -> dict[str, Any]:
    """A config with every kind of rule now and then, many tight enough to bind."""
    channels = {
        name: {
            "items_per_send": chance.choice([1, 1, 2, 3]),
            "max_sends": chance.choice([0, 1, 1, 2, 2, 3]),
            "consent": chance.choice(["yes", "yes", "yes", "no", "provisional"]),
            "exclude_seen": chance.happens(0.5),
            "cost": chance.choice([0.05, 0.05, 0.2]),
        }
        for name in ("push", "email", "in_app", "sms")[: chance.choice([2, 3, 3, 4])]
    }
    return {
        "version": 1,
        "timezone": chance.choice(ZONES),
        "unknown_timezone": chance.choice(["default", "default", "block"]),
        "horizon": chance.choice(["12h", "24h", "24h", "2d"]),
        "lead": chance.choice(["0m", "0m", "90m"]),
        "events": {"view": 1, "save": 4, "glance": 0, **({"opened": 0} if chance.happens(0.2) else {})},
        "value": {"unsubscribed": chance.choice([-30, -3, 0])},
        "channels": channels,
        "rules": random_rules(chance, list(channels)),
        "quotas": _quotas(chance, list(channels)),
        "holdout": chance.choice([0, 0, 0.1, 0.4]),
        "exploration": chance.choice([0, 0.1, 0.6]),
        "max_offers": chance.choice([4, 8, 24]),
        "candidates": chance.choice([5, 12, 50]),
        "seed": chance.randrange(5),
        "model": FAST,
        "output": {"item_columns": ["title", "colour"]},
    }


def random_rules(chance: Chance, channels: list[str]) -> list[dict[str, Any]]:
    def scope() -> dict[str, Any]:
        return {} if chance.happens(0.15) else {"channels": chance.some(channels)}

    def exempt(counting: bool = True) -> dict[str, Any]:
        if chance.happens(0.7):
            return {}
        return {"exempt": ["transactional"], **({"count_exempt": chance.happens(0.5)} if counting else {})}

    def cap() -> dict[str, Any]:
        per = chance.choice(["6h", "1d", "3d", "7d", "calendar_day", "calendar_day", "calendar_week", "calendar_month"])
        category = {"category": chance.choice(["promo", "news"])} if chance.happens(0.35) else {}
        most = chance.choice([0, 1, 1, 2, 2, 3, 5]) if category else chance.choice([1, 1, 2, 2, 3, 5])
        return {"rule": "frequency_cap", **scope(), "max": most, "per": per, **category, **exempt()}

    def quiet() -> dict[str, Any]:
        start, end = chance.choice([("21:00", "08:00"), ("22:30", "02:30"), ("01:00", "03:00"), ("00:00", "06:00"), ("12:00", "13:15")])
        unknown = {"unknown_timezone": "block"} if chance.happens(0.2) else {}
        return {"rule": "quiet_hours", **scope(), "from": start, "to": end, **unknown, **exempt(counting=False)}

    others = [
        quiet,
        quiet,
        lambda: {"rule": "min_gap", **scope(), "gap": chance.choice(["30m", "4h", "9h"]), **exempt()},
        lambda: {"rule": "no_repeat", **scope(), "within": chance.choice(["12h", "2d", "30d"]), **exempt()},
        lambda: {"rule": "fatigue", **scope(), "half_life": chance.choice(["6h", "3d"]), "strength": chance.choice([0.2, 0.5, 1.0])},
        lambda: {"rule": "back_off", **scope(), "after_ignored": chance.choice([1, 2, 3]), "wait": chance.choice(["1d", "2d"]),
                 "factor": 2, "max_wait": "9d", **exempt(counting=False)},
        lambda: {"rule": "opt_in", "channels": chance.some(channels), "allow": chance.choice([["yes", "provisional"], ["provisional"]])},
        lambda: {"rule": "known_timezone", **scope()},
    ]  # fmt: skip
    weights = [0.6, 0.3, 0.6, 0.6, 0.4, 0.4, 0.4, 0.1]
    rules = [cap() for _ in range(chance.randint(1, 4))]
    rules += [make() for make, p in zip(others, weights, strict=True) if chance.happens(p)]
    chance.shuffle(rules)
    return rules


def _quotas(chance: Chance, channels: list[str]) -> list[dict[str, Any]]:
    if chance.happens(0.5):
        return []
    drawn = [
        {"channel": chance.choice(channels), "max_sends": chance.choice([0, 5, 12])},
        {"item": "any", "max_sends": chance.choice([2, 4])},
        {"item": "i07", "max_sends": 1},
        {"category": "promo", "max_sends": chance.choice([3, 10])},
        {"segment": "country=DE|AT", "max_sends": chance.choice([2, 6])},
        {"segment": "country=DE;tier=gold|silver", "channel": chance.choice(channels), "max_sends": 1},
        {"item": "any", "channel": chance.choice(channels), "max_sends": 3},
        {"max_cost": chance.choice([0.5, 1.25])},
    ]
    return [quota for quota in drawn if chance.happens(0.5)]


def _item(chance: Chance, n: int, world: World) -> Row:
    row = {
        "item_id": f"i{(n * 7) % 100:02d}",
        "title": f"Nr. {n}, «ü»",
        "category": chance.choice(CATEGORIES),
        "colour": "red" if n % 2 else "",
    }
    row["class"] = "transactional" if chance.happens(0.2) else chance.choice(["", "marketing"])
    row["value"] = str(chance.choice([1, 1, 2, 5]))
    if chance.happens(0.15):
        row["created_at"] = stamp(chance.around(world.as_of, 2 * DAY, 1 * DAY))
    if chance.happens(0.2):
        born = moment(row["created_at"]) if row.get("created_at") else world.as_of - 9 * DAY
        row["expires_at"] = stamp(max(chance.around(world.as_of + 3 * DAY, 3 * DAY, 1 * DAY), born + HOUR))
    if chance.happens(0.15):
        row["channels"] = "|".join(chance.some(world.channels))
    if chance.happens(0.2):
        row["audience"] = chance.choice(["country=DE|AT", "tier=gold", "country=DE;tier=gold|silver"])
    return row


def _users(chance: Chance, ids: Sequence[str], world: World) -> list[Row]:
    stated = [c for c in world.channels if chance.happens(0.7)]
    dated = [c for c in stated if chance.happens(0.6)]
    rows = []
    for user in ids:
        if chance.happens(0.05):
            continue  # known from events alone
        row = {"user_id": user, "timezone": chance.choice([*ZONES, *ZONES, "", "Mars/Phobos"])}
        row |= {"country": chance.choice(["DE", "AT", "US", ""]), "tier": chance.choice(["gold", "silver", ""])}
        row |= {c: chance.choice(["yes", "yes", "yes", "no", "provisional", ""]) for c in stated}
        row |= {f"{c}_at": stamp(chance.around(world.as_of, 30 * DAY, -HOUR)) for c in dated if chance.happens(0.6)}
        rows.append(row)
    return rows


def event(user: str, item: str, channel: str, name: str, at: datetime, **more: str) -> Row:
    return {"user_id": user, "item_id": item, "channel": channel, "event": name, "timestamp": stamp(at), **more}


def _organic(chance: Chance, user: str, items: Sequence[str], as_of: datetime) -> list[Row]:
    n = chance.choice([0, 1, 4, 9])
    words = ["view", "view", "save", "glance"]
    made = [event(user, chance.choice(items), "", chance.choice(words), chance.around(as_of, 40 * DAY, DAY / 4)) for _ in range(n)]
    return made + [event(user, "", "", "view", chance.around(as_of, 20 * DAY, -HOUR)) for _ in range(n // 4)]


def _sends(chance: Chance, user: str, items: Sequence[str], world: World) -> list[Row]:
    """Messages of other systems, before and after as-of, some so bunched that any cap is broken already, and what became of them."""
    made: list[Row] = []
    for _ in range(chance.choice([0, 0, 1, 3, 8])):
        at = chance.around(world.as_of, chance.choice([8 * HOUR, 3 * DAY, 35 * DAY]), DAY)
        channel = chance.choice(world.channels)
        key = {"send_key": f"camp-{chance.randrange(10**6)}"} if chance.happens(0.3) else {}
        sent = chance.sample(list(items), chance.choice([1, 1, 2])) if chance.happens(0.9) else [""]
        made += [event(user, item, channel, "sent", at, **key) for item in sent]
        for name, p in (("delivered", 0.5), ("opened", 0.3), ("clicked", 0.2), ("dismissed", 0.1), ("bounced", 0.05)):
            if chance.happens(p):
                later = at + timedelta(minutes=chance.randrange(1, 2000))
                made.append(event(user, chance.choice([*sent, ""]), channel, name, later, **(key if chance.happens(0.5) else {})))
    return made


def _choices(chance: Chance, user: str, world: World) -> list[Row]:
    """Opt-outs and opt-ins, in any order, on a channel or on all."""
    made = []
    for name, p in (("unsubscribed", 0.15), ("subscribed", 0.15), ("complained", 0.05), ("unsubscribed", 0.05)):
        if chance.happens(p):
            made.append(event(user, "", chance.choice(["", *world.channels]), name, chance.around(world.as_of, 25 * DAY, DAY / 2)))
    return made
