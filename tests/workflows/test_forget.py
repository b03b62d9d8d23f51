"""Erasure and access at the front door: not a byte stays, nobody else is touched, and no file brings the user back."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import shutil
import sqlite3
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from notif_rec.store.store import Store
from notif_rec.workflows import forget as room
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import BUCKETS, FAST, bucket, event, stamp

AS_OF = datetime(2026, 10, 5, 6)
DAY = timedelta(days=1)
CANARY = next(name for name in (f"canary.{n}@example.org" for n in range(999)) if bucket(name) in BUCKETS)
SECRET = "Lindenallee 7"
USERS = [*(name for name in (f"u{n:03}" for n in range(200)) if bucket(name) in BUCKETS), CANARY]
POLICY: dict[str, Any] = {
    "version": 1,
    "events": {"view": 1},
    "channels": {
        "push": {"items_per_send": 1, "max_sends": 1, "consent": "yes"},
        "email": {"items_per_send": 2, "max_sends": 1, "consent": "yes"},
    },
    "rules": [{"rule": "min_gap", "gap": "4h"}],
    "sources": {"events": ["events-*.csv"], "users": ["users.csv"], "items": ["items.csv"]},
    "model": FAST,
}


def written(desk: Desk) -> None:
    desk.configure(POLICY)
    desk.write("users.csv", [{"user_id": u, "timezone": "Europe/Berlin", "street": SECRET if u == CANARY else ""} for u in USERS])
    desk.write("items.csv", [{"item_id": f"i{n}", "category": "promo" if n % 2 else "news"} for n in range(40)])
    views = [event(u, f"i{n * k % 40}", "", "view", AS_OF - n * timedelta(hours=1)) for n, u in enumerate(USERS, 1) for k in (1, 2, 5)]
    desk.write("events-1.csv", [{**row, "event_id": f"{row['user_id']}-{n}"} for n, row in enumerate(views)])


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """Two nights with sends to everybody, receipts and rejects, and a plan that waits."""
    desk = Desk(tmp_path_factory.mktemp("lived"))
    written(desk)
    first = desk.call("run", "--as-of", stamp(AS_OF))["plan_id"]
    mine = [row for row in desk.listed(first) if row["user_id"] == CANARY]
    assert mine
    at = AS_OF + DAY
    receipts = [event(CANARY, row["item_id"], row["channel"], "sent", at - timedelta(hours=3), send_key=row["send_key"]) for row in mine]
    odd = [event(f" {CANARY}", "i1", "", "view", AS_OF), event(USERS[0], "i1", "psuh", "view", AS_OF)]
    desk.write("events-2.csv", [*receipts, *odd, *(event(u, "i3", "", "view", at - timedelta(hours=2)) for u in USERS)])
    desk.call("run", "--as-of", stamp(at))
    desk.call("plan", "--as-of", stamp(at + DAY))
    return desk


@pytest.fixture
def desk(lived: Desk, tmp_path: Path) -> Desk:
    """The same workspace, in another place."""
    shutil.copytree(lived.folder, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def traces(desk: Desk, *words: str) -> Iterator[str]:
    """Files below the store and the lists in which one of the words stands, as bytes or as a value of a Parquet file."""
    for path in sorted((*(desk.folder / ".notif_rec").rglob("*"), *(desk.folder / "send_lists").rglob("*"))):
        if path.is_file():
            decoded = str(pq.read_table(path).to_pylist()).encode() if path.suffix == ".parquet" else b""
            if any(word.encode() in path.read_bytes() + decoded for word in words):
                yield str(path.relative_to(desk.folder))


def others(rows: list[dict[str, Any]], *hidden: str) -> list[tuple[tuple[str, Any], ...]]:
    kept = [{k: v for k, v in row.items() if k not in hidden} for row in rows if row["user_id"] != CANARY]
    return sorted(tuple(row.items()) for row in kept)


def test_not_a_byte_stays_and_nobody_else_is_touched(desk: Desk) -> None:
    parts = {path.split("/")[1] for path in traces(desk, CANARY, SECRET)}
    assert {"segments", "rejects"} <= parts and any(path.startswith("send_lists") for path in traces(desk, CANARY))
    ledger, plans = desk.ledger(), [plan.plan_id for plan in desk.store.plans() if plan.state == "applied"]
    listed = {plan: desk.listed(plan) for plan in plans}
    (code,) = {row["user"] for row in ledger if row["user_id"] == CANARY}
    told = desk.call("forget", CANARY)
    assert (told["forgotten"], told["already"], told["missing"]) == (1, 0, [])
    assert told["rows"]["events"] >= 6 and told["rows"]["sends"] >= 3 and told["rows"]["users"] == told["rows"]["user_ids"] == 1
    assert (told["models"], told["plans"], told["lists"]) == (2, 3, 2)
    assert list(traces(desk, CANARY, SECRET)) == []
    for path in (desk.folder / ".notif_rec").rglob("*.parquet"):
        table = pq.read_table(path)
        assert "user" not in table.column_names or code not in table.column("user").to_pylist(), path
    assert others(desk.ledger()) == others(ledger) and len(desk.ledger()) < len(ledger)
    for plan in plans:
        assert others(desk.listed(plan), "rank") == others(listed[plan], "rank")
        assert sorted({int(row["rank"]) for row in desk.listed(plan) if row["channel"] == "push"})[0] == 1
    assert desk.call("audit")["violations"] == 0
    assert desk.call("ledger", "verify")["damaged"] == []
    assert desk.call("status")["users"] == len(USERS) - 1
    assert [line for path in (desk.folder / ".notif_rec/rejects").iterdir() for line in path.read_text().splitlines() if "psuh" in line]


def test_the_models_know_nothing_of_the_user_and_the_same_of_all_others(desk: Desk) -> None:
    command = ("recommend", "--channel", "push", "-k", "3", "--as-of", stamp(AS_OF + DAY), "-o")
    users = desk.write("others.csv", [{"user_id": user} for user in USERS if user != CANARY])
    desk.call(*command, desk.folder / "before.csv", "--users", users)
    with desk.store.connect() as duck:
        ((code,),) = duck.execute('SELECT "user" FROM user_ids WHERE user_id = ?', (CANARY,)).fetchall()
    rows = {path: int(np.load(path / "user_row.npy")[code]) for path in (desk.folder / ".notif_rec/models").iterdir()}
    assert all(np.abs(np.load(path / "push.user_factors.npy")[row]).sum() > 0 for path, row in rows.items())
    desk.call("forget", CANARY)
    for path, row in rows.items():
        assert np.load(path / "user_row.npy")[code] == -1
        assert [np.abs(np.load(path / f"{c}.user_factors.npy")[row]).sum() for c in POLICY["channels"]] == [0.0, 0.0]
    desk.call(*command, desk.folder / "after.csv", "--users", users)
    assert (desk.folder / "before.csv").read_bytes() == (desk.folder / "after.csv").read_bytes()


def test_no_file_brings_the_user_back(desk: Desk) -> None:
    desk.call("forget", CANARY)
    rows = [event(CANARY, "i1", "", "view", AS_OF), event(USERS[0], "i1", "", "view", AS_OF)]
    told = desk.call("ingest", "events", desk.write("again.csv", rows), "--max-rejects", "0")
    assert (told["records"], told["accepted"], told["rejected"], told["reasons"]) == (2, 1, 1, {"user_id: of a forgotten user": 1})
    for table, name in (("users", "users.csv"), ("suppressions", "again.csv")):
        assert desk.call("ingest", table, desk.write(name, [{"user_id": u} for u in (CANARY, USERS[1])]), "--max-rejects", "0")
    desk.write("events-3.csv", [event(u, "i4", "", "view", AS_OF + 2 * DAY - timedelta(hours=2)) for u in USERS])
    written(desk)  # and the old ones, with other times of change
    desk.call("run", "--as-of", stamp(AS_OF + 2 * DAY))
    assert list(traces(desk, CANARY, SECRET)) == []
    assert desk.try_("explain", CANARY).code == 2


def test_forgetting_again_changes_nothing_and_a_stranger_is_nobody(desk: Desk) -> None:
    refused = desk.try_("forget", CANARY, "nobody")
    assert (refused.code, "no user 'nobody' in the store: nobody was forgotten" in refused.err) == (2, True)
    assert desk.try_("forget").code == 2
    assert list(traces(desk, CANARY))
    waiting = desk.call("status")["last_plan"]
    desk.call("forget", "--users", desk.write("them.csv", [{"user_id": CANARY}, {"user_id": USERS[0]}]))
    before = desk.state()
    told = desk.call("forget", USERS[0], CANARY, CANARY)
    assert (told["forgotten"], told["already"], told["rows"], told["lists"]) == (0, 2, {}, 0)
    assert desk.state() == before
    assert desk.try_("apply", waiting).code == 75, "the plan was made with them"


def test_a_crash_right_after_the_rows_are_gone_is_made_good(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(room, "clean_up", die)
        assert desk.try_("forget", CANARY).code == 130
    assert [path for path in traces(desk, CANARY) if not path.startswith("send_lists/")] == [], "hidden at once; lists follow"
    assert desk.try_("explain", CANARY).code == 2
    twin = Desk(desk.folder.with_name("twin"))
    shutil.copytree(desk.folder, twin.folder)
    assert desk.call("forget", CANARY)["lists"] == 2
    desk.write("events-3.csv", [event(USERS[0], "i4", "", "view", AS_OF + 2 * DAY - timedelta(hours=2))])
    desk.call("run", "--as-of", stamp(AS_OF + 2 * DAY))
    assert list(traces(desk, CANARY)) == []


def test_lists_that_were_moved_are_named(desk: Desk) -> None:
    plan = next(plan.plan_id for plan in desk.store.plans() if plan.state == "applied")
    shutil.move(desk.folder / "send_lists" / plan, desk.folder / "elsewhere")
    assert desk.call("forget", CANARY)["missing"] == [str(desk.folder / "send_lists" / plan)]


def test_a_model_that_cannot_be_read_is_deleted(desk: Desk) -> None:
    model, other = sorted((desk.folder / ".notif_rec/models").iterdir())
    (model / "manifest.json").write_text("{")
    assert desk.call("forget", CANARY)["models"] == 2
    assert (model.exists(), other.exists()) == (False, True)


def test_a_store_of_the_first_schema_is_upgraded(desk: Desk) -> None:
    with contextlib.closing(sqlite3.connect(desk.folder / ".notif_rec/catalogue.sqlite")) as catalogue, catalogue:
        catalogue.executescript("DROP TABLE forgotten; DROP TABLE positions; DELETE FROM meta WHERE name = 'salt'; PRAGMA user_version = 1")
    assert desk.call("status")["users"] == len(USERS)
    desk.call("forget", CANARY)
    assert CANARY in Store.open(desk.folder / ".notif_rec").forgotten()


def test_export_holds_every_row_about_the_user(desk: Desk) -> None:
    found = desk.call("export", CANARY)
    with desk.store.connect() as duck:
        count = 'SELECT count(*) FROM {0} JOIN user_ids USING ("user") WHERE user_id = ?'
        for name, view in (("users", "users_log"), ("events", "events"), ("sends", "ledger"), ("suppressions", "suppressions")):
            assert len(found[name]) == duck.execute(count.format(view), (CANARY,)).fetchall()[0][0], name
    assert found["user_id"] == CANARY and found["users"][0]["attributes"] == {"street": SECRET}
    assert {row["event"] for row in found["events"]} == {"view", "sent"} and found["events"][0]["timestamp"].endswith("Z")
    assert {row["confirmed"] for row in found["sends"]} == {True, False}
    assert USERS[0] not in json.dumps(found)
    assert desk.try_("export", "nobody").code == 2


def test_the_ledger_as_one_table(desk: Desk) -> None:
    told = desk.call("ledger", "export", "-o", desk.folder / "ledger.csv")
    rows = list(csv.DictReader(io.StringIO((desk.folder / "ledger.csv").read_text())))
    ledger = desk.ledger()
    assert told["rows"] == len(rows) == len(ledger)
    assert {(r["send_key"], r["user_id"], r["item_id"], r["send_at"], r["confirmed"] == "true") for r in rows} == {
        (r["send_key"], r["user_id"], r["item_id"], stamp(r["send_at"]), r["confirmed"]) for r in ledger
    }
    desk.call("ledger", "export", "-o", desk.folder / "ledger.parquet")
    assert pq.read_table(desk.folder / "ledger.parquet").num_rows == len(rows)
    assert desk.try_("ledger", "export", "-o", desk.folder / "ledger.xlsx").code == 2


def test_a_backup_is_verified_and_takes_the_stores_place(desk: Desk) -> None:
    desk.call("ledger", "backup", desk.folder / "monday")
    assert desk.try_("ledger", "backup", desk.folder / "monday").code == 2
    before = desk.ledger()
    segment = next((desk.folder / ".notif_rec/segments/sends").glob("*.parquet"))
    segment.write_bytes(segment.read_bytes()[:-1])
    damaged = desk.try_("ledger", "verify")
    assert (damaged.code, damaged.told["damaged"]) == (
        3,
        [{"path": f"segments/sends/{segment.name}", "problem": "is not the file that was written"}],
    )
    shutil.rmtree(desk.folder / ".notif_rec")
    (desk.folder / "monday").rename(desk.folder / ".notif_rec")
    assert (desk.call("ledger", "verify")["damaged"], desk.ledger()) == ([], before)
