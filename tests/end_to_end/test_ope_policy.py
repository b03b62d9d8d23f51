"""`ope --policy` on a shop that explored for two nights: itself, another policy, and what cannot be judged."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from notif_rec.workflows import allocate
from tests.end_to_end.desk import Desk
from tests.end_to_end.shop import START, live_a_day, open_shop

LATER = "2026-12-05"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = open_shop(tmp_path_factory.mktemp("ope"), users=120)
    configure(desk, exploration=0.3, quotas=[], retrain_after="30d")
    for number in range(2):
        at = START + timedelta(days=number)
        plan = desk.call("run", "--as-of", f"{at:%Y-%m-%d}")["plan_id"]
        live_a_day(desk, number + 1, plan, at)
    desk.call("ingest", "events", *sorted(str(p) for p in (desk.folder / "events").glob("day-00[12].csv")))
    return desk


def configure(desk: Desk, **changes: Any) -> None:
    config = json.loads((desk.folder / "notif_rec.yml").read_text())
    desk.configure({**config, **changes})


def judged(desk: Desk, policy: dict[str, Any], *more: str) -> Any:
    path = desk.folder / "policy.yml"
    path.write_text(yaml.safe_dump(policy))
    return desk.try_("ope", "--policy", path, "--as-of", LATER, *more)


def test_a_policy_that_changes_nothing_is_worth_what_the_plans_brought(shop: Desk) -> None:
    answer = judged(shop, {"seed": 7})
    assert answer.code == 0, answer.err
    found = answer.told
    assert found["relative"] == pytest.approx(1.0)
    assert found["difference"]["value"] == pytest.approx(0.0, abs=1e-12)
    assert (len(found["plans"]), found["unsupported"], found["plans_cut"]) == (2, 0.0, 0)
    assert found["support"]["mean_weight"] == pytest.approx(1.0, abs=0.05)
    assert found["logged"]["value"] == pytest.approx(reward(shop, found["plans"]) / found["decisions"])


def reward(desk: Desk, plans: list[str]) -> float:
    """What the sends of these plans brought, by hand: opens and clicks name their send, who leaves blames the channel's last one."""
    sends = {row["send_key"]: row for row in desk.ledger() if row["plan_id"] in plans and row["kind"] == "send"}
    with desk.store.connect() as duck:
        heard = duck.sql("SELECT DISTINCT send_key, event FROM events WHERE event IN ('opened', 'clicked')").fetchall()
        left = duck.sql("SELECT \"user\", channel, timestamp FROM events WHERE event = 'unsubscribed'").fetchall()
    opened = {key for key, _ in heard if key in sends}
    clicked = {key for key, event in heard if key in sends and event == "clicked"}
    blamed = set()
    for user, channel, at in left:
        before = [r for r in sends.values() if (r["user"], r["channel"]) == (user, channel) and r["actual_at"] <= at]
        blamed |= {max(before, key=lambda r: r["actual_at"])["send_key"]} if before else set()
    return 0.1 * len(opened) + 1.0 * len(clicked) - 1.0 * len(blamed)


def test_another_policy_has_a_value_of_its_own_and_explores_by_its_own_share(shop: Desk) -> None:
    quiet = judged(shop, {"value": {"clicked": 1.0, "opened": 0.0, "unsubscribed": -3.0}})
    assert quiet.code == 0, quiet.err
    assert quiet.told["relative"] != pytest.approx(1.0, abs=1e-6)
    assert quiet.told["support"]["effective_sample_size"] < quiet.told["support"]["rows"]
    never = judged(shop, {"exploration": 0.0})
    assert never.told["support"]["effective_sample_size"] < never.told["support"]["rows"]


def test_a_policy_that_chance_could_never_have_followed_has_no_value(shop: Desk) -> None:
    channels = {name: {"items_per_send": 5, "max_sends": 2, "consent": "yes"} for name in ("push", "email", "in_app")}
    answer = judged(shop, {"channels": channels})
    assert answer.code == 3
    assert "of what the policy would do, chance could never have done (at most 15% may be)" in answer.told["error"]
    assert "log plans with a larger max_offers" in answer.told["fix"]


def test_a_policy_of_other_channels_is_refused(shop: Desk) -> None:
    answer = judged(shop, {"channels": {"push": {"consent": "yes"}}, "rules": []})
    assert (answer.code, "other channels than those of plan" in answer.told["error"]) == (2, True)


def test_where_a_quota_cut_the_plan_only_what_chance_decided_counts(shop: Desk) -> None:
    configure(shop, quotas=[{"channel": "email", "max_sends": 20}, {"item": "any", "max_sends": 5}], holdout=0.0)
    plan = shop.call("plan", "--as-of", "2026-11-24")
    assert plan["dropped"]["quota"] > 0
    shop.call("apply", plan["plan_id"])
    answer = judged(shop, {}, "--plan", plan["plan_id"])
    assert answer.code == 3 and "effective size of" in answer.told["error"]  # too few users explore in so small a shop
    rows = int(answer.told["error"].split(": ")[2].split(" rows")[0].replace(",", ""))
    assert 60 <= rows <= 120  # nine of ten users explore, each on one channel


def test_a_plan_whose_prices_do_not_settle_says_so_and_keeps_its_quotas(shop: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(shop, quotas=[{"channel": "email", "max_sends": 20}, {"item": "any", "max_sends": 5}], holdout=0.0, exploration=0.0)
    plain = shop.try_("plan", "--as-of", "2026-11-25")
    assert (plain.code, [w for w in plain.told["warnings"] if "prices" in w]) == (0, [])
    monkeypatch.setattr(allocate, "PASSES", 1)
    monkeypatch.setattr(allocate, "ROUNDS", 0)
    hasty = shop.try_("plan", "--as-of", "2026-11-25T01:00:00Z")
    assert hasty.code == 0 and "warning: the quotas' prices did not settle in the passes that a plan has" in hasty.err
    assert f"every quota is kept, and the plan is at most {hasty.told['gap']:.2%} below the best" in hasty.told["warnings"][-1]
    assert hasty.told["gap"] > plain.told["gap"]
    assert all(quota["taken"] <= quota["room"] for quota in hasty.told["quotas"])


def test_what_no_plan_can_tell_is_told(shop: Desk) -> None:
    early = shop.try_("ope", "--policy", shop.folder / "policy.yml", "--as-of", "2026-11-24")
    assert (early.code, "2 plans whose outcomes are not all in yet" in early.told["error"]) == (3, True)
    assert "no plan was applied" in shop.try_("ope", "--policy", shop.folder / "policy.yml", "--as-of", "2026-11-20").told["error"]
    (shop.folder / "policy.yml").write_text("rulez: []\n")
    wrong = shop.try_("ope", "--policy", shop.folder / "policy.yml", "--as-of", LATER)
    assert (wrong.code, "unknown key 'rulez'; did you mean 'rules'?" in wrong.told["error"]) == (78, True)
    assert shop.try_("ope", "--policy", shop.folder / "policy.yml", "--target", "uniform").code == 2
    assert shop.try_("ope", "--policy", Path("none.yml"), "--as-of", LATER).code == 78
