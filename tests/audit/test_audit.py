"""The audit against ledgers written by hand: a sound one has no finding, and each planted break is found under its name."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from notif_rec.audit.keys import expected_key, held_out
from notif_rec.config import parse_config
from notif_rec.store.rows import PlanRow, PublicationRow
from notif_rec.store.store import Store
from notif_rec.tables import STORED
from notif_rec.workflows.audit import AuditResult, audit
from notif_rec.workflows.publish import publish

AS_OF = datetime(2026, 11, 22)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
POLICY = """
version: 1
horizon: 24h
events: {view: 1}
channels:
  push: {items_per_send: 2, max_sends: 2, consent: yes, weekly: {budget: 4, at_most: 3}}
  email: {items_per_send: 2, max_sends: 2, consent: no}
rules:
  - {rule: quiet_hours, channels: [push], from: "21:00", to: "08:00"}
  - {rule: frequency_cap, channels: [push], max: 1, per: 6h}
  - {rule: frequency_cap, channels: [push, email], max: 2, per: calendar_day}
  - {rule: frequency_cap, channels: [push], category: promo, max: 1, per: 3d}
  - {rule: min_gap, channels: [push, email], gap: 2h}
  - {rule: no_repeat, channels: [push, email], within: 30d}
  - {rule: back_off, channels: [email], after_ignored: 2, wait: 7d, factor: 2, max_wait: 30d}
quotas:
  - {channel: push, max_sends: 3}
holdout: 0.2
"""
USERS = ["ann", "bob", "hal", "cy"]
ITEMS = ["a", "b", "c", "d", "e"]


@dataclass
class Send:
    """One planned send."""

    user: str
    channel: str
    at: datetime
    items: tuple[str, ...]
    key: str | None = None


@dataclass
class World:
    """A ledger and the facts around it."""

    sends: list[Send] = field(
        default_factory=lambda: [Send("bob", "push", AS_OF + 12 * HOUR, ("a", "b")), Send("hal", "push", AS_OF + 13 * HOUR, ("c",))]
    )
    events: list[tuple[str, str, str, str, datetime]] = field(default_factory=list)
    later_events: list[tuple[str, str, str, str, datetime]] = field(default_factory=list)
    users: dict[str, dict[str, Any]] = field(default_factory=lambda: {u: {} for u in USERS})
    items: dict[str, dict[str, Any]] = field(default_factory=lambda: {i: {} for i in ITEMS})
    suppressed: list[tuple[str, str]] = field(default_factory=list)

    def audited(self, root: Path) -> AuditResult:
        """The audit's result on a store of this world."""
        store = self.stored(root)
        publish(store, store.plans()[-1], root / "out")
        return audit(store, None)

    def stored(self, root: Path) -> Store:
        """The store, its plan applied."""
        store = Store.create(root / "store")
        with store.lock():
            users, new_users = store.user_codes(pa.array(USERS), create=True)
            items, new_items = store.item_codes(pa.array(ITEMS), create=True)
            user, item = dict(zip(USERS, users.to_pylist(), strict=True)), dict(zip(ITEMS, items.to_pylist(), strict=True))
            bucket = {r["user_id"]: r["bucket"] for r in new_users.to_pylist()}
            facts = {
                "user_ids": new_users,
                "item_ids": new_items,
                "users": _table("users", [{"bucket": bucket[u], "user": user[u], **given} for u, given in self.users.items()]),
                "items": _table("items", [{"item": item[i], "item_class": "marketing", "value": 1.0, **g} for i, g in self.items.items()]),
                "events": self._events(self.events, user, item, bucket),
                "suppressions": _table("suppressions", [{"bucket": bucket[u], "user": user[u], "channel": c} for u, c in self.suppressed]),
            }
            store.commit("ingest", facts)
            rows = [row for send in self.sends for row in self._rows(send, user, item, bucket)]
            version = store.version()
            config = parse_config(POLICY, "policy.yml")
            manifest = {"plan_id": "p1", "config": config.to_json(), "as_of": AS_OF.isoformat(), "config_hash": config.hash}
            plan = PlanRow("p1", AS_OF, config.hash, "m1", version.seq, version.ledger, "applied", manifest)
            store.commit("apply", {"sends": _table("sends", rows)}, ledger=True, rows=[plan])
            if self.later_events:
                store.commit("ingest", {"events": self._events(self.later_events, user, item, bucket)})
        return store

    def _events(self, rows: list[Any], user: dict[str, int], item: dict[str, int], bucket: dict[str, int]) -> pa.Table:
        made = [
            {"bucket": bucket[u], "user": user[u], "item": item.get(i, -1), "channel": c, "event": e, "timestamp": t, "value": 1.0}
            for u, i, c, e, t in rows
        ]
        return _table("events", made)

    def _rows(self, send: Send, user: dict[str, int], item: dict[str, int], bucket: dict[str, int]) -> list[dict[str, Any]]:
        key = send.key or expected_key(send.channel, send.user, list(send.items), f"{send.at:%Y-%m-%d}")
        return [
            {
                "bucket": bucket[send.user], "user": user[send.user], "send_key": key, "channel": send.channel, "send_at": send.at,
                "position": n, "item": item[i], "score": 1.0, "p_open": 0.1, "p_click": 0.1, "p_unsubscribe": 0.001, "value": 0.1,
                "propensity": 1.0, "reason": "als", "item_class": self.items[i].get("item_class", "marketing"),
                "category": self.items[i].get("category"), "timezone": self.users[send.user].get("timezone") or "UTC", "kind": "send",
                "explored": False, "plan_id": "p1",
            }
            for n, i in enumerate(send.items, start=1)
        ]  # fmt: skip


def _table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    schema = STORED[name]
    return pa.Table.from_pylist([{f.name: row.get(f.name) for f in schema} for row in rows], schema=schema)


def rules_of(result: AuditResult) -> set[str]:
    return {f.rule.split("[")[0] for f in result.violations}


def test_users_of_the_world_are_not_held_out() -> None:
    assert [u for u in USERS if held_out("notif-rec", u, 0.2)] == ["cy"]


def test_a_sound_ledger_has_no_finding(tmp_path: Path) -> None:
    result = World().audited(tmp_path)
    assert (result.sends, result.violations, result.overtaken) == (2, (), ())


def _world(**changes: Any) -> World:
    world = World()
    for name, value in changes.items():
        held = getattr(world, name)
        held.update(value) if isinstance(held, dict) else held.extend(value)
    return world


NOON = AS_OF + 12 * HOUR
PLANTED = {
    "quiet_hours": _world(users={"ann": {"timezone": "Asia/Tokyo"}}, sends=[Send("ann", "push", NOON, ("a",))]),
    "frequency_cap": _world(sends=[Send("bob", "push", NOON + 3 * HOUR, ("d",))]),
    "min_gap": _world(users={"bob": {"consent": [("email", "yes")]}}, sends=[Send("bob", "email", NOON + HOUR, ("d",))]),
    "no_repeat": _world(events=[("bob", "a", "email", "sent", AS_OF - 5 * DAY)]),
    "consent": _world(sends=[Send("ann", "email", NOON, ("a",))]),
    "suppressed": _world(suppressed=[("bob", "")]),
    "items": _world(items={"c": {"expires_at": NOON}}),
    "audience": _world(items={"c": {"audience": "tier=gold|vip"}}, users={"hal": {"attributes": [("tier", "blue")]}}),
    "seen": _world(events=[("hal", "c", "", "view", AS_OF - DAY)]),
    "moments": _world(sends=[Send("ann", "push", AS_OF + 8 * HOUR + timedelta(minutes=1), ("a",))]),
    "items_per_send": _world(sends=[Send("ann", "push", NOON, ("a", "b", "c"))]),
    "quota": _world(sends=[Send("ann", "push", NOON, ("a",)), Send("ann", "push", NOON + 7 * HOUR, ("b",))]),
    "max_sends": _world(sends=[Send("ann", "push", AS_OF + h * HOUR, (i,)) for h, i in ((8, "a"), (14, "b"), (20, "c"))]),
    "weekly_budget": _world(sends=[Send("ann", "push", NOON - day * DAY, (i,)) for day, i in ((1, "a"), (3, "b"), (5, "c"))]),
    "send_key": _world(sends=[Send("ann", "push", NOON, ("a",), key=str(uuid.UUID(int=7)))]),
    "holdout": _world(sends=[Send("cy", "push", NOON, ("a",))]),
    "back_off": _world(
        users={"hal": {"consent": [("email", "yes")]}},
        events=[
            ("hal", "d", "email", "sent", AS_OF - 6 * DAY),
            ("hal", "e", "email", "sent", AS_OF - 5 * DAY),
            ("bob", "d", "email", "opened", AS_OF - DAY),
        ],
        sends=[Send("hal", "email", NOON + 5 * HOUR, ("a",))],
    ),
}


@pytest.mark.parametrize("rule", PLANTED)
def test_a_planted_break_is_found_under_its_name(rule: str, tmp_path: Path) -> None:
    assert rule in rules_of(PLANTED[rule].audited(tmp_path))


@pytest.mark.parametrize("per", ["push twice on one day", "promo twice in three days"])
def test_calendar_and_category_caps_are_told_apart(per: str, tmp_path: Path) -> None:
    if per.startswith("push"):
        world = _world(events=[("bob", "d", "email", "sent", AS_OF + HOUR), ("bob", "e", "email", "sent", AS_OF + 4 * HOUR)])
        wanted = "frequency_cap[2]"
    else:
        world = _world(
            items={"c": {"category": "promo"}, "d": {"category": "promo"}}, events=[("hal", "d", "push", "sent", AS_OF - 2 * DAY)]
        )
        wanted = "frequency_cap[3]"
    assert {f.rule for f in world.audited(tmp_path).violations} == {wanted}


def test_a_week_ends_with_the_plans_horizon_and_holds_no_transactional_sends(tmp_path: Path) -> None:
    def found(*sends: Send, **items: dict[str, Any]) -> set[str]:
        result = _world(sends=list(sends), items=items).audited(tmp_path / uuid.uuid4().hex)
        return {f.detail for f in result.violations if f.rule == "weekly_budget"}

    at_most = [Send("ann", "push", AS_OF - (6 - day) * DAY, (i,)) for day, i in ((0, "a"), (3, "b"))]
    assert found(*at_most) == set()  # four in all
    assert found(*at_most, Send("ann", "push", AS_OF - 6 * DAY - HOUR, ("d",))) == set()
    assert found(*at_most, Send("ann", "push", NOON - DAY, ("e",)), e={"item_class": "transactional"}) == set()
    assert found(*at_most, Send("ann", "push", NOON - DAY, ("e",))) == {"5 sends a week, the budget is 4"}
    more = [Send("ann", "push", NOON - day * DAY, ("e",)) for day in (1, 2)]
    assert found(*at_most, *more) == {"6 sends a week, the budget is 4", "4 sends a week to one user, at most 3"}


def test_what_only_later_facts_break_is_overtaken(tmp_path: Path) -> None:
    result = _world(later_events=[("bob", "", "push", "unsubscribed", AS_OF + 2 * HOUR)]).audited(tmp_path)
    assert result.violations == ()
    assert [(f.rule, f.user_id) for f in result.overtaken] == [("consent", "bob")]


def test_a_breach_by_others_alone_is_not_ours(tmp_path: Path) -> None:
    world = _world(events=[("ann", i, "push", "sent", AS_OF - DAY + n * HOUR) for n, i in enumerate("abc")])
    assert world.audited(tmp_path).violations == ()


@pytest.mark.parametrize(("words", "allowed"), [("out", False), ("back", True), ("undated yes", False), ("dated yes", True)])
def test_an_opt_out_binds_until_something_later(words: str, allowed: bool, tmp_path: Path) -> None:
    events = [("bob", "", "push", "unsubscribed", AS_OF - 2 * DAY)]
    if words == "back":
        events.append(("bob", "", "push", "subscribed", AS_OF - DAY))
    dated = {"consent": [("push", "yes")], **({"consent_at": [("push", AS_OF - DAY)]} if words == "dated yes" else {})}
    world = _world(events=events, users={"bob": dated} if "yes" in words else {})
    assert (rules_of(world.audited(tmp_path)) == set()) is allowed


OPT_IN_STATES = {
    "subscribed, and the row says nothing": ({}, True),
    "subscribed after a dated no": ({"consent": [("email", "no")], "consent_at": [("email", AS_OF - 3 * DAY)]}, True),
    "subscribed before a dated no": ({"consent": [("email", "no")], "consent_at": [("email", AS_OF - DAY)]}, False),
    "subscribed, but an undated no": ({"consent": [("email", "no")]}, False),
}


@pytest.mark.parametrize("state", OPT_IN_STATES)
def test_subscribed_means_yes_unless_the_users_row_says_otherwise(state: str, tmp_path: Path) -> None:
    row, allowed = OPT_IN_STATES[state]
    asked = [("bob", "", "email", "subscribed", AS_OF - 2 * DAY)]
    world = _world(events=asked, users={"bob": row}, sends=[Send("bob", "email", AS_OF + 16 * HOUR, ("d",))])
    assert (rules_of(world.audited(tmp_path)) == set()) is allowed


def test_a_changed_list_is_found(tmp_path: Path) -> None:
    world = World()
    store = world.stored(tmp_path)
    publish(store, store.plans()[-1], tmp_path / "out")
    target = tmp_path / "out" / "p1" / "push.csv"
    lines = target.read_text().splitlines(keepends=True)
    target.write_text("".join(lines[:-1]))
    assert any("not the file that was published" in f.detail for f in audit(store, "latest").violations)
    manifest = tmp_path / "out" / "p1" / "manifest.json"
    told = json.loads(manifest.read_text())
    import hashlib

    told["files"]["push.csv"]["sha256"] = hashlib.sha256(target.read_bytes()).hexdigest()
    manifest.write_text(json.dumps(told))
    assert any(f.detail == "in the ledger, but not listed" for f in audit(store, "latest").violations)


def test_a_withdrawn_list_is_not_asked_for(tmp_path: Path) -> None:
    world = World()
    store = world.stored(tmp_path)
    store.commit("release", {}, rows=[PublicationRow("p1", str(tmp_path / "gone"), "withdrawn")])
    assert audit(store, None).violations == ()


def test_users_without_a_zone_are_found_where_the_policy_blocks_them(tmp_path: Path) -> None:
    world = World()
    store = world.stored(tmp_path)
    plan = store.plans()[-1]
    store.commit(
        "plan", {}, rows=[replace(plan, manifest={**plan.manifest, "config": {**plan.manifest["config"], "unknown_timezone": "block"}})]
    )
    assert {(f.rule, f.user_id) for f in audit(store, None).violations} == {("unknown_timezone", "bob"), ("unknown_timezone", "hal")}


def test_a_rule_on_users_without_a_zone_does_not_bind_exempt_classes(tmp_path: Path) -> None:
    store = _world(items={"c": {"item_class": "transactional"}}).stored(tmp_path)
    plan = store.plans()[-1]
    rule = {"rule": "known_timezone", "exempt": ["transactional"]}
    store.commit("plan", {}, rows=[replace(plan, manifest={**plan.manifest, "config": {**plan.manifest["config"], "rules": [rule]}})])
    assert {(f.rule, f.user_id) for f in audit(store, None).violations} == {("unknown_timezone", "bob")}, "hal's send is transactional"
