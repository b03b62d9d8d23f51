"""The same store, config and as-of give the same bytes, whatever the jobs, the order of the rows or the company that a user keeps."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import GENEROUS, World, random_world, stamp

SEED = 17


def trained(folder: Path, world: World, order: random.Random | None = None) -> Desk:
    desk = Desk(folder)
    world.write(desk, order)
    world.ingest(desk)
    desk.call("train", "--as-of", stamp(world.as_of))
    return desk


@pytest.fixture(scope="module")
def world() -> World:
    channels = {**GENEROUS["channels"], "push": {**GENEROUS["channels"]["push"], "weekly": {"budget": 60}}}
    limits = {"quotas": [{"item": "any", "max_sends": 9}], "exploration": 0.3, "holdout": 0.1}
    return random_world(SEED, n_users=60, **{**GENEROUS, "channels": channels, **limits})


@pytest.fixture(scope="module")
def desk(world: World, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return trained(tmp_path_factory.mktemp("first"), world)


def csv_files(desk: Desk, plan_id: str) -> dict[str, bytes]:
    return {name: data for name, data in desk.lists(plan_id).items() if name.endswith(".csv")}


def copy(desk: Desk, folder: Path, jobs: int = 1) -> Desk:
    shutil.copytree(desk.folder, folder, dirs_exist_ok=True)
    return Desk(folder, jobs)


def applied(desk: Desk, world: World) -> str:
    plan = desk.call("plan", "--as-of", stamp(world.as_of))
    desk.call("apply", plan["plan_id"])
    return str(plan["plan_id"])


def test_two_jobs_write_the_bytes_of_one(desk: Desk, world: World, tmp_path: Path) -> None:
    one, two = copy(desk, tmp_path / "one"), copy(desk, tmp_path / "two", jobs=2)
    plan_id = applied(one, world)
    assert applied(two, world) == plan_id
    assert one.lists(plan_id) == two.lists(plan_id)
    assert len(one.listed(plan_id)) > 40


def test_the_order_of_rows_changes_nothing(desk: Desk, world: World, tmp_path: Path) -> None:
    first = copy(desk, tmp_path / "first")
    files = csv_files(first, applied(first, world))
    for turn in (1, 2):
        shuffled = trained(tmp_path / f"shuffled-{turn}", world, random.Random(turn))
        assert csv_files(shuffled, applied(shuffled, world)) == files


def test_planning_again_is_the_same_plan_and_applying_again_changes_nothing(desk: Desk, world: World, tmp_path: Path) -> None:
    twice = copy(desk, tmp_path / "twice")
    first = twice.call("plan", "--as-of", stamp(world.as_of))
    before = twice.state()
    assert twice.call("plan", "--as-of", stamp(world.as_of)) == first
    assert twice.state() == before, "the same plan leaves no trace"
    told = twice.call("apply", first["plan_id"])
    after = twice.state()
    again = twice.call("apply", first["plan_id"][:6])
    assert (told["applied"], again["applied"]) == (True, False)
    assert told | {"applied": False} == again
    assert twice.state() == after
    assert twice.call("apply", "latest")["plan_id"] == first["plan_id"]
    assert twice.state() == after


def test_a_user_is_sent_the_same_in_any_company(desk: Desk, world: World, tmp_path: Path) -> None:
    """Without quotas, a canary of some users has exactly their part of the whole plan."""
    alone = copy(desk, tmp_path / "alone")
    policy = alone.configure({"quotas": []}, "policy.yml")
    options = ("plan", "--as-of", stamp(world.as_of), "--policy", policy, "-o", alone.folder / "preview")
    whole = alone.listed(alone.call(*options)["plan_id"], "preview")
    users = sorted({row["user_id"] for row in whole})
    for share in (users[::3], users[1:2]):
        path = alone.write("some.csv", [{"user_id": user} for user in share])
        part = alone.listed(alone.call(*options, "--users", path)["plan_id"], "preview")
        assert without_rank(part) == [row for row in without_rank(whole) if row["user_id"] in share]


def without_rank(rows: list[dict[str, str]]) -> list[dict[str, str]]:
    plain = [{name: value for name, value in row.items() if name != "rank"} for row in rows]
    return sorted(plain, key=lambda row: (row["channel"], row["send_key"], int(row["position"])))
