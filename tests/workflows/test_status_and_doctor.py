"""What `status` counts, and what `doctor` finds; each finding is provoked once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from notif_rec.cli.main import main
from notif_rec.store.rows import ModelRow, PauseRow, PlanRow, PublicationRow
from notif_rec.store.store import Store
from notif_rec.workflows.doctor import Diagnosis, diagnose
from notif_rec.workflows.doctor_store import LOCKS, catalogue, lock
from notif_rec.workflows.init import init
from notif_rec.workflows.status import status
from tests.store.rows import START, event, release, send, table

AS_OF = START + timedelta(days=30)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    init(tmp_path, as_of=AS_OF, program=("notif-rec",))
    return Store.create(tmp_path / ".notif_rec")


def fill(store: Store) -> None:
    rows = [event("a", 0, 1), event("a", 0, 5), event("a", 0, 3)]
    store.commit("ingest", {"events": table("events", rows)})
    sends = [send("a", 0, 30, "k1"), send("a", 0, 31, "k2"), send("a", 0, 32, "k3")]
    store.commit("apply", {"sends": table("sends", sends)}, ledger=True)
    store.commit("release", {"releases": table("releases", [release("a", 0, "k2")])}, ledger=True)
    plan = PlanRow("p1", AS_OF, "c", "m1", 1, 0, "applied")
    model = ModelRow("m1", AS_OF, "c", "c", "models/m1")
    pause = PauseRow("push", AS_OF)
    store.commit("plan", {}, rows=[model, plan, pause, PublicationRow("p1", "lists/p1", "intended")])


def test_status_counts_what_is_there(store: Store) -> None:
    fill(store)
    found = status(store)
    assert (found.events, found.sends, found.version) == (3, 2, 4)
    assert (found.last_event or START) - (found.first_event or START) == timedelta(hours=4)
    assert (found.model_id, found.last_plan, found.last_plan_state) == ("m1", "p1", "applied")
    assert (found.unfinished, found.paused) == (("p1",), ("push",))


def test_status_of_an_empty_store_has_every_key(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--json", "-c", str(tmp_path / "notif_rec.yml")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {"events", "users", "items", "sends", "model_id", "last_plan"} <= set(found)
    assert (found["events"], found["model_id"], found["last_plan"]) == (0, None, None)


def test_status_without_a_store_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(tmp_path / "w", as_of=AS_OF, program=("notif-rec",))
    assert main(["status", "-c", str(tmp_path / "w" / "notif_rec.yml")]) == 78
    assert "no store here yet\n  fix: `notif-rec ingest` makes it" in capsys.readouterr().err


def states(found: Diagnosis) -> Iterator[tuple[str, str]]:
    return ((check.name, check.state) for check in found.checks)


def test_a_sound_workspace_has_no_failure(store: Store, tmp_path: Path) -> None:
    found = diagnose(tmp_path / "notif_rec.yml", tmp_path / ".notif_rec", AS_OF)
    assert found.healthy, found
    assert dict(states(found))["model"] == "warn"  # none yet


def test_no_config_warns_and_a_broken_one_fails(tmp_path: Path) -> None:
    assert dict(states(diagnose(tmp_path / "no.yml", tmp_path / "no", AS_OF)))["config"] == "warn"
    (tmp_path / "bad.yml").write_text("version: 1\nruels: []\n")
    found = diagnose(tmp_path / "bad.yml", tmp_path / "no", AS_OF)
    assert not found.healthy
    assert any("bad.yml:2" in check.found for check in found.checks if check.state == "fail")


def test_each_fault_of_a_store_is_found(store: Store, tmp_path: Path) -> None:
    fill(store)
    first = store.segments("events")[0]
    (store.root / first.path).unlink()
    store.root.chmod(0o755)
    found = dict(states(diagnose(tmp_path / "notif_rec.yml", store.root, AS_OF - timedelta(days=2))))
    assert {name: found[name] for name in ("segments", "permissions", "unfinished", "model", "clock")} == {
        "segments": "fail", "permissions": "warn", "unfinished": "warn", "model": "fail", "clock": "warn",
    }  # fmt: skip


@pytest.mark.skipif(not LOCKS.exists(), reason="this system does not list its locks")
def test_a_held_lock_is_seen_and_not_taken(store: Store) -> None:
    assert lock(store)[2] == "free"
    with store.lock():
        assert lock(store)[1] == "warn"
        assert "held by process" in lock(store)[2]
    assert lock(store)[2] == "free"


def test_a_damaged_catalogue_fails(store: Store) -> None:
    path = store.root / "catalogue.sqlite"
    whole = path.read_bytes()
    path.write_bytes(whole[:200] + b"\xff" * (len(whole) - 200))
    assert catalogue(store)[1] == "fail"


def test_doctor_exits_3_where_something_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "notif_rec.yml"
    assert main(["doctor", "-c", str(config), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["healthy"] is True
    config.write_text("version: 2\n")
    assert main(["doctor", "-c", str(config), "--json"]) == 3
    assert json.loads(capsys.readouterr().out)["healthy"] is False


def test_doctor_writes_nothing(tmp_path: Path) -> None:
    assert main(["doctor", "-c", str(tmp_path / "notif_rec.yml"), "-q", "--as-of", f"{datetime(2026, 1, 1):%Y-%m-%d}"]) == 0
    assert list(tmp_path.iterdir()) == []
