from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path

import pytest

from notif_rec.errors import BugError, ConfigError, TryAgainError
from notif_rec.store import catalogue, place
from notif_rec.store.rows import FileRow, ModelRow, PauseRow, PlanRow, PublicationRow, ResumeRow
from notif_rec.store.store import Store
from tests.store.rows import event, table

NOON = datetime(2026, 3, 9, 12, 0, 0, 250)
MODEL = ModelRow("m1", NOON, "c1", "mc1", "models/m1")
PLAN = PlanRow("p1", NOON, "c1", "m1", seq=0, ledger=0, manifest={"sends": {"push": 3}})
FILE = FileRow("events", "data/é.csv", "data/*.csv", "ab" * 32, 71, {"records": 5, "accepted": 4}, NOON)


def test_catalogue_rows_come_back(store: Store) -> None:
    store.commit("mixed", {}, rows=[MODEL, PLAN, FILE, PublicationRow("p1", "out/p1", "intended"), PauseRow("push", NOON)])
    assert store.models() == [ModelRow("m1", NOON, "c1", "mc1", "models/m1", seq=1)]
    assert store.plans() == [PlanRow("p1", NOON, "c1", "m1", 0, 0, "planned", {"sends": {"push": 3}}, None, added_seq=1)]
    assert store.files("events") == [FileRow("events", "data/é.csv", "data/*.csv", "ab" * 32, 71, {"records": 5, "accepted": 4}, NOON, 1)]
    assert store.files("users") == []
    assert (store.publications("p1"), store.pauses()) == ([PublicationRow("p1", "out/p1", "intended")], [PauseRow("push", NOON)])


def test_a_row_of_the_same_key_is_replaced_and_files_are_a_log(store: Store) -> None:
    store.commit("plan", {}, rows=[PLAN, FILE, PublicationRow("p1", "out/p1", "intended"), PauseRow("", NOON)])
    again = PlanRow(**{**vars(store.plans()[0]), "state": "applied"})
    store.commit("apply", {}, ledger=True, rows=[again, FILE, PublicationRow("p1", "out/p1", "published"), ResumeRow("")])
    assert [(p.state, p.added_seq, p.applied_seq) for p in store.plans()] == [("applied", 1, 2)]
    assert [f.seq for f in store.files()] == [1, 2]
    assert ([p.state for p in store.publications()], store.pauses()) == (["published"], [])


def test_rows_and_segments_appear_together_or_not_at_all(store: Store) -> None:
    wrong = PublicationRow("p1", "out/p1", "lost")
    with pytest.raises(sqlite3.IntegrityError):
        store.commit("plan", {"events": table("events", [event("a", 0, 1)])}, rows=[PLAN, wrong])
    assert (store.version().seq, store.plans(), store.segments(), list((store.root / "segments" / "events").iterdir())) == (0, [], [], [])


def test_a_replaced_segment_must_be_live(store: Store) -> None:
    with pytest.raises(BugError, match="segment nothing is replaced, but it is not live"):
        store.commit("erase", {}, replaces=["nothing"])


def test_a_missing_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no store here\n  fix: ingest something first, or name another folder with --store"):
        Store.open(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_half_made_catalogue_is_finished(tmp_path: Path) -> None:
    (tmp_path / "catalogue.sqlite").touch()
    with pytest.raises(ConfigError, match="no store here"):
        Store.open(tmp_path)
    assert Store.create(tmp_path).version().seq == 0


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to have a header" * 30, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_catalogue_is_refused(store: Store, damage: bytes) -> None:
    (store.root / "catalogue.sqlite").write_bytes(damage)
    with pytest.raises(ConfigError, match=r"catalogue\.sqlite: the catalogue is damaged .*\n  fix: restore a backup") as caught:
        Store.open(store.root)
    assert caught.value.exit_code == 78


def test_a_page_lost_in_the_middle_is_refused(store: Store) -> None:
    for n in range(30):
        store.commit("plan", {}, rows=[PlanRow(f"p{n}", NOON, "c" * 300, "m1", seq=0, ledger=0)])
    path = store.root / "catalogue.sqlite"
    text = bytearray(path.read_bytes())
    text[8 * 4096 :] = b"\xa5" * (len(text) - 8 * 4096)
    path.write_bytes(bytes(text))
    with pytest.raises(ConfigError, match="the catalogue is damaged"):
        store.plans()


@pytest.mark.parametrize(
    ("pragma", "message"),
    [
        ("user_version = 3", r"of a newer notif-rec \(schema 3, this one knows 2\)\n  fix: update notif-rec"),
        ("application_id = 7", "not a catalogue of notif-rec"),
    ],
)
def test_a_strange_catalogue_is_refused(store: Store, pragma: str, message: str) -> None:
    with sqlite3.connect(store.root / "catalogue.sqlite") as connection:
        connection.execute(f"PRAGMA {pragma}")
    connection.close()
    with pytest.raises(ConfigError, match=message):
        Store.open(store.root)


def test_a_write_is_durable_before_it_is_acknowledged(store: Store) -> None:
    with store._catalogue.writing() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_a_catalogue_that_stays_busy_is_worth_another_try(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "WAIT_S", 0.05)
    other = sqlite3.connect(store.root / "catalogue.sqlite", isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(TryAgainError, match="another run is writing to the store"):
        store.version()
    other.close()
    assert store.version().seq == 0


MOUNTS = """proc /proc proc rw 0 0
/dev/vda / ext4 rw 0 0
server:/x {folder}/far nfs4 rw 0 0
/dev/vdb {folder}/far/near xfs rw 0 0
me@host: {folder}/my\\040files fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("name", "kind"), [("far/store", "nfs4"), ("my files", "fuse.sshfs"), ("far/near/store", None), ("farther", None), ("store", None)]
)
def test_network_disks_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, kind: str | None) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS.format(folder=tmp_path))
    monkeypatch.setattr(place, "MOUNTS", mounts)
    if kind is None:
        Store.create(tmp_path / name)
        return
    for opened in (Store.create, Store.open):
        with pytest.raises(ConfigError, match=rf"network file system \({kind}\)\n  fix: put it on a local disk"):
            opened(tmp_path / name)
    assert not (tmp_path / name).exists()
