"""What the contract says of a world, in the plainest Python: the facts as told, our ledger as read, and every fault of a plan.

Nothing here comes from the package. Facts are kept in the order in which the store was told of them.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.end_to_end.worlds import DAY, STEP, Row, moment
from tests.oracles.caps import Rule, Sent, bound, span, violations, wait_of

NO_VISIT = frozenset(("sent", "delivered", "dismissed", "unsubscribed", "subscribed", "complained", "bounced"))
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://notif-rec/send_key")
Policy = Mapping[str, Any]


@dataclass(frozen=True)
class Ours:
    """One send of the ledger. `actual`: when it was confirmed to have gone out."""

    key: str
    plan_id: str
    user: str
    channel: str
    at: datetime
    items: tuple[str, ...]
    categories: frozenset[str]
    transactional: bool
    released: bool = False
    actual: datetime | None = None

    @property
    def when(self) -> datetime:
        return self.actual or self.at

    @property
    def counts(self) -> bool:
        return not self.released or self.actual is not None


@dataclass
class Book:
    """Facts, and our sends."""

    users: dict[str, Row] = field(default_factory=dict)
    items: dict[str, Row] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    suppressed: set[tuple[str, str]] = field(default_factory=set)
    external: dict[tuple[str, str, str], Sent] = field(default_factory=dict)
    sends: dict[str, Ours] = field(default_factory=dict)
    paused: set[str] = field(default_factory=set)

    def tell_users(self, rows: Sequence[Row]) -> None:
        _upsert(self.users, rows, "user_id")

    def tell_items(self, rows: Sequence[Row]) -> None:
        _upsert(self.items, rows, "item_id")

    def tell_suppressions(self, rows: Sequence[Row]) -> None:
        self.suppressed |= {(row["user_id"], row["channel"]) for row in rows}

    def tell_events(self, rows: Sequence[Row]) -> None:
        """One ingest; the catalogue must know all items by now that it will ever know."""
        self.events += rows
        receipts = [row for row in rows if row["event"] == "sent"]
        keyed = [r for r in receipts if self._is_ours(r)]
        for row in keyed:
            self._confirm(row["send_key"], moment(row["timestamp"]))
        messages: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        for row in receipts:
            if not row.get("send_key"):
                messages[row["user_id"], row["channel"], row["timestamp"]].add(row["item_id"])
        taken = {row["send_key"] for row in keyed}
        for (user, channel, at), items in sorted(messages.items()):
            key = self._nearest(user, channel, moment(at), items, taken)
            if key:
                taken.add(key)
                self._confirm(key, moment(at))
            else:
                self._note_external(user, channel, at, moment(at), items)
        for row in receipts:
            if row.get("send_key") and row not in keyed:
                self._note_external(row["user_id"], row["channel"], row["send_key"], moment(row["timestamp"]), {row["item_id"]})

    def _is_ours(self, row: Row) -> bool:
        found = self.sends.get(row.get("send_key", ""))
        return found is not None and not found.released and found.user == row["user_id"]

    def _confirm(self, key: str, at: datetime) -> None:
        send = self.sends[key]
        self.sends[key] = replace(send, actual=min(at, send.actual or at))

    def _nearest(self, user: str, channel: str, at: datetime, items: set[str], taken: set[str]) -> str | None:
        fitting = [
            (abs(send.at - at), -len(items & set(send.items)), key)
            for key, send in self.sends.items()
            if (send.user, send.channel) == (user, channel)
            and not send.released
            and send.actual is None
            and key not in taken
            and items & set(send.items)
            and abs(send.at - at) <= DAY
        ]
        return min(fitting)[2] if fitting else None

    def _note_external(self, user: str, channel: str, name: str, at: datetime, items: set[str]) -> None:
        known = self.external.get((user, channel, name))
        all_items = {*items, *(known.items if known else ())} - {""}
        rows = [self.items.get(item, {}) for item in all_items] or [{}]
        self.external[user, channel, name] = Sent(
            user,
            channel,
            min(at, known.at) if known else at,
            tuple(sorted(all_items)),
            frozenset(row.get("category", "") for row in rows),
            all(row.get("class") == "transactional" for row in rows),
            ours=False,
        )

    def read_ledger(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Our sends as the store's ledger has them (desk.ledger()), for a plan that was just applied."""
        grouped: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
        for row in rows:
            if not row["released"]:
                grouped[row["send_key"]].append(row)
        for key, parts in grouped.items():
            if key in self.sends and not self.sends[key].released:
                continue
            first = parts[0]
            items = tuple(row["item_id"] for row in parts)
            self.sends[key] = Ours(
                key,
                first["plan_id"],
                first["user_id"],
                first["channel"],
                first["send_at"],
                items,
                frozenset(self.items.get(item, {}).get("category", "") for item in items),
                all(self.items.get(item, {}).get("class") == "transactional" for item in items),
            )

    def release(self, plan_id: str, as_of: datetime) -> None:
        for key, send in self.sends.items():
            if send.plan_id == plan_id and send.at >= as_of and send.actual is None:
                self.sends[key] = replace(send, released=True)

    def known_sends(self, plan_id: str) -> list[Sent]:
        """Every send, ours of the plan marked so."""
        ours = [
            Sent(s.user, s.channel, s.when, s.items, s.categories, s.transactional, ours=s.plan_id == plan_id and not s.released)
            for s in self.sends.values()
            if s.counts
        ]
        return [*ours, *self.external.values()]

    def zone(self, user: str) -> str | None:
        """The user's own time zone, where this machine knows it."""
        name = self.users.get(user, {}).get("timezone", "")
        try:
            return str(ZoneInfo(name)) if name else None
        except (KeyError, ValueError, OSError):
            return None

    def consent(self, user: str, channel: str, policy: Policy) -> str:
        row = self.users.get(user, {})
        word, dated = row.get(channel, ""), row.get(f"{channel}_at", "")
        word_at = moment(dated) if word and dated else None
        out, back = self._last(user, channel, {"unsubscribed", "complained"}), self._last(user, channel, {"subscribed"})
        if out and not (back and back > out) and not (word_at and word_at > out):
            return "no"
        if back and (not word or (word_at and back > word_at)):
            return "yes"
        return word or str(policy["channels"][channel]["consent"])

    def _last(self, user: str, channel: str, names: set[str]) -> datetime | None:
        found = [e for e in self.events_of(user) if e["event"] in names and e["channel"] in ("", channel)]
        return max((moment(e["timestamp"]) for e in found), default=None)

    def events_of(self, user: str) -> list[Row]:
        return [e for e in self.events if e["user_id"] == user]

    def faults(self, plan_id: str, policy: Policy, as_of: datetime) -> list[str]:
        """What the contract forbids of the plan's standing sends by everything known now; empty where it keeps its word."""
        channels, rules = list(policy["channels"]), policy["rules"]
        mine = [s for s in self.sends.values() if s.plan_id == plan_id and not s.released]
        busy = {s.user for s in mine}
        sends = [s for s in self.known_sends(plan_id) if s.user in busy]
        zones = {user: self.zone(user) or policy["timezone"] for user in busy}
        found = [f"{s.user} {s.channel} {s.at}: {rules[n]}" for s, n in violations(sends, rules, zones, channels)]
        for send in mine:
            found += [f"{send.user} {send.channel} {send.at} {send.items}: {what}" for what in self._wrong(send, policy, as_of)]
        return found + list(self._over_quota(policy, as_of, plan_id)) + list(self._over_max(policy, as_of, mine))

    def _wrong(self, send: Ours, policy: Policy, as_of: datetime) -> Iterator[str]:
        """What is wrong with one send by itself."""
        channel = policy["channels"][send.channel]
        start, end = as_of + span(policy["lead"]), as_of + span(policy["horizon"])
        if not start <= send.at < end or (send.at - datetime(2000, 1, 1)) % STEP:
            yield "outside the horizon or off the grid"
        if {(send.user, ""), (send.user, send.channel)} & self.suppressed:
            yield "suppressed"
        if send.channel in self.paused or "" in self.paused:
            yield "paused"
        if not 1 <= len(set(send.items)) == len(send.items) <= channel["items_per_send"]:
            yield "too many items, or one twice"
        if send.key != key_of(send.channel, send.user, send.items, send.at):
            yield "not its key"
        state = self.consent(send.user, send.channel, policy)
        if state not in allowed_states(policy, send.channel):
            yield f"consent {state}"
        for item in send.items:
            yield from self._wrong_item(item, send, policy, as_of)
        if self.zone(send.user) is None and self._needs_zone(send, policy):
            yield "no time zone"
        for rule in policy["rules"]:
            binds = rule["rule"] == "back_off" and bound(_sent(send), rule, list(policy["channels"]))
            if binds and send.at < self._free_from(send, rule, as_of):
                yield f"{rule}"

    def _wrong_item(self, item: str, send: Ours, policy: Policy, as_of: datetime) -> Iterator[str]:
        row = self.items.get(item)
        if row is None:
            yield f"{item} is in no catalogue"
            return
        if row.get("created_at") and moment(row["created_at"]) > send.at:
            yield f"{item} does not exist yet"
        if row.get("expires_at") and moment(row["expires_at"]) <= send.at:
            yield f"{item} has expired"
        if row.get("channels") and send.channel not in row["channels"].split("|"):
            yield f"{item} is not for this channel"
        if (row.get("class") == "transactional") != send.transactional:
            yield "classes are mixed"
        for part in filter(None, row.get("audience", "").split(";")):
            name, _, values = part.partition("=")
            if self.users.get(send.user, {}).get(name, "") not in values.split("|"):
                yield f"outside the audience of {item}"
        taste = {"clicked": 4, "opened": 1, **policy["events"]}
        mine = [e for e in self.events_of(send.user) if e["item_id"] == item and taste.get(e["event"], 0) > 0]
        if policy["channels"][send.channel]["exclude_seen"] and any(moment(e["timestamp"]) < as_of for e in mine):
            yield f"{item} was seen"

    def _needs_zone(self, send: Ours, policy: Policy) -> bool:
        rules = [r for r in policy["rules"] if r["rule"] == "known_timezone" or r.get("unknown_timezone") == "block"]
        return policy["unknown_timezone"] == "block" or any(bound(_sent(send), r, list(policy["channels"])) for r in rules)

    def _free_from(self, send: Ours, rule: Rule, as_of: datetime) -> datetime:
        """When back_off lets the channel speak to the user again."""
        answers = [e for e in self.events if e["channel"] == send.channel and e["event"] in ("opened", "clicked")]
        if not any(as_of - 30 * DAY <= moment(e["timestamp"]) < as_of for e in answers):
            return datetime.min
        visits = [e for e in self.events_of(send.user) if e["channel"] == "" and e["event"] not in NO_VISIT]
        heard = [moment(e["timestamp"]) for e in [*visits, *answers] if e["user_id"] == send.user]
        last = max((t for t in heard if t < as_of), default=datetime.min)
        sends = [s.at for s in self.known_sends("") if (s.user, s.channel) == (send.user, send.channel)]
        ignored = [t for t in sends if last < t <= as_of - DAY]
        return max(ignored) + wait_of(len(ignored), rule) if ignored else datetime.min

    def _over_max(self, policy: Policy, as_of: datetime, mine: Sequence[Ours]) -> Iterator[str]:
        """max_sends: our sends within the horizon, whichever plan made them, where the plan itself adds one."""
        end = as_of + span(policy["horizon"])
        within = Counter((s.user, s.channel) for s in self.sends.values() if s.counts and as_of <= s.when < end)
        for user, channel in {(s.user, s.channel) for s in mine}:
            if within[user, channel] > policy["channels"][channel]["max_sends"]:
                yield f"{user} {channel}: {within[user, channel]} sends in the horizon"

    def _over_quota(self, policy: Policy, as_of: datetime, plan_id: str) -> Iterator[str]:
        within = [s for s in self.sends.values() if s.counts and as_of <= s.at < as_of + span(policy["horizon"])]
        for quota in policy["quotas"]:
            names = {item for s in within for item in s.items} if quota.get("item") == "any" else {""}
            for name in sorted(names):
                taking = [s for s in within if self._takes(s, quota, name)]
                cost = [policy["channels"][s.channel].get("cost", 0) if "max_cost" in quota else 1 for s in taking]
                if sum(cost) > quota.get("max_cost", quota.get("max_sends")) + 1e-9 and any(s.plan_id == plan_id for s in taking):
                    yield f"{sum(cost)} of {quota} {name}"

    def _takes(self, send: Ours, quota: Mapping[str, Any], name: str) -> bool:
        if quota.get("channel") not in (None, send.channel):
            return False
        if quota.get("category") is not None and quota["category"] not in send.categories:
            return False
        row, parts = self.users.get(send.user, {}), [part.split("=") for part in quota.get("segment", "").split(";") if part]
        if not all(row.get(key, "") in values.split("|") for key, values in parts):
            return False
        return quota.get("item") is None or (name or quota["item"]) in send.items


def _sent(send: Ours) -> Sent:
    return Sent(send.user, send.channel, send.when, send.items, send.categories, send.transactional)


def _upsert(table: dict[str, Row], rows: Sequence[Row], key: str) -> None:
    """As a file: a column that it has overwrites, empty or not; one that it lacks stays."""
    columns = {name for row in rows for name in row}
    for row in rows:
        table[row[key]] = table.get(row[key], {}) | {name: row.get(name, "") for name in columns}


def allowed_states(policy: Policy, channel: str) -> set[str]:
    """`yes` alone, or what every opt_in rule on the channel allows; never `no`."""
    rules = [r for r in policy["rules"] if r["rule"] == "opt_in" and channel in (r.get("channels") or [channel])]
    states = {"yes", "provisional"} if rules else {"yes"}
    for rule in rules:
        states &= set(rule["allow"])
    return states


def key_of(channel: str, user: str, items: Sequence[str], at: datetime) -> str:
    """UUIDv5 of (channel, user_id, sorted item_ids, UTC date)."""
    text = json.dumps([channel, user, sorted(items), f"{at:%Y-%m-%d}"], ensure_ascii=False, separators=(",", ":"))
    return str(uuid.uuid5(NAMESPACE, text))


def list_faults(listed: Sequence[Mapping[str, str]], ledger: Sequence[Mapping[str, Any]], plan_id: str) -> list[str]:
    """Where the published lists are not the plan's part of the ledger, in the order of value."""
    mine = [row for row in ledger if row["plan_id"] == plan_id and row["kind"] == "send"]
    there = Counter((r["send_key"], r["user_id"], r["channel"], int(r["position"]), r["item_id"], moment(r["send_at"])) for r in listed)
    here = Counter((r["send_key"], r["user_id"], r["channel"], r["position"], r["item_id"], r["send_at"]) for r in mine)
    found = [f"listed, not in the ledger: {row}" for row in there - here] + [f"in the ledger, not listed: {row}" for row in here - there]
    for channel in {row["channel"] for row in listed}:
        rows = [row for row in listed if row["channel"] == channel]
        ranks, values = [int(row["rank"]) for row in rows], [float(row["value"]) for row in rows]
        if sorted(set(ranks)) != list(range(1, len(set(ranks)) + 1)) or ranks != sorted(ranks) or values != sorted(values, reverse=True):
            found.append(f"{channel}: ranks are not the order of value")
        if len({row["send_key"] for row in rows}) != len(set(ranks)):
            found.append(f"{channel}: a send has several ranks")
    return found
