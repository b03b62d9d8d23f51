from __future__ import annotations

import errno
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from notif_rec.errors import NotifRecError, TryAgainError
from notif_rec.store import event_ids, files, segments
from notif_rec.store import store as room
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from tests.store.rows import START, add_users, event, rows_of, send, table

REPOSITORY = Path(__file__).parents[2]


def crash_points(*arguments: str) -> Any:
    command = [sys.executable, "-m", "tests.store.crash_points", *arguments]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=240, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout)


def test_dying_at_any_line_of_a_commit_leaves_all_or_nothing() -> None:
    found = crash_points("lines", "9")
    assert found["faults"] == []
    assert found["points"] > 15
    assert found["before"] > 10
    assert found["after"] >= 1  # the last child ran to its end


def test_a_killed_writer_loses_nothing_that_it_told() -> None:
    found = crash_points("kills", "15")
    assert found["faults"] == []
    assert found["acknowledged"] > 15


STEPS = ["write_segment", "_register", "add_segment", "add_commit", "retire_segment", "_advance_codes", "write_row"]


@pytest.mark.parametrize("step", STEPS)
def test_a_failure_at_any_step_leaves_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    add_users(store, ["a"])
    store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
    before = (store.version(), store.segments(), on_disk(store))
    plan = PlanRow("p", START, "c", "m", seq=0, ledger=0)

    def attempt(replaces: list[str]) -> int:
        with store.lock():
            _, new = store.user_codes(pa.array(["b"]), create=True)
            tables = {"events": table("events", [event("a", 0, 2, event_id="e")]), "user_ids": new}
            return store.commit("ingest", tables, ledger=True, rows=[plan], replaces=replaces)

    replaces = [store.segments("events")[0].id] if step == "retire_segment" else []
    with monkeypatch.context() as patch:
        patch.setattr(room, step, failing(getattr(room, step)))
        with pytest.raises(Interrupted):
            attempt(replaces)
    assert (store.version(), store.segments(), on_disk(store), store.plans()) == (*before, [])
    assert attempt(replaces) == 3


class Interrupted(BaseException):
    """As a signal would end the work."""


def failing(real: Any) -> Any:
    """The step does its work, then the process is told to stop."""

    def step(*arguments: Any) -> None:
        real(*arguments)
        raise Interrupted

    return step


def on_disk(store: Store) -> set[str]:
    return {str(path.relative_to(store.root)) for path in store.root.rglob("*")}


def test_files_are_durable_before_the_catalogue_names_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 does not test fsync: the order of the calls is held here."""
    calls: list[tuple[str, str]] = []
    real_sync, real_replace, real_register = files.sync, Path.replace, room._register

    def sync(path: Path) -> None:
        calls.append(("sync", "folder" if path.is_dir() else "".join(path.name.split(".")[2:-2])))
        real_sync(path)

    def replace(self: Path, target: Path) -> Path:
        calls.append(("rename", "".join(target.suffixes).replace(".", "")))
        return real_replace(self, target)

    def register(*arguments: Any) -> None:
        calls.append(("register", ""))
        real_register(*arguments)

    store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})  # makes the folder
    monkeypatch.setattr(files, "sync", sync)
    monkeypatch.setattr(Path, "replace", replace)
    monkeypatch.setattr(room, "_register", register)
    store.commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="e")])})
    hashes = [("sync", "idsnpy"), ("rename", "idsnpy"), ("sync", "folder")]
    rows = [("sync", "parquet"), ("rename", "parquet"), ("sync", "folder")]
    assert calls == [*hashes, *rows, ("register", "")]


def test_orphans_are_swept_by_the_next_writer_and_by_no_reader(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="e")])})
    good = on_disk(store)
    folder = store.root / "segments" / "events"
    orphans = [folder / "00000002-x.parquet", folder / "00000002-x.ids.npy", folder / ".00000002-x.parquet.77.tmp"]
    dead, alive = (store.root / "tmp" / f"duckdb-{pid}-00ff" for pid in (2**22 + 7, os.getpid()))
    unnamed = [store.root / "models" / "00ff", store.root / "models" / ".00aa.tmp", store.root / "plans" / "00ee"]
    for path in orphans:
        path.touch()
    for spill in (dead, alive, *unnamed):
        spill.mkdir()
        (spill / "duckdb_temp_block-1.block").touch()
    assert rows_of(store, "SELECT count(*) FROM events") == [(1,)]
    assert all(path.exists() for path in [*orphans, dead, *unnamed])
    with store.lock():
        pass
    assert on_disk(store) - good == {str(path.relative_to(store.root)) for path in (alive, *alive.iterdir())}


def test_two_writers_are_refused_by_name(store: Store) -> None:
    other = Store.open(store.root)
    with store.lock(), store.lock():
        holder = rf"lock: held by process {os.getpid()} on .+ since 20..-..-..T..:..:..Z"
        with pytest.raises(TryAgainError, match=holder) as caught, other.lock():
            pass
        assert caught.value.exit_code == 75
        store.commit("ingest", {})
        with pytest.raises(TryAgainError):
            other.commit("ingest", {})
    assert other.commit("ingest", {}) == 2


def test_a_reader_sees_whole_commits_while_a_writer_works(store: Store) -> None:
    seen, commits = set[tuple[int, int]](), 0

    def write() -> None:
        nonlocal commits
        writer = Store.open(store.root)
        while len(seen) < 4 and commits < 10_000:
            n, commits = commits, commits + 1
            writer.commit("apply", {"events": table("events", [event("a", 0, n)]), "sends": table("sends", [send("a", 0, n, f"k{n}")])})

    thread = threading.Thread(target=write)
    thread.start()
    while thread.is_alive():
        seen.update(rows_of(store, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM sends)"))
    assert len(seen) >= 4 and all(events == sends for events, sends in seen)
    assert rows_of(store, "SELECT count(*) FROM sends") == [(commits,)]


FULL = "no space left on the disk: nothing was changed\n  fix: free some space"


@contextmanager
def full_disk(path: Path) -> Iterator[Path]:
    """What is written goes to the device that is always full: the kernel's own error, met by the real writers."""
    yield Path("/dev/full")


@pytest.mark.parametrize("place", [segments, event_ids])
def test_a_full_disk_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch, place: Any) -> None:
    before = on_disk(store) | {"lock", "segments/events"}
    rows = table("events", [event("a", 0, n, event_id=f"e{n}") for n in range(3000)])
    with monkeypatch.context() as patch:
        patch.setattr(place, "whole_file", full_disk)
        with pytest.raises(NotifRecError, match=FULL) as caught:
            store.commit("ingest", {"events": rows})
    assert caught.value.exit_code == 1
    assert (store.version().seq, on_disk(store)) == (0, before)
    assert store.commit("ingest", {"events": rows}) == 1


def test_a_disk_full_for_the_catalogue_changes_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more_pages(connection: sqlite3.Connection, *_: Any) -> None:
        connection.execute("PRAGMA max_page_count = 1")
        connection.execute("CREATE TABLE filler AS SELECT zeroblob(900000) AS filling")

    with monkeypatch.context() as patch:
        patch.setattr(room, "add_commit", no_more_pages)
        with pytest.raises(NotifRecError, match=FULL):
            store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
    assert (store.version().seq, list((store.root / "segments" / "events").iterdir())) == (0, [])


def test_another_disk_error_is_not_called_a_full_disk(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(room, "write_segment", broken)
    with pytest.raises(OSError, match="Input/output"):
        store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
