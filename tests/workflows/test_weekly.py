"""Weekly budgets through the front door: nights in a row, what is refused, a plan for some alone, and what explain says."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from notif_rec.config import parse_config
from notif_rec.errors import ConfigError
from notif_rec.workflows.weekly_budgets import budgets_of
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import GENEROUS, World, random_world, stamp

DAY = timedelta(days=1)
BUDGET = 28


def with_week(**weekly: int) -> dict[str, Any]:
    """The generous policy's channels, push under a weekly budget."""
    push = {**GENEROUS["channels"]["push"], "weekly": weekly}
    return {**GENEROUS["channels"], "push": push}


@pytest.fixture(scope="module")
def world() -> World:
    found = random_world(17, n_users=60, **{**GENEROUS, "channels": with_week(budget=BUDGET)})
    for item in found.items:
        item["class"] = "marketing"
    return found


@pytest.fixture
def lived(world: World, tmp_path: Path) -> tuple[Desk, list[dict[str, Any]]]:
    """Nine nights of plan and apply."""
    desk = Desk(tmp_path)
    world.write(desk)
    world.ingest(desk)
    desk.call("train", "--as-of", stamp(world.as_of))
    told = []
    for night in range(9):
        plan = desk.call("plan", "--as-of", stamp(world.as_of + night * DAY))
        desk.call("apply", plan["plan_id"])
        told.append(plan)
    return desk, told


def test_nine_nights(lived: tuple[Desk, list[dict[str, Any]]], world: World) -> None:
    """One test, since nine nights are long."""
    desk, told = lived
    no_seven_nights_exceed_the_budget_and_the_audit_agrees(desk, told)
    the_last_plan_is_explained_as_it_was_made(desk, told)
    some_users_alone_pay_what_all_paid(desk, told, world)
    a_least_that_the_budget_cannot_give_is_refused(desk, world)


def no_seven_nights_exceed_the_budget_and_the_audit_agrees(desk: Desk, told: list[dict[str, Any]]) -> None:
    sent = [plan["sends"]["push"] for plan in told]
    assert [sum(sent[max(0, n - 6) : n + 1]) <= BUDGET for n in range(9)] == [True] * 9
    assert sum(sent[:7]) >= 0.6 * BUDGET, sent
    assert [plan["weekly"]["push"]["spent"] for plan in told] == [sum(sent[max(0, n - 6) : n]) for n in range(9)]
    assert len({plan["weekly"]["push"]["since_us"] for plan in told}) == 1
    assert desk.call("audit")["violations"] == 0


def the_last_plan_is_explained_as_it_was_made(desk: Desk, told: list[dict[str, Any]]) -> None:
    users = {row["user_id"] for row in desk.listed(told[-1]["plan_id"]) if row["channel"] == "push"}
    for user in sorted(users)[:1]:
        said = desk.call("explain", user, "--channel", "push")
        assert any(c["sent"] for c in said["candidates"])
        assert "1 due now" in said["user"]["weekly"]["push"]
    counters = [
        reason["counter"]
        for user in sorted(world_users(desk) - users)[:6]
        for candidate in desk.call("explain", user, "--channel", "push")["candidates"]
        for reason in candidate["reasons"]
        if reason["name"] == "weekly_budget"
    ]
    assert counters
    assert all(" this week" in counter for counter in counters)


def world_users(desk: Desk) -> set[str]:
    return {row["user_id"] for row in desk.ledger()}


def some_users_alone_pay_what_all_paid(desk: Desk, told: list[dict[str, Any]], world: World) -> None:
    users = desk.write("some.csv", [{"user_id": user} for user in sorted(world_users(desk))[:5]])
    as_of = stamp(world.as_of + 9 * DAY)
    alone, all_ = (desk.call("plan", "--as-of", as_of, *more)["weekly"]["push"] for more in (("--users", users), ()))
    last = told[-1]["weekly"]["push"]
    assert last["price"] is None or (alone["price"] or 9e9) >= last["price"]
    assert alone["granted"] <= all_["budget"] - all_["spent"]


def a_least_that_the_budget_cannot_give_is_refused(desk: Desk, world: World) -> None:
    policy = desk.configure({"channels": with_week(budget=5, at_least=1)}, "least.yml")
    answer = desk.try_("plan", "--as-of", stamp(world.as_of + 9 * DAY), "--policy", policy)
    assert answer.code == 3
    assert "channels.push.weekly: at_least 1 for" in answer.err
    assert "the budget is 5" in answer.err


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        ("", 14),
        ("  - {rule: frequency_cap, max: 3, per: 7d}\n", 3),
        ("  - {rule: frequency_cap, max: 1, per: 2d}\n", 4),
        ("  - {rule: frequency_cap, max: 1, per: calendar_day}\n", 7),
        ("  - {rule: frequency_cap, max: 2, per: calendar_month}\n", 2),
        ("  - {rule: frequency_cap, max: 1, per: 7d, exempt: [marketing]}\n", 14),
        ("  - {rule: frequency_cap, max: 1, per: 7d, category: promo}\n", 14),
        ("  - {rule: frequency_cap, max: 1, per: 7d, channels: [email]}\n", 14),
    ],
)
def test_no_user_is_granted_more_than_the_rules_allow(rules: str, most: int) -> None:
    channels = "channels:\n  push: {max_sends: 2, consent: yes, weekly: {budget: 9}}\n  email: {consent: yes}\n"
    found = budgets_of(parse_config(f"{channels}{f'rules:{chr(10)}{rules}' if rules else ''}", "c.yml"))
    assert found[1] is None
    assert found[0] is not None
    assert found[0].most == most


def test_a_least_above_what_the_rules_allow_is_a_wrong_config() -> None:
    text = "channels: {push: {max_sends: 1, consent: yes, weekly: {budget: 9, at_least: 8}}}\n"
    with pytest.raises(ConfigError, match="at_least: 8 sends a week are owed to each user, but max_sends and the rules allow 7"):
        budgets_of(parse_config(text, "c.yml"))
