"""Small made-up stores, and what PLANNING_INPUT must say of them by slow, plain Python over dicts."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pyarrow as pa

from notif_rec.planning.facts import Facts, SegmentMap
from notif_rec.tables import EVENTS, ITEMS, NO_ITEM, SUPPRESSIONS, TIME, USER_IDS, USERS, schema
from tests.planning.feature_truth import features

AS_OF = datetime(2026, 3, 10, 12)
DAY = timedelta(days=1)
BUCKET = 7
FACTS = Facts(
    channels=("push", "email"),
    consent=("yes", "no"),
    categories=("promo", "news"),
    audiences=("", "country=DE|AT", "country=DE; tier=gold"),
    event_weights={"view": 1.0, "save": 4.0, "clicked": 4.0, "opened": 1.0},
    timezone="UTC",
    half_life_us=4 * 86_400_000_000,
    hours_half_life_us=3 * 86_400_000_000,
    lookback_us=5 * 86_400_000_000,
    attribution_us=2 * 86_400_000_000,
    response_us=8 * 86_400_000_000,
    leave_us=3 * 86_400_000_000,
    benchmarks=((0.25, 0.1), (0.5, 0.2)),
    tiring_half_life_us=(2 * 86_400_000_000.0, 4 * 86_400_000_000.0),
    segments=SegmentMap(("country",), {("DE",): 0, ("",): 1}),
)
LEDGER = schema(
    bucket=pa.uint8(), user=pa.int32(), send_key=pa.string(), channel=pa.string(), actual_at=TIME, send_at=TIME, item=pa.int32(),
    item_class=pa.string(), category=pa.string(), released=pa.bool_(), confirmed=pa.bool_(),
)  # fmt: skip
VIEWS = {"user_ids": USER_IDS, "events": EVENTS, "users": USERS, "items_log": ITEMS, "suppressions": SUPPRESSIONS, "ledger": LEDGER}
Found = dict[tuple[Any, ...], dict[str, Any]]
World = dict[str, list[dict[str, Any]]]


def connect(world: World) -> duckdb.DuckDBPyConnection:
    """A connection with the store's views over the rows of `world`; columns left out are null."""
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    for name, columns in VIEWS.items():
        rows = [{"bucket": BUCKET, "seq": 1, "send_at": row.get("actual_at"), **row} for row in world.get(name, [])]
        maps = [{k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()} for row in rows]
        connection.register(name, pa.Table.from_pylist(maps, schema=columns))
    connection.execute("CREATE VIEW items AS FROM items_log WINDOW newest AS (PARTITION BY item) QUALIFY seq = max(seq) OVER newest")
    return connection


def user_ids(texts: list[str]) -> list[dict[str, Any]]:
    """Dictionary rows whose codes are places in `texts`."""
    hashes = (int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "little") for text in texts)
    return [{"user": at, "user_id": text, "user_hash": number} for at, (text, number) in enumerate(zip(texts, hashes, strict=True))]


def us(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1)) // timedelta(microseconds=1)


def expected(world: World, facts: Facts = FACTS, as_of: datetime = AS_OF) -> list[dict[str, Any]]:
    """The rows of PLANNING_INPUT, in order."""
    mentioned = {row["user"] for name in ("users", "events", "ledger") for row in world.get(name, [])}
    known = sorted((row for row in world["user_ids"] if row["user"] in mentioned), key=lambda row: row["user_id"].encode())
    return [_User(world, row["user"], facts, as_of).row() | {name: row[name] for name in ("user", "user_id", "user_hash")} for row in known]


class _User:
    """Everything about one user, worked out the long way."""

    def __init__(self, world: World, user: int, facts: Facts, as_of: datetime) -> None:
        self.world, self.facts, self.as_of = world, facts, as_of
        mine = [row for row in world.get("events", []) if row["user"] == user]
        self.events = [{"value": 1.0, "send_key": None, "confirms": None, **row} for row in mine]
        said = [row for row in world.get("users", []) if row["user"] == user]
        self.said = said[0] if said else {}
        self.barred = [row["channel"] for row in world.get("suppressions", []) if row["user"] == user]
        self.sends = self._sends([row for row in world.get("ledger", []) if row["user"] == user])
        self._attribute()

    def row(self) -> dict[str, Any]:
        facts = self.facts
        channels = range(len(facts.channels))
        since = self.as_of - timedelta(microseconds=facts.lookback_us)
        recent = [send for send in self.sends if send["at"] >= since]
        items = [(send, item) for send in recent for item in sorted(send["items"])]
        runs = [self._ignored(name) for name in facts.channels]
        taste = self._taste()
        zone = self.said.get("timezone")
        return {
            "timezone": zone if zone and _exists(zone) else None,
            "consent": [self._consent(at) for at in channels],
            "suppressed": [bool({name, ""} & set(self.barred)) for name in facts.channels],
            "audience": [self._inside(text) for text in facts.audiences],
            "segment": facts.segments.rows.get(tuple(self._attribute_of(name) or "" for name in facts.segments.attributes), -1),
            "send_us": [us(send["at"]) for send in recent],
            "send_channel": [facts.channels.index(send["channel"]) for send in recent],
            "send_class": [_class(send) for send in recent],
            "send_categories": [_bits(send, facts) for send in recent],
            "send_ours": [send["ours"] for send in recent],
            "send_day": [(send["day"] - datetime(1970, 1, 1)).days for send in recent],
            "sent_item": [item for _, item in items],
            "sent_item_us": [us(send["at"]) for send, _ in items],
            "sent_item_channel": [facts.channels.index(send["channel"]) for send, _ in items],
            "sent_item_class": [int(send["items"][item][0] == "transactional") for send, item in items],
            "sent_item_send": [place for place, send in enumerate(recent) for _ in send["items"]],
            "ignored": [len(run) for run in runs],
            "ignored_us": [us(max(run)) if run else 0 for run in runs],
            "features": [value for at in channels for value in self.features(at).values()],
            "hours": self._hours(),
            "seen_item": sorted({item for item, _ in taste}),
            "taste_item": [item for item, _ in sorted(taste)],
            "taste_channel": [channel for _, channel in sorted(taste)],
            "taste_weight": [taste[pair] for pair in sorted(taste)],
            "liked_category": [category for category, _ in self._liked()],
            "liked_count": [count for _, count in self._liked()],
        }

    def _sends(self, ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found: Found = {}
        for row in ledger:
            if row["channel"] in self.facts.channels and (not row["released"] or row["confirmed"]):
                when = (row["actual_at"], row.get("send_at", row["actual_at"]))
                self._add(found, row["channel"], row["send_key"], when, True, row["item"], row["item_class"], row["category"])
        for row in self.events:
            if row["event"] == "sent" and row["confirms"] is None and row["channel"] in self.facts.channels:
                was = self._item_at(row["item"], row["seq"])
                self._add(found, row["channel"], row["send_key"], (row["timestamp"], row["timestamp"]), False, row["item"], *was)
        return sorted(found.values(), key=self._order)

    def _order(self, send: dict[str, Any]) -> tuple[Any, ...]:
        """By time; what else tells two sends of one moment apart, their keys last, by hash, and those without one behind."""
        kind = (self.facts.channels.index(send["channel"]), _class(send), _bits(send, self.facts))
        return (send["at"], *kind, send["key"] is None, _hash(send["key"] or ""))

    @staticmethod
    def _add(
        found: Found, channel: str, key: str | None, when: tuple[datetime, datetime], ours: bool, item: int, kind: str, category: str
    ) -> None:
        at, planned = when
        name = (channel, key) if key else (channel, at, "no key")
        new = {"channel": channel, "key": key, "at": at, "day": planned, "ours": False, "items": {}, "kinds": [], "categories": set()}
        send = found.setdefault(name, new)
        send["at"], send["day"] = min(send["at"], at), min(send["day"], planned)
        send["ours"] |= ours
        send["kinds"].append(kind)
        send["categories"].add(category)
        if item != NO_ITEM:
            send["items"][item] = min(send["items"].get(item, (kind,)), (kind,))
        send |= {"opened_at": None, "clicked": {}}

    def _item_at(self, item: int, seq: int) -> tuple[str, str]:
        log = sorted((row for row in self.world.get("items_log", []) if row["item"] == item), key=lambda row: row["seq"])
        before = [row for row in log if row["seq"] <= seq]
        row = before[-1] if before else log[0] if log else {"item_class": "marketing", "category": ""}
        return row["item_class"], row["category"]

    def _attribute(self) -> None:
        window = timedelta(microseconds=self.facts.attribution_us)
        for row in self.events:
            if row["event"] not in ("opened", "clicked") or row["timestamp"] >= self.as_of:
                continue
            near = [send for send in self.sends if row["timestamp"] - window < send["at"] <= row["timestamp"]]
            named = [send for send in near if row["send_key"] and send["key"] == row["send_key"]]
            like = [s for s in near if s["channel"] == row["channel"]]
            like = [send for send in like if row["item"] == NO_ITEM or row["item"] in send["items"]]
            if not (named or like):
                continue
            send = (named or like)[-1]
            send["opened_at"] = min(send["opened_at"] or row["timestamp"], row["timestamp"])
            if row["event"] == "clicked":
                item = row["item"] if row["item"] in send["items"] else NO_ITEM
                send["clicked"][item] = min(send["clicked"].get(item, row["timestamp"]), row["timestamp"])

    def features(self, channel: int) -> dict[str, float]:
        name, facts = self.facts.channels[channel], self.facts
        answers = [(row["timestamp"], row["channel"]) for row in self.events if row["event"] in ("opened", "clicked")]
        visits = [row["timestamp"] for row in self.events if _is_answer(row, ()) and row["channel"] == ""]
        word, since = (self.said.get("consent") or {}).get(name), (self.said.get("consent_at") or {}).get(name)
        provisional = word == "provisional" and (since is None or since <= self.as_of)
        first = self.said.get("created_at") or min((row["timestamp"] for row in self.events), default=None)
        sends = [{**s, "items": len(s["items"]), "clicks": sorted(s["clicked"].values())} for s in self.sends]
        heard = sorted(answer for answer in answers if answer[1] in facts.channels)
        return features(sends, heard, sorted(visits), first, provisional, name, facts, self.as_of)

    def _answers(self, channel: str | None) -> list[datetime]:
        """Opens and clicks on a channel (None: on any of the config), and visits."""
        channels = self.facts.channels if channel is None else (channel,)
        return [row["timestamp"] for row in self.events if row["timestamp"] < self.as_of and _is_answer(row, channels)]

    def _ignored(self, channel: str) -> list[datetime]:
        """Walks the judged sends from the newest back until one was answered, or an answer came after."""
        answers, run = self._answers(channel), []
        for send in reversed([send for send in self.sends if send["channel"] == channel]):
            if send["at"] + DAY > self.as_of:
                continue
            if any(answer >= send["at"] for answer in answers):
                break
            run.append(send["at"])
        return run

    def _hours(self) -> list[float]:
        zone = self.said.get("timezone")
        zone = ZoneInfo(zone if zone and _exists(zone) else self.facts.timezone)
        half_life = timedelta(microseconds=self.facts.hours_half_life_us)
        wall = lambda at: at.replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None, minute=0, second=0, microsecond=0)  # noqa: E731
        now = wall(self.as_of - timedelta(microseconds=1))
        hours = [0.0] * 168
        for hour in sorted({wall(at) for at in self._answers(None) if at >= self.as_of - 6 * half_life}):
            hours[hour.weekday() * 24 + hour.hour] += 2 ** (-((now - hour) / half_life))
        return hours

    def _taste(self) -> dict[tuple[int, int], float]:
        parts: dict[tuple[int, int], list[float]] = {}
        for row in self.events:
            if row["event"] in self.facts.event_weights and row["item"] != NO_ITEM and row["timestamp"] < self.as_of:
                channel = self.facts.channels.index(row["channel"]) if row["channel"] in self.facts.channels else -1
                age = (self.as_of - row["timestamp"]) / timedelta(microseconds=self.facts.half_life_us)
                worth = self.facts.event_weights[row["event"]] * row["value"] * 2**-age
                parts.setdefault((row["item"], channel), []).append(worth if worth > 0 else 0.0)
        return {pair: math.fsum(values) for pair, values in parts.items()}

    def _liked(self) -> list[tuple[int, int]]:
        """Signs of taste by category, of items that the catalogue knows now."""
        newest = {row["item"]: row for row in sorted(self.world.get("items_log", []), key=lambda row: row["seq"])}
        names = sorted({row["category"] for row in newest.values()})
        back, told = timedelta(microseconds=self.facts.response_us), Counter[int]()
        for row in self.events:
            known = row["event"] in self.facts.event_weights and row["item"] in newest
            if known and self.as_of - back <= row["timestamp"] < self.as_of:
                told[names.index(newest[row["item"]]["category"])] += 1
        return sorted(told.items())

    def _consent(self, channel: int) -> int:
        name = self.facts.channels[channel]
        words = ("no", "provisional", "yes")
        near = [row for row in self.events if row["channel"] in ("", name)]
        dated: list[Any] = [(row["timestamp"], 1, "no") for row in near if row["event"] in ("unsubscribed", "complained")]
        dated += [(row["timestamp"], 0, "yes") for row in near if row["event"] == "subscribed"]
        word, date = (self.said.get("consent") or {}).get(name), (self.said.get("consent_at") or {}).get(name)
        if word and date:
            dated.append((date, 0.5, word))
        newest = max(dated, default=None)
        if newest and newest[1] == 1:
            return 0
        if word and not date:
            return words.index(word)
        return words.index(newest[2] if newest else self.facts.consent[channel])

    def _attribute_of(self, name: str) -> str | None:
        return (self.said.get("attributes") or {}).get(name)

    def _inside(self, audience: str) -> bool:
        parts = [part.split("=") for part in audience.split(";") if part]
        return all(self._attribute_of(key.strip()) in values.split("|") for key, values in parts)


def _is_answer(row: dict[str, Any], channels: tuple[str, ...]) -> bool:
    if row["event"] in ("opened", "clicked"):
        return row["channel"] in (*channels, "")
    return row["channel"] == "" and row["event"] in ("view", "save", "ghost")


@cache
def _hash(key: str) -> int:
    return int(duckdb.execute("SELECT hash(?)", [key]).fetchall()[0][0])


def _class(send: dict[str, Any]) -> int:
    return int(all(kind == "transactional" for kind in send["kinds"]))


def _bits(send: dict[str, Any], facts: Facts) -> int:
    return sum(1 << bit for bit, name in enumerate(facts.categories) if name in send["categories"])


def _exists(zone: str) -> bool:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError):
        return False
    return True
