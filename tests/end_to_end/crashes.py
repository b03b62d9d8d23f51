"""Run as a program: kills commands at random moments, and says what the next ones find. One JSON object on stdout.

`python -m tests.end_to_end.crashes COMMAND KILLS [broken]`; COMMAND is apply, run, release or forget. With `broken`, lists are written in
place, so that the check has something to find. Everything that starts threads happens in children, which are forked and killed.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb  # noqa: F401  # loaded once, used in children alone
import numba  # noqa: F401
import pyarrow.parquet  # noqa: F401

from notif_rec.store import publish as room
from notif_rec.store.store import Store
from tests.end_to_end.book import list_faults
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import DAY, World, event, random_world, stamp

COLUMNS = {
    "push": {"items_per_send": 2, "max_sends": 2, "consent": "yes"},
    "email": {"items_per_send": 3, "max_sends": 1, "consent": "yes"},
}
RULES = [{"rule": "min_gap", "gap": "3h"}, {"rule": "frequency_cap", "max": 2, "per": "1d"}, {"rule": "no_repeat", "within": "30d"}]
FIXED: dict[str, Any] = {"channels": COLUMNS, "rules": RULES, "quotas": [], "holdout": 0.1, "lead": "0m", "timezone": "UTC"}
SOURCES = {"events": ["events*.csv"], "users": ["users.csv"], "items": ["items.csv"]}


def in_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a process of its own, by way of JSON; it must end well."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        _end(work, writing)
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as stream:
        told = stream.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code == 0, f"exit {code}: {told}"
    return json.loads(told)


def _end(work: Callable[[], Any], writing: int) -> None:
    try:
        told, code = json.dumps(work()), 0
    except BaseException as error:
        told, code = repr(error), 1
    os.write(writing, told.encode())
    os._exit(code)


def kill_after(seconds: float, work: Callable[[], Any], *, from_commit: bool) -> bool:
    """Whether `work`, in a child, was killed before it ended: `seconds` from its start, or from its first commit."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(1)
        os.close(reading)
        tell_commits(writing)
        _end(work, os.open(os.devnull, os.O_WRONLY))
    os.close(writing)
    if from_commit:
        os.read(reading, 1)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def tell_commits(pipe: int) -> None:
    """From now on, a byte in `pipe` at the start of each commit."""
    commit = Store.commit

    def telling(*given: Any, **named: Any) -> int:
        os.write(pipe, b".")
        return commit(*given, **named)

    Store.commit = telling  # type: ignore[method-assign]


def world() -> World:
    made = random_world(5, n_users=24, **FIXED, sources=SOURCES, guards={"max_source_age": "30d"})
    made.as_of = datetime(2026, 10, 7, 5)
    for row in made.events:  # all of them were known by then
        row["timestamp"] = min(row["timestamp"], stamp(made.as_of))
    return made


def prepare(folder: Path, command: str) -> None:
    """A workspace in which `command` has something to do."""
    desk, made = Desk(folder), world()
    made.write(desk)
    made.ingest(desk)
    desk.call("train", "--as-of", stamp(made.as_of))
    if command != "run":
        desk.call("plan", "--as-of", stamp(made.as_of))
    if command in ("release", "forget"):
        desk.call("apply", "latest")
    if command == "run":
        users = [row["user_id"] for row in made.users]
        desk.write("events-2.csv", [event(u, "i14", "", "view", made.as_of + DAY / 2) for u in users])


def arguments(command: str) -> Sequence[str]:
    at = stamp(world().as_of + DAY) if command == "run" else stamp(world().as_of)
    users = [row["user_id"] for row in world().users[:6]]
    lines = {"apply": ("apply", "latest"), "run": ("run", "--as-of", at), "release": ("release", "latest", "--as-of", at)}
    return {**lines, "forget": ("forget", *users)}[command]


def look(desk: Desk) -> dict[str, Any]:
    """What stands in the workspace: per applied plan the ledger's keys and the folder's files, and rows per table."""
    ledger = desk.ledger()
    plans = {plan.plan_id: plan.state for plan in desk.store.plans()}
    keys = Counter(row["send_key"] for row in ledger if row["position"] == 1 and not row["released"])
    return {
        "plans": plans,
        "sends": len(keys),
        "rows": len(ledger),
        "doubled": sum(n > 1 for n in keys.values()),
        "events": desk.call("status")["events"],
        "files": {plan_id: {name: data.decode() for name, data in desk.lists(plan_id).items()} for plan_id in plans},
    }


def faults(desk: Desk, command: str, wanted: dict[str, Any], audited: bool) -> list[str]:
    """What is wrong right after the kill, and once the command was run again."""
    torn, found = look(desk), list[str]()
    for plan_id, files in torn["files"].items():
        whole = "manifest.json" in files and {*json.loads(files["manifest.json"])["files"], "manifest.json"} == set(files)
        late = command == "forget"  # the rows go first, the lists follow
        if files and not (whole and (late or not list_faults(desk.listed(plan_id), desk.ledger(), plan_id))):
            found.append(f"half-published: {sorted(files)}")
    allowed = {"apply": {0, wanted["rows"]}, "release": {wanted["rows"]}}.get(command)
    if torn["doubled"] or (allowed and torn["rows"] not in allowed):
        found.append(f"{torn['rows']} rows, {torn['doubled']} doubled after the kill")
    desk.call(*arguments(command))
    after = look(desk)
    same = {"run": ("events",), "forget": ("plans", "sends", "rows", "files", "events")}.get(command, ("plans", "sends", "rows", "files"))
    found += [f"{name}: {str(after[name])[:300]} is not {str(wanted[name])[:300]}" for name in same if after[name] != wanted[name]]
    if after["doubled"]:
        found.append(f"{after['doubled']} doubled")
    for plan_id, state in after["plans"].items():
        if state == "applied" and list_faults(desk.listed(plan_id), desk.ledger(), plan_id):
            found.append(f"the lists of {plan_id} are not its ledger")
    lists = desk.folder / "send_lists"
    left = sorted(path.name for path in lists.iterdir() if path.name not in after["plans"]) if lists.is_dir() else []
    tmp = sorted(path.name for path in (desk.folder / ".notif_rec" / "tmp").iterdir() if not path.name.startswith("duckdb-"))
    if left or tmp:
        found.append(f"left behind: {left} {tmp}")
    if audited and (answer := desk.try_("audit")).code:
        found.append(f"audit: {answer.err}")
    return found


@contextmanager
def in_place(folder: Path) -> Iterator[Path]:
    """Publishing as it must not be: the files appear one by one."""
    folder.mkdir(parents=True, exist_ok=True)
    write = room._write_list

    def slowly(*arguments: Any) -> Any:
        time.sleep(0.2)
        return write(*arguments)

    room._write_list = slowly
    yield folder


def soak(command: str, kills: int, *, broken: bool = False) -> dict[str, Any]:
    """Counts of kills and of what they met, and every fault."""
    chance, did, found = random.Random(11), Counter[str](), list[str]()
    if broken:
        room.whole_folder = in_place
    with tempfile.TemporaryDirectory() as folder:
        ready = Path(folder, "ready")
        in_child(lambda: prepare(ready, command))
        calm = Path(folder, "calm")
        shutil.copytree(ready, calm)
        first, took, wanted = in_child(lambda: timed(Desk(calm), command))
        for kill in range(kills):
            desk = Desk(Path(folder, f"kill-{kill}"))
            shutil.copytree(ready, desk.folder)
            late = kill % 3 > 0  # most of the time goes by before anything is written
            seconds = chance.uniform(0, took - first if late else took)
            did["killed"] += kill_after(seconds, lambda desk=desk: desk.call(*arguments(command)), from_commit=late)  # type: ignore[misc]
            audited = not broken and (kills > 20 or kill % 4 == 0)
            where, wrong = in_child(lambda desk=desk, audited=audited: (moment_of(desk), faults(desk, command, wanted, audited)))  # type: ignore[misc]
            did[where] += 1
            found += [f"kill {kill}, {where}: {fault}" for fault in wrong]
            shutil.rmtree(desk.folder)
    return {"command": command, "kills": kills, **did, "took": round(took, 2), "faults": found}


def timed(desk: Desk, command: str) -> tuple[float, float, dict[str, Any]]:
    """Seconds until the first commit, until the end, and what stands there then."""
    reading, writing = os.pipe()
    tell_commits(writing)
    began = time.monotonic()
    moments: list[float] = []
    waiting = threading.Thread(target=lambda: (os.read(reading, 1), moments.append(time.monotonic() - began)))
    waiting.start()
    desk.call(*arguments(command))
    took = time.monotonic() - began
    waiting.join()
    return moments[0], took, look(desk)


def moment_of(desk: Desk) -> str:
    """How far the killed command came, by what stands in the catalogue."""
    states = {plan.plan_id: plan.state for plan in desk.store.plans()}
    published = {row.plan_id for row in desk.store.publications() if row.state == "published"}
    if not states or set(states.values()) == {"planned"}:
        return "before the commit"
    return "released" if "released" in states.values() else "published" if set(states) <= published else "between commit and lists"


if __name__ == "__main__":
    told = soak(sys.argv[1], int(sys.argv[2]), broken="broken" in sys.argv)
    print(json.dumps(told, indent=1))
    sys.exit(bool(told["faults"]))
