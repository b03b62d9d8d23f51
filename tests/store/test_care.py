from __future__ import annotations

import stat
from pathlib import Path

import pytest

from notif_rec.errors import UsageError
from notif_rec.store import care
from notif_rec.store.care import Damage, backup, verify
from notif_rec.store.event_ids import hashes_path
from notif_rec.store.rows import ModelRow
from notif_rec.store.store import Store
from tests.store.rows import START, add_users, event, rows_of, send, table


@pytest.fixture
def filled(store: Store) -> Store:
    add_users(store, ["a", "b"])
    store.commit("ingest", {"events": table("events", [event("a", 0, n, event_id=f"e{n}") for n in range(5)])})
    store.commit("apply", {"sends": table("sends", [send("b", 1, 4, "k1")])}, ledger=True)
    store.commit("train", {}, rows=[ModelRow("m1", START, "c", "m", "models/m1")])
    (store.root / "models" / "m1").mkdir()
    (store.root / "models" / "m1" / "manifest.json").write_text("{}")
    return store


def test_a_sound_store_has_no_damage(filled: Store) -> None:
    assert verify(filled) == []


@pytest.mark.parametrize(("table_name", "problem"), [("events", "is not the file that was written"), ("sends", "is missing")])
def test_damage_is_named(filled: Store, table_name: str, problem: str) -> None:
    (segment,) = filled.segments(table_name)
    path = filled.root / segment.path
    if "missing" in problem:
        path.unlink()
    else:
        text = bytearray(path.read_bytes())
        text[len(text) // 2] ^= 1  # one bit
        path.write_bytes(bytes(text))
    assert verify(filled) == [Damage(segment.path, problem)]


def test_lost_hashes_are_damage(filled: Store) -> None:
    path = hashes_path(filled.root / filled.segments("events")[0].path)
    text = path.read_bytes()
    path.write_bytes(text[:-16] + text[-8:] + text[-16:-8])  # as many as there should be, out of order
    assert [damage.problem for damage in verify(filled)] == ["is missing or damaged"]
    path.write_bytes(text[:-8])
    assert [damage.problem for damage in verify(filled)] == ["is missing or damaged"]
    path.unlink()
    assert [damage.path for damage in verify(filled)] == [str(path.relative_to(filled.root))]


def test_a_backup_is_a_store_of_its_own(filled: Store, tmp_path: Path) -> None:
    target = backup(filled, tmp_path / "copies" / "monday")
    filled.commit("ingest", {"events": table("events", [event("a", 0, 9)])})
    copy = Store.open(target)
    assert (copy.version().seq, copy.version().ledger, verify(copy)) == (4, 1, [])
    counts = ", ".join(f"(SELECT count(*) FROM {view})" for view in ("events", "ledger", "user_ids"))
    assert rows_of(copy, f"SELECT {counts}") == [(5, 1, 2)]
    assert (target / "models" / "m1" / "manifest.json").read_text() == "{}"
    assert add_users(copy, ["c", "a"]) == [2, 0]
    open_to_others = [path for path in target.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


def test_a_backup_never_overwrites(filled: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already\n  fix: name a folder"):
        backup(filled, tmp_path)


def test_a_backup_that_fails_leaves_nothing(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(care, "_copy_catalogue", fail)
    with pytest.raises(KeyboardInterrupt):
        backup(filled, tmp_path / "copies" / "monday")
    assert list((tmp_path / "copies").iterdir()) == []
