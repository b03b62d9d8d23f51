"""Between plan and ledger: what newer facts drop, what makes a plan stale, what a release gives back, which receipts confirm."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import BUCKETS, FAST, Chance, Row, bucket, event, moment, random_world, stamp

AS_OF = datetime(2026, 10, 5, 6)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANNELS = ("push", "email", "in_app")
POLICY: dict[str, Any] = {
    "version": 1,
    "events": {"view": 1},
    "value": {"unsubscribed": -1},
    "channels": {
        "push": {"items_per_send": 1, "max_sends": 1, "consent": "yes"},
        "email": {"items_per_send": 2, "max_sends": 1, "consent": "yes"},
        "in_app": {"items_per_send": 1, "max_sends": 1, "consent": "yes"},
    },
    "rules": [
        {"rule": "quiet_hours", "channels": ["email"], "from": "00:00", "to": "15:00"},  # so that the day has three moments
        {"rule": "quiet_hours", "channels": ["in_app"], "from": "00:00", "to": "20:00"},
        {"rule": "min_gap", "channels": ["push", "email"], "gap": "4h"},
        {"rule": "frequency_cap", "channels": ["in_app"], "max": 1, "per": "calendar_day"},
        {"rule": "no_repeat", "channels": ["push", "email"], "within": "30d"},
    ],
    "model": FAST,
}
USERS = [name for name in (f"u{n:03}" for n in range(1000)) if bucket(name) in BUCKETS][:12]
ITEMS = [f"i{n}" for n in range(9)]


def open_desk(folder: Path) -> Desk:
    """Twelve users and nine items; each user has seen two."""
    desk = Desk(folder)
    desk.configure(POLICY)
    desk.write("users.csv", [{"user_id": u, "timezone": "Europe/Berlin"} for u in USERS])
    desk.write("items.csv", [{"item_id": i, "category": "promo" if n % 2 else "news"} for n, i in enumerate(ITEMS)])
    views = [event(u, ITEMS[(n * k) % 9], "", "view", AS_OF - n * DAY - k * HOUR) for n, u in enumerate(USERS, 1) for k in (1, 2)]
    desk.write("events.csv", views)
    for table in ("users", "items", "events"):
        desk.call("ingest", table, desk.folder / f"{table}.csv")
    desk.call("train", "--as-of", stamp(AS_OF))
    return desk


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return open_desk(tmp_path_factory.mktemp("opened"))


@pytest.fixture
def desk(opened: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(opened.folder, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def plan(desk: Desk, *options: object, as_of: datetime = AS_OF) -> Any:
    return desk.call("plan", "--as-of", stamp(as_of), "-o", desk.folder / "preview", *options)


def proposed(desk: Desk, plan_id: str) -> list[dict[str, str]]:
    return desk.listed(plan_id, "preview")


def told(desk: Desk, table: str, rows: list[Row]) -> None:
    desk.call("ingest", table, desk.write(f"newer-{table}.csv", rows))


def keys(rows: list[dict[str, str]]) -> set[str]:
    return {row["send_key"] for row in rows}


def plain(rows: list[dict[str, str]]) -> list[tuple[str, ...]]:
    return sorted(tuple(value for name, value in row.items() if name != "rank") for row in rows)


def unsubscribe(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    told(desk, "events", [event(USERS[3], "", "push", "unsubscribed", AS_OF + HOUR), event(USERS[4], "", "", "complained", AS_OF - DAY)])
    return keys([r for r in rows if (r["user_id"], r["channel"]) == (USERS[3], "push") or r["user_id"] == USERS[4]])


def suppress(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    told(desk, "suppressions", [{"user_id": USERS[5], "channel": ""}, {"user_id": USERS[6], "channel": "email"}])
    return keys([r for r in rows if r["user_id"] == USERS[5] or (r["user_id"], r["channel"]) == (USERS[6], "email")])


def expire(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    item = rows[0]["item_id"]
    at = sorted(moment(r["send_at"]) for r in rows if r["item_id"] == item)[-1]  # only what goes out from then on
    told(desk, "items", [{"item_id": item, "category": "news", "expires_at": stamp(at)}])
    return keys([r for r in rows if r["item_id"] == item and moment(r["send_at"]) >= at])


def send_from_elsewhere(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    row = next(r for r in rows if r["channel"] == "push")
    told(desk, "events", [event(row["user_id"], "x", "email", "sent", moment(row["send_at"]) + 3 * HOUR, send_key="crm-1")])
    near = [r for r in rows if r["user_id"] == row["user_id"] and r["channel"] != "in_app"]
    return keys([r for r in near if abs(moment(r["send_at"]) - moment(row["send_at"]) - 3 * HOUR) < 4 * HOUR])


def pause(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    assert desk.call("pause", "in_app")["paused"] == ["in_app"]
    return keys([r for r in rows if r["channel"] == "in_app"])


def withdraw_consent(desk: Desk, rows: list[dict[str, str]]) -> set[str]:
    told(desk, "users", [{"user_id": USERS[7], "push": "no"}])
    return keys([r for r in rows if (r["user_id"], r["channel"]) == (USERS[7], "push")])


NEWER: dict[str, Callable[[Desk, list[dict[str, str]]], set[str]]] = {
    "consent": unsubscribe,
    "opt_in column": withdraw_consent,
    "suppressed": suppress,
    "expired": expire,
    "min_gap": send_from_elsewhere,
    "paused": pause,
}


@pytest.mark.parametrize("reason", NEWER)
def test_newer_facts_drop_what_they_forbid_and_nothing_else(desk: Desk, reason: str) -> None:
    plan_id = plan(desk)["plan_id"]
    rows = proposed(desk, plan_id)
    gone = NEWER[reason](desk, rows)
    assert gone
    applied = desk.call("apply", plan_id, "--max-drift", "1")
    assert applied["dropped"] == {reason.replace("opt_in column", "consent"): len(gone)}
    assert plain(desk.listed(plan_id)) == plain([r for r in rows if r["send_key"] not in gone]), "the rest stands, unmoved"
    assert {row["send_key"] for row in desk.ledger()} == keys(rows) - gone
    assert desk.call("apply", plan_id)["dropped"] == applied["dropped"]
    assert desk.call("audit")["violations"] == 0


def test_moments_that_are_past_are_dropped(desk: Desk) -> None:
    plan_id = plan(desk)["plan_id"]
    rows = proposed(desk, plan_id)
    middle = sorted(moment(r["send_at"]) for r in rows)[len(rows) // 2]
    late = middle + timedelta(minutes=1)
    gone = keys([r for r in rows if moment(r["send_at"]) < late])
    assert "`lead` in the config leaves time" in desk.try_("apply", plan_id, "--as-of", stamp(late)).err
    applied = desk.call("apply", plan_id, "--as-of", stamp(late), "--max-drift", "1")
    assert applied["dropped"] == {"past_moment": len(gone)}
    assert keys(desk.listed(plan_id)) == keys(rows) - gone
    assert min(moment(r["send_at"]) for r in desk.listed(plan_id)) >= late


def test_a_plan_of_a_named_moment_is_applied_at_that_moment_and_another_at_the_clocks(desk: Desk) -> None:
    named = plan(desk)["plan_id"]
    assert desk.call("apply", named)["dropped"] == {}, "its moments are long past by the clock"
    clocked = desk.call("plan")["plan_id"]
    assert desk.call("apply", clocked)["applied"]


def test_too_much_drift_is_refused_and_changes_nothing(desk: Desk) -> None:
    plan_id = plan(desk)["plan_id"]
    gone = suppress(desk, proposed(desk, plan_id))
    before, total = desk.state(), len(keys(proposed(desk, plan_id)))
    refused = desk.try_("apply", plan_id)
    assert refused.code == 75
    assert f"{len(gone)} of {total} sends would drop (suppressed {len(gone)})" in refused.err
    assert "make a new plan with `notif-rec plan`, or raise --max-drift" in refused.err
    assert desk.state() == before
    assert desk.try_("apply", plan_id, "--max-drift", str(len(gone) / total - 0.001)).code == 75
    assert desk.call("apply", plan_id, "--max-drift", str(len(gone) / total + 0.001))["applied"]


def test_another_apply_or_release_makes_a_plan_stale_and_new_facts_do_not(desk: Desk) -> None:
    first, second = plan(desk)["plan_id"], plan(desk, as_of=AS_OF + HOUR)["plan_id"]
    told(desk, "events", [event(USERS[1], "i1", "", "view", AS_OF)])
    desk.call("apply", first)
    before = desk.state()
    stale = desk.try_("apply", second, "--max-drift", "1")
    assert (stale.code, "another apply or release changed the ledger" in stale.err) == (75, True)
    assert desk.state() == before
    third = plan(desk, as_of=AS_OF + HOUR)["plan_id"]
    desk.call("release", first, "--as-of", stamp(AS_OF))
    assert desk.try_("apply", third).code == 75
    assert desk.try_("apply", first).code == 3, "a released plan is not applied again"


def test_a_release_gives_room_back_and_its_keys_may_be_reserved_again(desk: Desk) -> None:
    first = plan(desk)
    rows = proposed(desk, first["plan_id"])
    desk.call("apply", first["plan_id"])
    assert sum(plan(desk, as_of=AS_OF)["sends"].values()) == 0, "max_sends is used up"
    released = desk.call("release", first["plan_id"][:8], "--as-of", stamp(AS_OF))
    assert (released["released"], released["kept"]) == (len(keys(rows)), 0)
    assert desk.lists(first["plan_id"]) == {}, "its lists are taken away"
    assert desk.call("release", first["plan_id"], "--as-of", stamp(AS_OF))["released"] == 0
    again = plan(desk)
    assert again["plan_id"] != first["plan_id"]
    desk.call("apply", again["plan_id"])
    assert plain(desk.listed(again["plan_id"])) == plain(rows)
    standing = [row["send_key"] for row in desk.ledger() if not row["released"] and row["position"] == 1]
    assert sorted(standing) == sorted(keys(rows))
    assert desk.call("audit")["violations"] == 0


def test_a_release_keeps_what_is_past_or_confirmed_and_its_room_stays_taken(desk: Desk) -> None:
    first = plan(desk)["plan_id"]
    rows = sorted(proposed(desk, first), key=lambda r: (r["send_at"], r["send_key"]))
    desk.call("apply", first)
    late = moment(rows[len(rows) // 3]["send_at"]) + timedelta(minutes=1)
    past = keys([r for r in rows if moment(r["send_at"]) < late])
    confirmed = [r for r in rows if r["send_key"] not in past][-1]
    told(
        desk,
        "events",
        [event(confirmed["user_id"], confirmed["item_id"], confirmed["channel"], "sent", late, send_key=confirmed["send_key"])],
    )
    kept = past | {confirmed["send_key"]}
    answer = desk.call("release", first, "--as-of", stamp(late))
    assert (answer["released"], answer["kept"]) == (len(keys(rows) - kept), len(kept))
    assert {r["send_key"] for r in desk.ledger() if not r["released"]} == kept
    second = plan(desk, as_of=late)["plan_id"]
    used = {(r["user_id"], r["channel"]) for r in rows if r["send_key"] in kept and (moment(r["send_at"]) >= late or r is confirmed)}
    assert not used & {(r["user_id"], r["channel"]) for r in proposed(desk, second)}
    desk.call("apply", second)
    assert desk.call("audit")["violations"] == 0


def test_receipts_confirm_by_key_and_without_one(desk: Desk) -> None:
    plan_id = plan(desk)["plan_id"]
    desk.call("apply", plan_id)
    rows = sorted(desk.listed(plan_id), key=lambda r: (r["user_id"], r["channel"], r["position"]))
    keyed, keyless, doubled = (next(r for r in rows if (r["user_id"], r["channel"]) == who) for who in PAIRS)
    told(
        desk,
        "events",
        [
            receipt(keyed, 7, send_key=keyed["send_key"]),
            receipt(keyless, -20),
            receipt(doubled, 3),
            receipt(doubled, 90),  # the send is confirmed already: another message
            receipt({**keyless, "user_id": USERS[11], "channel": "push", "item_id": "none of ours"}, 0),
        ],
    )
    ledger = {row["send_key"]: row for row in desk.ledger()}
    for row, minutes in ((keyed, 7), (keyless, -20), (doubled, 3)):
        found = ledger[row["send_key"]]
        assert (found["confirmed"], found["actual_at"]) == (True, moment(row["send_at"]) + timedelta(minutes=minutes))
    assert sum(row["confirmed"] for row in ledger.values()) == 3
    with desk.store.connect() as duck:
        external = duck.sql("SELECT channel, item_id FROM events JOIN item_ids USING (item) WHERE event = 'sent' AND confirms IS NULL")
        assert sorted(external.fetchall()) == [("email", doubled["item_id"]), ("push", "none of ours")]


PAIRS = ((USERS[1], "push"), (USERS[2], "in_app"), (USERS[3], "email"))


def receipt(row: dict[str, str], minutes: int, **more: str) -> Row:
    at = moment(row["send_at"]) + timedelta(minutes=minutes)
    return event(row["user_id"], row["item_id"], row["channel"], "sent", at, **more)


def test_shadow_sends_count_against_nothing(desk: Desk) -> None:
    everybody = desk.configure({"holdout": 1.0}, "held.yml")
    open_plan = plan(desk)
    wanted = plain(proposed(desk, open_plan["plan_id"]))
    held = plan(desk, "--policy", everybody)
    assert (sum(held["sends"].values()), held["shadows"]) == (0, sum(open_plan["sends"].values()))
    applied = desk.call("apply", held["plan_id"])
    assert sum(applied["sends"].values()) == 0
    assert desk.ledger() == []
    assert len(desk.shadowed(held["plan_id"])) == len(USERS)
    assert {name: data.count(b"\n") for name, data in desk.lists(held["plan_id"]).items() if name.endswith(".csv")} == {
        f"{channel}.csv": 1 for channel in CHANNELS
    }
    again = plan(desk)
    assert plain(proposed(desk, again["plan_id"])) == wanted
    assert again["value"] == pytest.approx(open_plan["value"])
    assert desk.call("audit")["violations"] == 0


def stricter(chance: Chance, rule: dict[str, Any]) -> dict[str, Any]:
    """The rule with less room."""
    if rule["rule"] == "frequency_cap":
        return {**rule, "max": max(0, rule["max"] - 1)}
    longer = {"min_gap": ("gap", "11h"), "no_repeat": ("within", "40d")}.get(rule["rule"])
    return {**rule, longer[0]: longer[1]} if longer else rule


@pytest.mark.parametrize("seed", [3, 8, 11])
def test_a_stricter_policy_never_raises_the_value_of_a_plan(seed: int, tmp_path: Path) -> None:
    world = random_world(seed, quotas=[], holdout=0, exploration=0, max_offers=64, value={"unsubscribed": 0})
    desk = Desk(tmp_path)
    world.write(desk)
    world.ingest(desk)
    desk.call("train", "--as-of", stamp(world.as_of))
    whole = desk.call("plan", "--as-of", stamp(world.as_of))["value"]
    assert whole > 0
    rules = [stricter(Chance(seed), rule) for rule in world.policy["rules"]]
    tighter = {name: {**c, "max_sends": max(0, c["max_sends"] - 1)} for name, c in world.policy["channels"].items()}
    extra = [*world.policy["rules"], {"rule": "min_gap", "gap": "3h"}]
    for changed in ({"rules": rules}, {"channels": tighter}, {"rules": extra}):
        path = desk.configure(changed, "policy.yml")
        assert desk.call("plan", "--as-of", stamp(world.as_of), "--policy", path)["value"] <= whole * (1 + 1e-9), changed
