"""The stream: a night's decisions, event by event; acted upon once, whatever dies, and never stopped by one bad file."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from notif_rec.workflows import stream as room
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import BUCKETS, FAST, Row, bucket, event, stamp

AS_OF = datetime(2026, 10, 5, 6)
HOUR = timedelta(hours=1)
USERS = [name for name in (f"u{n:03}" for n in range(400)) if bucket(name) in BUCKETS][:16]
POLICY: dict[str, Any] = {
    "version": 1,
    "events": {"view": 1},
    "channels": {
        "push": {"items_per_send": 1, "max_sends": 1, "consent": "yes"},
        "email": {"items_per_send": 2, "max_sends": 1, "consent": "yes"},
    },
    "rules": [{"rule": "min_gap", "gap": "4h"}, {"rule": "no_repeat", "within": "30d"}],
    "model": FAST,
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    desk = Desk(tmp_path_factory.mktemp("trained"))
    desk.configure(POLICY)
    desk.write("users.csv", [{"user_id": u, "timezone": "Europe/Berlin"} for u in USERS])
    desk.write("items.csv", [{"item_id": f"i{n}"} for n in range(12)])
    desk.write("events.csv", [event(u, f"i{n * k % 12}", "", "view", AS_OF - n * HOUR) for n, u in enumerate(USERS, 1) for k in (1, 2)])
    for table in ("users", "items", "events"):
        desk.call("ingest", table, desk.folder / f"{table}.csv")
    desk.call("train", "--as-of", stamp(AS_OF))
    return desk


@pytest.fixture
def desk(trained: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(trained.folder, tmp_path / "desk")
    (tmp_path / "desk" / "in").mkdir()
    return Desk(tmp_path / "desk")


def news(users: list[str]) -> list[Row]:
    return [event(user, "i5", "", "view", AS_OF - HOUR / 2) for user in users]


def look(desk: Desk, at: datetime = AS_OF) -> Any:
    return desk.call("stream", "--from", desk.folder / "in", "--once", "--as-of", stamp(at))


def sent(desk: Desk) -> set[tuple[str, str, str, datetime]]:
    return {(row["user_id"], row["channel"], row["item_id"], row["send_at"]) for row in desk.ledger()}


def test_in_small_batches_every_user_is_sent_what_a_night_would_send(desk: Desk, tmp_path: Path) -> None:
    night = Desk(tmp_path / "night")
    shutil.copytree(desk.folder, night.folder)
    night.call("ingest", "events", night.write("news.csv", news(USERS[:12])))
    users = night.write("some.csv", [{"user_id": user} for user in USERS[:12]])
    night.call("apply", night.call("plan", "--as-of", stamp(AS_OF), "--users", users)["plan_id"])
    for n in range(3):
        desk.write(f"in/{n}.csv", news(USERS[4 * n : 4 * n + 4]))
        told = look(desk)
        assert (told["files"], told["events"], told["plans"], told["refused"]) == (n + 1, 4, 1, 0)
        assert {user for user, *_ in sent(desk)} <= set(USERS[: 4 * n + 4])
    assert sent(desk) == sent(night) != set()
    assert desk.call("audit")["violations"] == 0


def test_nothing_new_changes_nothing(desk: Desk) -> None:
    desk.write("in/0.csv", news(USERS[:4]))
    look(desk)
    before = desk.state()
    told = look(desk, AS_OF + HOUR)
    assert (told["events"], told["plans"], told["sends"]) == (0, 0, 0)
    assert desk.state() == before


def test_one_bad_file_stops_nobody(desk: Desk) -> None:
    (desk.folder / "in/0.csv").write_text("user_id;event")
    (desk.folder / "in/.1.csv").write_text("a draft")
    (desk.folder / "in/notes.txt").write_text("no events")
    desk.write("in/2.csv", news(USERS[:2]))
    answer = desk.try_("stream", "--from", desk.folder / "in", "--once", "--as-of", stamp(AS_OF))
    assert (answer.code, answer.told["files"], answer.told["refused"], answer.told["plans"]) == (0, 1, 1, 1)
    assert "warning: refused 0.csv:" in answer.err and "separated by ';'" in answer.err
    assert desk.try_("stream", "--from", desk.folder / "nowhere", "--once").code == 2


@pytest.mark.parametrize("step", ["plan", "apply", "publish"])
def test_what_died_on_the_way_is_taken_up_and_never_done_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    calm = Desk(desk.folder.with_name("calm"))
    shutil.copytree(desk.folder, calm.folder)
    for place in (desk, calm):
        place.write("in/0.csv", news(USERS[:6]))
    look(calm)

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("notif_rec.workflows.apply.publish" if step == "publish" else f"{room.__name__}.{step}", die)
        assert look(desk)["plans"] == 0
    assert (sent(desk) != set()) is (step == "publish")
    told = look(desk)
    assert told["plans"] == (0 if step == "publish" else 1)
    assert sent(desk) == sent(calm)
    (plan_id,) = [plan.plan_id for plan in desk.store.plans() if plan.state == "applied"]
    assert {row["user_id"] for row in desk.listed(plan_id)} == {user for user, *_ in sent(calm)}


def test_a_forgotten_user_is_not_planned_for(desk: Desk) -> None:
    desk.call("forget", USERS[0])
    desk.write("in/0.csv", news(USERS[:1]))
    told = look(desk)
    assert (told["events"], told["plans"]) == (0, 0)
    assert sent(desk) == set()


def test_the_service_takes_what_comes_and_ends_when_told(desk: Desk) -> None:
    command = [sys.executable, "-m", "notif_rec.cli.main", "stream", "--from", str(desk.folder / "in"), "--every", "0.2", "--json"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "-c", str(desk.folder / "notif_rec.yml")], **pipes) as service:
        desk.write("draft.csv", [{**row, "timestamp": stamp(datetime.utcnow() - HOUR)} for row in news(USERS[:3])])
        (desk.folder / "draft.csv").rename(desk.folder / "in" / "0.csv")
        while not any(row.state == "published" for row in desk.store.publications()):
            assert service.poll() is None, "it goes on until it is told"
            time.sleep(0.1)
        (desk.folder / "draft.csv").write_text("user_id;event")
        (desk.folder / "draft.csv").rename(desk.folder / "in" / "1.csv")
        assert any("refused 1.csv" in line for line in service.stderr), "a later look, so that the first has come to its end"
        service.send_signal(signal.SIGTERM)
        told = json.loads(service.communicate()[0])
    assert (service.returncode, told["plans"], told["refused"]) == (0, 1, 1)
    assert desk.call("status")["last_plan_state"] == "applied"
