"""Run as a program: dies in the middle of commits, and says what the next process finds. One JSON object on stdout.

`lines STRIDE`: a child dies (no clean-up, as in a power cut of the process) at every STRIDE-th distinct line of the store's code
that a commit passes. `kills COUNT`: a child commits in a loop, telling each seq once it is done, until SIGKILL.
No thread is started before a fork: DuckDB and Arrow are first used in the children.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from notif_rec.store.event_ids import hashes_path
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from tests.store.rows import event, send, table

HOME = str(Path(sys.modules[Store.__module__].__file__ or "").parent)
PLAN = PlanRow("p", datetime(2026, 3, 9), "c", "m", seq=0, ledger=0, state="applied")
DIED = 9


def apply(store: Store) -> int:
    """A commit of everything: two tables, event ids, a plan and the ledger version, in place of an older segment."""
    old = [segment.id for segment in store.segments("events")]
    events = table("events", [event(u, n, n, event_id=f"e{u}", seq=1) for n, u in enumerate("ab")])
    sends = table("sends", [send(u, n, 30, f"k{u}") for n, u in enumerate("ab")])
    return store.commit("apply", {"events": events, "sends": sends}, ledger=True, rows=[PLAN], replaces=old)


def in_child(work: Callable[[], Any]) -> int:
    """The exit code of a child process that does `work`."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        work()
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr)
        os._exit(1)


def dying_at(wanted: int, seen: set[tuple[str, int]]) -> Callable[..., Any]:
    """A trace function that ends the process at the `wanted`-th distinct line."""

    def trace(frame: FrameType, kind: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(HOME):
            return None
        place = (frame.f_code.co_filename, frame.f_lineno)
        if kind == "line" and place not in seen:
            seen.add(place)
            if len(seen) == wanted:
                os._exit(DIED)
        return trace

    return trace


def apply_and_die(root: Path, point: int) -> None:
    store = Store(root)
    sys.settrace(dying_at(point, set()))
    apply(store)
    sys.settrace(None)


def start(folder: Path) -> Path:
    """A store with one older segment of events."""
    root = folder / "store"
    code = in_child(lambda: Store.create(root).commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="ea", seq=1)])}))
    assert code == 0
    return root


def faults(root: Path) -> list[str]:
    """What is wrong with the store as the next locked writer finds it: it must be whole, before or after the commit."""
    store = Store.open(root)
    with store.lock():
        pass
    seq = store.version().seq
    after = seq == 2
    segments = {"events": 2, "sends": 2} if after else {"events": 1}
    checks = {
        f"seq {seq}": seq in (1, 2),
        "ledger version": store.version().ledger == int(after),
        "segments": {segment.tbl: segment.rows for segment in store.segments()} == segments,
        "plans": [plan.state for plan in store.plans()] == ["applied"] * after,
        "files": {path for path in (root / "segments").glob("*/*")} == files(store, root),
    }
    return [name for name, holds in checks.items() if not holds]


def files(store: Store, root: Path) -> set[Path]:
    with store._catalogue.reading() as connection:
        known = connection.execute("SELECT path, event_ids FROM segments").fetchall()
    paths = {root / path for path, _ in known}
    return paths | {hashes_path(root / path) for path, count in known if count}


def lines(stride: int) -> dict[str, Any]:
    found: dict[str, Any] = {"points": 0, "before": 0, "after": 0, "faults": []}
    point, code = 1, DIED
    while code == DIED:
        with tempfile.TemporaryDirectory() as folder:
            root = start(Path(folder))
            code = in_child(lambda root=root, point=point: apply_and_die(root, point))  # type: ignore[misc]
            wrong = faults(root) + ([] if code in (0, DIED) else [f"exit {code}"])
            found["after" if Store(root).version().seq == 2 else "before"] += 1
            found["faults"] += [f"point {point}: {fault}" for fault in wrong]
        point, found["points"] = point + stride, found["points"] + 1
    return found


def writer(root: Path, pipe: int) -> None:
    store = Store.open(root)
    while True:
        rows = [event(f"u{n}", n, n, event_id=f"e{n}") for n in range(20)]
        sends = [send(f"u{n}", n, 30, f"k{n}") for n in range(7)]
        seq = store.commit("apply", {"events": table("events", rows), "sends": table("sends", sends)}, ledger=True)
        os.write(pipe, f"{seq}\n".encode())


def kills(count: int) -> dict[str, Any]:
    chance, told, lost = random.Random(5), 1, []
    with tempfile.TemporaryDirectory() as folder:
        root = start(Path(folder))
        for _ in range(count):
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                writer(root, writing)
            os.close(writing)
            with os.fdopen(reading) as stream:
                told = int(stream.readline())
                time.sleep(chance.uniform(0, 0.1))
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                told = max([told, *(int(line) for line in stream)])
            lost += torn(root, told)
    return {"acknowledged": told, "faults": lost}


def torn(root: Path, told: int) -> list[str]:
    """What is wrong after a kill: an acknowledged commit that is gone, or one that is there in part."""
    store = Store.open(root)
    with store.lock():
        pass
    seq = store.version().seq
    rows = {name: sum(segment.rows for segment in store.segments(name)) for name in ("events", "sends")}
    on_disk = {path for path in (root / "segments").glob("*/*")}
    checks = {
        f"{told} was told, {seq} is there": told <= seq <= told + 1,
        f"rows {rows} at {seq}": rows == {"events": 1 + 20 * (seq - 1), "sends": 7 * (seq - 1)},
        f"ledger at {seq}": store.version().ledger == seq - 1,
        "files": on_disk == files(store, root),
    }
    return [name for name, holds in checks.items() if not holds]


if __name__ == "__main__":
    work = {"lines": lines, "kills": kills}[sys.argv[1]]
    told = work(int(sys.argv[2]))
    print(json.dumps(told))
    sys.exit(bool(told["faults"]))
