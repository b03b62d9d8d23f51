"""`lift` on a store whose effect is known, through the front door; groups as they were, whatever the config says now."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.cli.main import main
from notif_rec.planning.chance import held_out
from notif_rec.store.ids import bucket_of
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from tests.store.rows import table
from tests.workflows.lived import AS_OF, CONFIG, Event, build, config

N = 4000
USERS = [f"u{i:04d}" for i in range(N)]
FIRST = AS_OF - timedelta(days=20)


def group(share: float, salt: str = "notif-rec") -> np.ndarray:
    return held_out(pa.array(USERS), salt, share)


def acts(held: np.ndarray, seed: int = 1) -> list[Event]:
    """One visit of 40 % of the treated and of 25 % of the held out, and before the plan one of everybody."""
    random = np.random.default_rng(seed)
    visits = random.random(N) < np.where(held, 0.25, 0.40)
    found = [Event(user, "i1", 30.0) for user in USERS]
    found += [Event(USERS[u], "i1", float(random.uniform(1, 19))) for u in np.flatnonzero(visits)]
    return found + [Event(USERS[u], "i1", 5.0, "push", "unsubscribed") for u in np.flatnonzero(~held)[:37]]


def plan(store: Store, at: datetime, share: float, salt: str = "notif-rec", applied: bool = True) -> str:
    settings = {**config().to_json(), "holdout": share, "holdout_salt": salt}
    name = f"plan-{at:%m%d}"
    version = store.version()
    row = PlanRow(name, at, "hash", "model", version.seq, version.ledger, "applied" if applied else "planned", {"config": settings})
    store.commit("plan", {}, rows=[row])
    return name


def workspace(folder: Path, events: list[Event]) -> Store:
    (folder / "notif_rec.yml").write_text(CONFIG)
    return build(folder / ".notif_rec", events)


def lift(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["lift", "--as-of", "2026-03-01", "-c", str(folder / "notif_rec.yml"), "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def of(found: dict[str, Any], outcome: str, kind: str = "users", who: str = "everybody") -> dict[str, Any]:
    return next(m for m in found[who] if (m["outcome"], m["kind"]) == (outcome, kind))


@pytest.fixture
def lived(tmp_path: Path) -> tuple[Path, Store]:
    return tmp_path, workspace(tmp_path, acts(group(0.2)))


def test_the_planted_effect_is_found_and_visits_before_the_plan_do_not_count(
    lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = lived
    plan(store, FIRST, 0.2)
    code, found = lift(folder, capsys)
    assert code == 0
    held = int(group(0.2).sum())
    assert (found["held_out"], found["treated"], found["changed"], found["plans"]) == (held, N - held, 0, 1)
    visits = of(found, "view")
    assert visits["low"] < 0.15 < visits["high"] and visits["low"] > 0.05
    assert visits["treated"] == pytest.approx(0.40, abs=0.03) and visits["held_out"] == pytest.approx(0.25, abs=0.05)
    assert visits["relative"] == pytest.approx(visits["value"] / visits["held_out"])
    assert of(found, "left")["treated"] == pytest.approx(37 / (N - held))
    p = visits["held_out"]
    assert visits["users_needed_for_1_percent"] == pytest.approx(16 * p * (1 - p) / (0.01 * p) ** 2, rel=0.02)
    assert found["reached"] and of(found, "any of them")["value"] == visits["value"]


def test_groups_are_those_of_the_plans_whatever_the_config_says_now(lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = lived
    plan(store, FIRST, 0.2)
    before = lift(folder, capsys)[1]
    (folder / "notif_rec.yml").write_text(CONFIG + "holdout: 0.5\nholdout_salt: another\n")
    assert lift(folder, capsys)[1] == before


def test_who_changed_groups_is_left_out(lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = lived
    plan(store, FIRST, 0.2)
    plan(store, FIRST + timedelta(days=5), 0.3)
    grown = lift(folder, capsys)[1]
    moved = int(group(0.3).sum() - group(0.2).sum())
    assert (grown["changed"], grown["held_out"]) == (moved, int(group(0.2).sum()))
    plan(store, FIRST + timedelta(days=6), 0.2, "another salt")
    both = group(0.2) & group(0.2, "another salt")
    salted = lift(folder, capsys)[1]
    assert salted["held_out"] == int(both.sum())
    assert salted["treated"] == N - int((group(0.3) | group(0.2, "another salt")).sum())
    assert of(salted, "view")["value"] == pytest.approx(0.15, abs=4 * of(salted, "view")["error"])


def test_only_applied_plans_of_the_window_count_from_the_first_with_a_holdout(
    lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = lived
    plan(store, AS_OF - timedelta(days=40), 0.5)
    plan(store, AS_OF - timedelta(days=25), 0.0)
    plan(store, AS_OF - timedelta(days=24), 0.5, applied=False)
    plan(store, FIRST, 0.2)
    found = lift(folder, capsys)[1]
    assert (found["plans"], found["since"], found["held_out"]) == (1, FIRST.isoformat() + "Z", int(group(0.2).sum()))


def test_those_reached_are_compared_unless_something_else_than_chance_sorts_them(
    lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, store = lived
    name, held = plan(store, FIRST, 0.2), group(0.2)
    sends = reserve(store, name, [u for u in range(N) if u % 2 == 0], held)
    found = lift(folder, capsys)[1]
    assert of(found, "view", who="reached")["value"] == pytest.approx(0.15, abs=4 * of(found, "view", who="reached")["error"])
    assert sends == N // 2
    reserve(store, name, [u for u in range(N) if u % 2 == 1 and held[u]], held)  # as if quotas had cut the treated alone
    found = lift(folder, capsys)[1]
    assert found["reached"] == [] and "quotas or rules sort the groups" in found["warnings"][0]


def reserve(store: Store, plan_id: str, users: list[int], held: np.ndarray) -> int:
    codes = store.user_codes(pa.array(USERS), create=False)[0].to_pylist()
    rows = [
        {
            "bucket": bucket_of(USERS[u]), "user": codes[u], "send_key": f"k{u}", "channel": "push", "send_at": FIRST + timedelta(hours=1),
            "position": 1, "item": 0, "item_class": "marketing", "kind": "shadow" if held[u] else "send", "explored": False,
            "plan_id": plan_id,
        }
        for u in users
    ]  # fmt: skip
    store.commit("apply", {"sends": table("sends", sorted(rows, key=lambda r: r["bucket"]))}, ledger=True)
    return len(rows)


def test_what_cannot_be_told_is_told(lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = lived
    assert "no plan was applied since then" in lift(folder, capsys)[1]["error"]
    plan(store, FIRST, 0.0)
    code, told = lift(folder, capsys)
    assert (code, told["fix"]) == (3, "set `holdout: 0.05` in the config; a longer --since looks further back")
    plan(store, FIRST + timedelta(days=1), 0.2)
    assert lift(folder, capsys, "--event", "viev")[1]["error"] == "no event 'viev'; did you mean 'view'?"
    assert {m["outcome"] for m in lift(folder, capsys, "--event", "view")[1]["everybody"]} == {"view"}
    (folder / "notif_rec.yml").write_text(CONFIG.replace("view: 1, save: 4, skip: 0, ", ""))
    assert "what users do without a message" in lift(folder, capsys)[1]["error"]


def test_an_effect_that_is_not_there_is_not_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = workspace(tmp_path, acts(np.zeros(N, dtype=bool), seed=3))
    plan(store, FIRST, 0.2)
    visits = of(lift(tmp_path, capsys)[1], "view")
    assert visits["low"] < 0 < visits["high"]
    assert visits["detectable"] > abs(visits["value"]) and visits["power"] < 0.8


def test_people_get_tables(lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = lived
    plan(store, FIRST, 0.2)
    assert main(["lift", "--as-of", "2026-03-01", "-c", str(folder / "notif_rec.yml")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("1 plans from 2026-02-09T00:00:00Z to 2026-03-01T00:00:00Z") and "\nview\tusers\t" in out


def test_a_plan_row_keeps_its_groups_through_release(lived: tuple[Path, Store], capsys: pytest.CaptureFixture[str]) -> None:
    folder, store = lived
    plan(store, FIRST, 0.2)
    row = store.plans()[0]
    store.commit("release", {}, rows=[replace(row, state="released")], ledger=True)
    assert lift(folder, capsys)[1]["held_out"] == int(group(0.2).sum())
