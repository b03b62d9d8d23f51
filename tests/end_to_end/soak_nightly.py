"""The nightly job on a small shop: night after night, guards, the same bytes whatever the jobs, and death at any moment.

Not collected with the suite; `pytest tests/end_to_end/soak_nightly.py` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.shop import START, live_a_day, open_shop

DAY = timedelta(days=1)
NIGHTS = int(os.environ.get("NOTIF_REC_NIGHTS", "10"))
KILLS = int(os.environ.get("NOTIF_REC_KILLS", "5"))


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A shop with a trained model and an unapplied plan; tests copy it."""
    desk = open_shop(tmp_path_factory.mktemp("planned"))
    desk.call("ingest", "users", desk.folder / "users.csv")
    desk.call("ingest", "items", desk.folder / "items.csv")
    desk.call("ingest", "events", desk.folder / "events/day-000.csv")
    desk.call("train", "--as-of", START.isoformat() + "Z")
    desk.call("plan", "--as-of", START.isoformat() + "Z")
    return desk


def _copy(desk: Desk, folder: Path, jobs: int = 1) -> Desk:
    shutil.copytree(desk.folder, folder)
    return Desk(folder, jobs)


@pytest.mark.parametrize("budget", [None, 40])
def test_night_after_night_keeps_every_cap(tmp_path: Path, budget: int | None) -> None:
    desk, sent = open_shop(tmp_path / "shop", 60), 0
    if budget is not None:
        config = desk.folder / "notif_rec.yml"
        policy = json.loads(config.read_text())
        policy["channels"]["push"]["weekly"] = {"budget": budget}
        desk.configure(policy)
    for night in range(NIGHTS):
        as_of = START + night * DAY
        told = desk.call("run", "--as-of", as_of.isoformat() + "Z")
        assert told["apply"]["applied"]
        sent += sum(told["apply"]["sends"].values())
        live_a_day(desk, night + 1, told["plan_id"], as_of)
    told = desk.call("audit")
    assert (told["plans"], told["sends"], told["violations"]) == (NIGHTS, sent, 0), told["violation_rows"][:5]
    assert sent > 3 * NIGHTS
    confirmed = Counter(row["confirmed"] for row in desk.ledger())
    assert confirmed[True] > confirmed[False]  # nine of ten sends of all but the last night were receipted
    assert desk.call("run", "--as-of", (START + (NIGHTS - 1) * DAY).isoformat() + "Z")["apply"]["sends"] is not None


def test_a_guard_stops_the_night_and_a_good_source_ends_it(tmp_path: Path) -> None:
    desk = open_shop(tmp_path / "shop", 60)
    told = desk.call("run", "--as-of", START.isoformat() + "Z")
    before, users = desk.lists(told["plan_id"]), (desk.folder / "users.csv").read_text()
    tomorrow = (START + DAY).isoformat() + "Z"
    live_a_day(desk, 1, told["plan_id"], START)

    (desk.folder / "users.csv").write_text("".join(users.splitlines(keepends=True)[:20]))
    shrunken = desk.try_("run", "--as-of", tomorrow)
    assert (shrunken.code, "a loss of" in shrunken.err) == (3, True)
    (desk.folder / "users.csv").unlink()
    missing = desk.try_("run", "--as-of", tomorrow)
    assert (missing.code, "no file matches users.csv" in missing.err) == (3, True)
    (desk.folder / "users.csv").write_text(users)
    old = desk.try_("run", "--as-of", (START + 4 * DAY).isoformat() + "Z")
    assert (old.code, "the newest event is from" in old.err) == (3, True)
    assert sorted(p.name for p in (desk.folder / "send_lists").iterdir()) == [told["plan_id"]]
    assert desk.lists(told["plan_id"]) == before

    assert desk.call("run", "--as-of", tomorrow)["apply"]["applied"]
    assert desk.call("audit")["violations"] == 0


def test_the_same_bytes_whatever_the_jobs(planned: Desk, tmp_path: Path) -> None:
    lists = []
    for jobs in (1, 2):
        desk = _copy(planned, tmp_path / f"jobs-{jobs}", jobs)
        shutil.rmtree(desk.folder / ".notif_rec/plans")
        told = desk.call("plan", "--as-of", START.isoformat() + "Z")
        desk.call("apply", told["plan_id"])
        lists.append(desk.lists(told["plan_id"]))
    assert lists[0] == lists[1] and len(lists[0]) == 4


def test_the_order_of_input_rows_changes_nothing(planned: Desk, tmp_path: Path) -> None:
    desk = open_shop(tmp_path / "shuffled")
    chance = np.random.default_rng(7)
    for name in ("users.csv", "items.csv", "events/day-000.csv"):
        head, *rows = (desk.folder / name).read_text().splitlines()
        (desk.folder / name).write_text("\n".join([head, *(rows[i] for i in chance.permutation(len(rows)))]) + "\n")
    for table, name in (("events", "events/day-000.csv"), ("items", "items.csv"), ("users", "users.csv")):
        desk.call("ingest", table, desk.folder / name)
    desk.call("train", "--as-of", START.isoformat() + "Z")
    told = desk.call("plan", "--as-of", START.isoformat() + "Z", "-o", desk.folder / "preview")
    first = planned.call("plan", "--as-of", START.isoformat() + "Z", "-o", tmp_path / "first")
    mine, theirs = (Path(t["preview"]) for t in (told, first))
    for channel in ("push", "email", "in_app"):
        assert (mine / f"{channel}.csv").read_bytes() == (theirs / f"{channel}.csv").read_bytes()


def test_apply_again_is_no_apply(planned: Desk, tmp_path: Path) -> None:
    desk = _copy(planned, tmp_path / "twice")
    first = desk.call("apply", "latest")
    before = desk.state()
    again = desk.call("apply", "latest")
    assert (first["applied"], again["applied"], again["sends"]) == (True, False, first["sends"])
    assert desk.state() == before


def _apply(desk: Desk) -> list[str]:
    return [sys.executable, "-m", "notif_rec.cli.main", "apply", "latest", "-q", "-c", str(desk.folder / "notif_rec.yml")]


def test_apply_killed_at_any_moment_loses_and_doubles_nothing(planned: Desk, tmp_path: Path) -> None:
    calm = _copy(planned, tmp_path / "calm")
    started = time.monotonic()
    subprocess.run(_apply(calm), check=True)
    took = time.monotonic() - started
    plan_id = calm.call("status")["last_plan"]
    wanted, ledger = calm.lists(plan_id), len(calm.ledger())
    chance, halves = np.random.default_rng(11), 0
    for kill in range(KILLS):
        desk = _copy(planned, tmp_path / f"kill-{kill}")
        process = subprocess.Popen(_apply(desk))
        time.sleep(took * float(chance.uniform(0.2, 1.0)))
        process.send_signal(signal.SIGKILL)
        process.wait()
        halves += bool(desk.ledger()) and not desk.lists(plan_id)
        assert set(desk.lists(plan_id)) in (set(), set(wanted)), "a list was published without the others"
        assert len(desk.ledger()) in (0, ledger)
        desk.call("apply", "latest")
        assert desk.lists(plan_id) == wanted
        assert len(desk.ledger()) == ledger
        assert desk.call("audit")["violations"] == 0
        shutil.rmtree(desk.folder)
