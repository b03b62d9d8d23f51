"""Bad input at the front door: each is told with place, problem and fix, the right code, one JSON object, and nothing changed."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from notif_rec.store import place
from tests.end_to_end.desk import Answer, Desk
from tests.end_to_end.worlds import BUCKETS, FAST, bucket, event, stamp

AS_OF = datetime(2026, 10, 5, 6)
DAY = timedelta(days=1)
USERS = [name for name in (f"u{n:03}" for n in range(1000)) if bucket(name) in BUCKETS][:20]
POLICY: dict[str, Any] = {
    "version": 1,
    "events": {"view": 1},
    "channels": {"push": {"items_per_send": 1, "max_sends": 1, "consent": "yes"}},
    "rules": [{"rule": "min_gap", "gap": "4h"}],
    "sources": {"events": ["events-*.csv"], "users": ["users.csv"], "items": ["items.csv"]},
    "model": FAST,
}
HEADER = b"user_id,item_id,channel,event,timestamp\n"
GOOD = b"u1,i1,push,view,2026-10-01T10:00:00Z\n"
NOW = stamp(AS_OF)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A workspace with a model and a plan."""
    desk = Desk(tmp_path_factory.mktemp("ready"))
    desk.configure(POLICY)
    desk.write("users.csv", [{"user_id": u, "timezone": "Europe/Berlin", "country": "DE"} for u in USERS])
    desk.write("items.csv", [{"item_id": f"i{n}", "category": "news"} for n in range(9)])
    views = [event(u, f"i{n * k % 9}", "", "view", AS_OF - n * timedelta(hours=1)) for n, u in enumerate(USERS, 1) for k in (1, 2)]
    desk.write("events-1.csv", views)
    desk.call("run", "--as-of", NOW)
    desk.call("plan", "--as-of", stamp(AS_OF + DAY))
    return desk


@pytest.fixture
def desk(ready: Desk, tmp_path: Path) -> Desk:
    shutil.copytree(ready.folder, tmp_path / "desk")
    return Desk(tmp_path / "desk")


def refused(desk: Desk, code: int, *line: object) -> str:
    """The whole text of a failure, once it is found to be as every failure must be."""
    before = desk.state()
    answer: Answer = desk.try_(*line)
    assert answer.code == code, answer.err
    assert set(answer.told) == {"error", "fix", "exit_code"}
    assert answer.told["exit_code"] == code
    assert answer.told["error"] and answer.told["fix"]
    assert f"error: {answer.told['error']}" in answer.err
    assert "Traceback" not in answer.err
    assert desk.state() == before, "something was changed"
    drafts = [p for p in desk.folder.rglob("*") if p.name.endswith((".tmp", ".gone"))]
    assert drafts == [], "something was left half-written"
    return f"{answer.told['error']}\n{answer.told['fix']}"


def rows(*lines: bytes) -> bytes:
    return HEADER + GOOD + b"".join(lines)


FILES: dict[str, tuple[bytes | None, str]] = {
    "missing": (None, "bad.csv: no such file"),
    "empty": (b"", "bad.csv: the file is empty"),
    "another delimiter": (rows().replace(b",", b";"), "bad.csv:1: the columns are separated by ';', not by commas"),
    "no header": (GOOD, "bad.csv:1: no header: the first line is 'u1,i1,push"),
    "a doubled header": (HEADER.replace(b"item_id", b"USER_ID") + GOOD, "bad.csv: the header has 'USER_ID' twice (columns 1 and 2)"),
    "an unknown channel": (rows(GOOD.replace(b"push", b"psuh")), "unknown channel; did you mean 'push'? (first: bad.csv:3)"),
    "an unknown event": (rows(GOOD.replace(b"view", b"veiw")), "unknown event; did you mean 'view'? (first: bad.csv:3)"),
    "a time that is none": (rows(GOOD.replace(b"10-01", b"13-01")), "timestamp: not a time in the declared format (first: bad.csv:3)"),
    "day or month": (rows(GOOD.replace(b"2026-10-01T10:00:00Z", b"01/02/2026")), "bad.csv:3: column 'timestamp': '01/02/2026'"),
    "a time without a zone": (rows(GOOD.replace(b"Z", b"")), "timestamp: a time without Z or an offset; give --timezone"),
    "NUL in an id": (rows(GOOD.replace(b"u1", b"u\0001")), "user_id: holds NUL (first: bad.csv:3)"),
    "a line break in an id": (rows(GOOD.replace(b"u1", b'"u\n1"')), "user_id: a line break inside quotes (first: bad.csv:3)"),
    "UTF-16": (rows().decode().encode("utf-16"), "bad.csv: this is text in UTF-16"),
    "an archive cut short": (gzip.compress(rows() * 99)[:-9], "bad.csv: the archive is cut short"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(desk.folder)
    content, told = FILES[name]
    if content is not None:
        (desk.folder / "bad.csv").write_bytes(content)
    assert told in refused(desk, 3, "ingest", "events", "bad.csv", "--max-rejects", "0")


CONFIGS = {
    "a typo": ("channles: {}", "c.yml:1: channles: unknown key 'channles'; did you mean 'channels'?"),
    "a doubled key": ("seed: 1\nseed: 2", "c.yml:2: 'seed' stands twice (first on line 1)"),
    "an unquoted time": ("rules:\n- {rule: quiet_hours, from: 21:00, to: '08:00'}", "c.yml:2: rules.0.from: the time of day 21:00 is not"),
    "an unknown rule": ("rules: [{rule: quiet_hour}]", "c.yml:1: rules.0: unknown rule 'quiet_hour'; did you mean 'quiet_hours'?"),
    "a number without a unit": ("horizon: 24", "c.yml:1: horizon: 24 is not a duration; write 30m, 12h, 7d or 2w"),
    "a word for a truth": ("channels:\n  push: {items_per_send: 1, max_sends: 1, consent: yes, exclude_seen: yes}", "c.yml:2: channels"),
    "broken YAML": ("rules: [", "c.yml:1: expected"),
    "not text": ("seed: 1\n\udce9: 1", "c.yml:2: not text in UTF-8 (byte 0xe9)"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_bad_config(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(desk.folder)
    text, told = CONFIGS[name]
    Path("c.yml").write_bytes(text.encode(errors="surrogateescape"))
    assert told in refused(desk, 78, "plan", "--as-of", NOW, "--policy", "c.yml")
    Path("notif_rec.yml").write_bytes(text.encode(errors="surrogateescape"))
    assert told.removeprefix("c.yml") in refused(desk, 78, "config", "check")


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (("plan", "--users", "none.csv"), 3, "none.csv: no such file of users"),
        (("plan", "--users", "items.csv"), 3, "items.csv:1: no column 'user_id'"),
        (("plan", "--channels", "psuh"), 2, "unknown channel 'psuh'; did you mean 'push'?"),
        (("apply", "zz"), 2, "no plan 'zz'"),
        (("release", "zz"), 2, "no plan 'zz'"),
        (("audit", "--plan", "zz"), 2, "no plan 'zz'"),
        (("explain", "nobody"), 2, "no user 'nobody' in the store"),
        (("recommend", "--channel", "psh", "-o", "x.csv"), 2, "no channel 'psh'; did you mean 'push'?"),
        (("pause", "psh"), 2, "unknown channel 'psh'; did you mean 'push'?"),
        (("evaluate", "--train", "none.csv", "--test", "none.csv"), 3, "none.csv: no such file"),
        (("plan", "--policy", "none.yml"), 78, "none.yml: no such config file"),
        (("plan", "--store", "nowhere"), 78, "nowhere: no store here yet"),
    ],
)
def test_a_name_that_means_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch, line: tuple[str, ...], code: int, told: str) -> None:
    monkeypatch.chdir(desk.folder)
    assert told in refused(desk, code, *line)


QUOTAS = {
    "a category": ("{category: newz, max_sends: 3}", "quotas.0.category: no item has the category 'newz'; did you mean 'news'?"),
    "a category far off": ("{category: x, max_sends: 3}", "quotas.0.category: no item has the category 'x'; there are news"),
    "an item": ("{item: i77, max_sends: 3}", "quotas.0.item: no item 'i77' in the store; did you mean 'i7'?"),
    "an attribute": (
        '{segment: "cuntry=DE", max_sends: 3}',
        "quotas.0.segment: no user has an attribute 'cuntry'; did you mean 'country'?",
    ),
    "a value": ('{segment: "country=DEU", max_sends: 3}', "quotas.0.segment: nobody has country=DEU; did you mean 'DE'?"),
}


@pytest.mark.parametrize("name", QUOTAS)
def test_a_quota_on_what_the_store_does_not_know(desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(desk.folder)
    quota, told = QUOTAS[name]
    Path("c.yml").write_text(f"quotas: [{quota}]")
    assert told in refused(desk, 78, "plan", "--as-of", NOW, "--policy", "c.yml")
    Path("notif_rec.yml").write_text(f"{json.dumps(POLICY)[:-1]},\n  quotas: [{quota}]}}")
    assert f"notif_rec.yml:2: {told}" in refused(desk, 78, "config", "check")


def test_quotas_and_caps_that_hold_but_miss_somebody_are_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    rule = "{rule: frequency_cap, category: newz, max: 1, per: 1d}"
    Path("c.yml").write_text(f'quotas: [{{segment: "country=DE|DEU", max_sends: 3}}]\nrules: [{rule}]')
    told = desk.call("plan", "--as-of", NOW, "--policy", "c.yml")["warnings"]
    assert "quotas.0.segment: nobody has country=DEU; did you mean 'DE'?" in told
    assert "rules.0.category: the rule binds nothing, no item has the category 'newz'; did you mean 'news'?" in told


def changed_byte(path: Path) -> None:
    text = bytearray(path.read_bytes())
    text[-1] ^= 1
    path.write_bytes(text)


DAMAGE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "another byte": ("push.item_factors.npy", changed_byte, "damaged, its sha256 is not the manifest's"),
    "a file cut short": ("push.item_factors.npy", lambda path: path.write_bytes(path.read_bytes()[:-8]), "bytes where the manifest says"),
    "a missing file": ("items.parquet", Path.unlink, "missing, though the manifest lists it"),
    "a manifest that is none": ("manifest.json", lambda path: path.write_text("{"), "damaged, not JSON"),
    "a pickle": ("user_row.npy", lambda path: path.write_bytes(b"\x80\x04K\x01."), "bytes where the manifest says"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_an_unreadable_model_is_told_and_train_mends_it(desk: Desk, name: str) -> None:
    file, harm, told = DAMAGE[name]
    (model,) = (desk.folder / ".notif_rec" / "models").iterdir()
    harm(model / file)
    text = refused(desk, 3, "plan", "--as-of", stamp(AS_OF + 2 * DAY))
    assert told in text and str(model) in text and "run `notif-rec train`" in text
    desk.call("train", "--as-of", NOW)
    assert desk.call("plan", "--as-of", stamp(AS_OF + 2 * DAY))["plan_id"]


def test_a_plan_gone_stale(desk: Desk) -> None:
    stale = desk.call("status")["last_plan"]
    other = desk.call("plan", "--as-of", stamp(AS_OF + 2 * DAY))["plan_id"]
    desk.call("apply", other)
    assert f"plan {stale} is stale: another apply or release changed the ledger" in refused(desk, 75, "apply", stale)


def test_a_lock_that_is_held(desk: Desk) -> None:
    code = "import fcntl, sys; held = open(sys.argv[1], 'a'); fcntl.flock(held, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
    lock = str(desk.folder / ".notif_rec" / "lock")
    with subprocess.Popen([sys.executable, "-c", code, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        for line in (("apply", "latest"), ("run", "--as-of", NOW), ("release", "latest"), ("ingest", "users", desk.folder / "users.csv")):
            assert "lock: held by" in refused(desk, 75, *line)
        assert desk.call("status")["users"] == len(USERS), "readers go on"
        holder.communicate()
    assert desk.call("apply", "latest")["applied"]


def test_a_store_on_a_network_disk(desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nnas:/export {desk.folder.parent} nfs4 rw 0 0\n")
    monkeypatch.setattr(place, "MOUNTS", mounts)
    for line in (("plan", "--as-of", NOW), ("status",), ("ingest", "users", desk.folder / "users.csv")):
        assert "the store lies on a network file system (nfs4)\nput it on a local disk: --store DIR" in refused(desk, 78, *line)


def test_a_source_that_shrank_is_missing_or_is_two_days_old(desk: Desk) -> None:
    later = stamp(AS_OF + DAY)
    users = (desk.folder / "users.csv").read_text()
    (desk.folder / "users.csv").write_text("".join(users.splitlines(keepends=True)[: len(USERS) // 2 + 1]))
    assert f"{len(USERS) // 2} rows where at least {len(USERS)} are usual, a loss of 50%" in refused(desk, 3, "run", "--as-of", later)
    (desk.folder / "users.csv").unlink()
    assert "sources.users: no file matches users.csv" in refused(desk, 3, "run", "--as-of", later)
    (desk.folder / "users.csv").write_text(users)
    answer, lists = desk.try_("run", "--as-of", stamp(AS_OF + 2 * DAY)), sorted((desk.folder / "send_lists").iterdir())
    assert (answer.code, len(lists)) == (3, 1), "what was read stays, nothing was planned"
    assert "the newest event is from 2026-10-05T05:00:00Z, 49 hours before" in answer.told["error"]
    assert desk.call("run", "--as-of", later)["apply"]["applied"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB; skips where this user may not mount one."""
    disk = tmp_path / "small"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no right to mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


STEPS: dict[str, tuple[str, ...]] = {
    "ingest": ("ingest", "events", "more.csv"),
    "train": ("train", "--as-of", stamp(AS_OF + DAY / 2)),
    "plan": ("plan", "--as-of", stamp(AS_OF + 2 * DAY)),
    "apply": ("apply", "latest"),
    "recommend": ("recommend", "--channel", "push", "-k", "200", "-o", "top.csv"),
}


@pytest.mark.parametrize("step", STEPS)
def test_a_full_disk_changes_nothing_and_the_command_succeeds_once_there_is_room(
    ready: Desk, small: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    desk = Desk(small / "desk")
    shutil.copytree(ready.folder, desk.folder)
    monkeypatch.chdir(desk.folder)
    desk.write("more.csv", [event(f"{u}-{n}", "i1", "", "view", AS_OF - n * DAY) for u in USERS for n in range(40)])
    filler = small / "filler"
    for spare in (0, 1, 12)[: 1 + 2 * (step != "recommend")]:  # pages: at once, and somewhere on the way
        with filler.open("wb") as stream:
            stream.write(b"\0" * (shutil.disk_usage(small).free - spare * 4096))
        text = refused(desk, 1, *STEPS[step])
        assert "disk" in text and "free some space" in text
        filler.unlink()
    assert desk.try_(*STEPS[step]).code == 0


def test_lists_that_meet_a_full_disk_are_finished_by_the_next_apply(ready: Desk, small: Path, tmp_path: Path) -> None:
    desk = Desk(tmp_path / "desk")
    shutil.copytree(ready.folder, desk.folder)
    out, filler = small / "lists", small / "filler"
    filler.write_bytes(b"\0" * shutil.disk_usage(small).free)
    answer = desk.try_("apply", "latest", "-o", out)
    plan_id = desk.call("status")["last_plan"]
    assert answer.code == 1
    assert f"the sends of plan {plan_id} are recorded, its lists are not written" in answer.told["error"]
    assert f"free some space and run `notif-rec apply {plan_id}` again" in answer.told["fix"]
    assert not (out / plan_id).exists()
    filler.unlink()
    assert desk.call("apply", plan_id, "-o", out)["applied"] is False
    assert json.loads((out / plan_id / "manifest.json").read_text())["plan_id"] == plan_id
    assert desk.call("audit")["violations"] == 0
