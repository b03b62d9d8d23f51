"""`objective: uplift` through the front door: learned from who was held out; who is only annoyed is left alone, thin facts are told."""

from __future__ import annotations

import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.cli.main import main
from notif_rec.planning.chance import held_out
from notif_rec.scoring.incremental import BY_USER, RESPONSE, Incremental
from notif_rec.store.ids import bucket_of
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from tests.store.rows import table
from tests.workflows.lived import AS_OF, Event, build, config

N = 3000
USERS = [f"u{i:04d}" for i in range(N)]
FIRST = AS_OF - timedelta(days=20)
REGULAR = np.arange(N) % 2 == 0
HELD = held_out(pa.array(USERS), "notif-rec", 0.3)
CONFIG = """
version: 1
events: {view: 1, clicked: 4, opened: 1}
value: {unsubscribed: 0}
channels:
  push: {consent: yes, exclude_seen: false}
  email: {consent: yes, exclude_seen: false}
model: {factors: 16, iterations: 2}
"""


def world(root: Path, rare: float, regular: float) -> Store:
    """Regulars come on 3 of 7 days by themselves, others on half a day; a first push adds so many. No plan sends e-mail."""
    random, held = np.random.default_rng(1), HELD
    days = np.where(REGULAR, 3.0, 0.5) + ~held * np.where(REGULAR, regular, rare)
    past = [float(week + day) for week in (21, 1) for day in range(8)]  # before the plan, and before now
    events = [Event(user, f"i{u % 3}", at) for u, user in enumerate(USERS) for at in (past if REGULAR[u] else past[::8])]
    for u, user in enumerate(USERS):
        came = np.flatnonzero(random.random(7) < days[u] / 7)
        events += [Event(user, f"i{u % 3}", 19.5 - float(day)) for day in came]
    store = build(root, events, [{"item_id": f"i{i}"} for i in range(5)])
    version, settings = store.version(), {**config().to_json(), "holdout": 0.3}
    row = PlanRow("plan-1", FIRST, "hash", "model", version.seq, version.ledger, "applied", {"config": settings})
    store.commit("plan", {}, rows=[row])
    codes = store.user_codes(pa.array(USERS), create=False)[0].to_pylist()
    rows = [
        {
            "bucket": bucket_of(USERS[u]), "user": codes[u], "send_key": f"k{u}", "channel": "push", "send_at": FIRST + timedelta(hours=1),
            "position": 1, "item": 0, "item_class": "marketing", "kind": "shadow" if held[u] else "send", "explored": False,
            "plan_id": "plan-1",
        }
        for u in range(N)
    ]  # fmt: skip
    store.commit("apply", {"sends": table("sends", sorted(rows, key=lambda r: r["bucket"]))}, ledger=True)
    return store


def run(folder: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json", "-c", str(folder / "notif_rec.yml"), "--store", str(folder / ".notif_rec")]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def planned(folder: Path, capsys: pytest.CaptureFixture[str], objective: str) -> tuple[dict[str, Any], dict[str, list[dict[str, str]]]]:
    """What train says, and the push list by user."""
    (folder / "notif_rec.yml").write_text(CONFIG + f"objective: {objective}\n")
    told = run(folder, capsys, "train", "--as-of", AS_OF.isoformat() + "Z")
    plan = run(folder, capsys, "plan", "--as-of", AS_OF.isoformat() + "Z", "-o", str(folder / objective))
    lists: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader((folder / objective / plan["plan_id"] / "push.csv").read_text().splitlines()):
        lists.setdefault(row["user_id"], []).append(row)
    return told, lists


@pytest.fixture(scope="module")
def divided(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A message brings those who are rarely there, and drives the regulars away."""
    folder = tmp_path_factory.mktemp("divided")
    world(folder / ".notif_rec", 0.8, -1.2)
    return folder


def test_who_would_only_be_driven_away_is_left_alone(divided: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, sent = planned(divided, capsys, "uplift")
    push = told["uplift"]["push"]
    assert (push["kind"], push["held_out"], push["treated"]) == (BY_USER, HELD.sum(), N - HELD.sum())
    assert push["qini"]["low"] > 0 and push["messages"] == 1.0
    truth = np.where(REGULAR, -1.2, 0.8).mean()
    assert push["effect"]["low"] < truth < push["effect"]["high"]
    regulars = {user for user, regular in zip(USERS, REGULAR, strict=True) if regular}
    assert not regulars & set(sent), "nothing with negative uplift is sent"
    assert len(sent) > 0.95 * (N - len(regulars))
    values = np.array([float(rows[0]["value"]) for rows in sent.values()])
    assert values.mean() == pytest.approx(0.8, abs=0.25), "a visit is worth `clicked`"
    assert told["uplift"]["email"]["kind"] == RESPONSE
    assert "email: 0 held-out and 0 treated users had a first message" in told["notes"][-1]


def test_explain_shows_both(divided: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned(divided, capsys, "uplift")
    for user, anyway, added in ((USERS[0], 3.0, -1.2), (USERS[1], 0.5, 0.8)):
        fates = run(divided, capsys, "explain", user)["candidates"]
        push, email = (next(f for f in fates if f["channel"] == name) for name in ("push", "email"))
        assert push["without"] == pytest.approx(anyway, abs=0.5) and push["uplift"] == pytest.approx(added, abs=0.4)
        assert np.sign(push["value"]) == np.sign(added)
        assert email["uplift"] is None
    assert main(["explain", USERS[1], "-c", str(divided / "notif_rec.yml"), "--store", str(divided / ".notif_rec")]) == 0
    assert "without\tuplift" in capsys.readouterr().out


def test_by_response_everybody_gets_something(divided: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, sent = planned(divided, capsys, "response")
    assert told["uplift"] is None
    assert len(sent) == N


def test_what_the_holdout_cannot_tell_falls_back_to_response(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Groups are as they were drawn; what they did is the same: the lists are those of `response`, and train and plan say why."""
    store = world(tmp_path / ".notif_rec", 0.0, 0.0)
    told, sent = planned(tmp_path, capsys, "uplift")
    assert told["uplift"]["push"]["kind"] == RESPONSE
    assert "push: what a message adds cannot be told from nothing" in " ".join(told["notes"])
    plain = planned(tmp_path, capsys, "response")[1]
    again = planned(tmp_path, capsys, "uplift")
    assert not again[0]["fresh"] and again[0]["model_id"] == told["model_id"], "each objective keeps its model, and plan finds it"
    row = store.plans()[0]
    settings = {**row.manifest["config"], "holdout": 0.1}  # three times as many have shadows as that draws
    store.commit("plan", {}, rows=[PlanRow("plan-1", FIRST, "h", "m", row.seq, row.ledger, "applied", {"config": settings})])
    later = run(tmp_path, capsys, "train", "--as-of", (AS_OF + timedelta(hours=1)).isoformat() + "Z")
    assert "quotas or rules sort the groups" in later["uplift"]["push"]["why"]
    assert {user: rows[0]["value"] for user, rows in sent.items()} == {user: rows[0]["value"] for user, rows in plain.items()}


def test_a_model_of_the_other_objective_is_not_planned_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build(tmp_path / ".notif_rec", [Event("u1", "i1", 3.0), Event("u2", "i2", 3.0)])
    planned(tmp_path, capsys, "response")
    (tmp_path / "notif_rec.yml").write_text(CONFIG + "objective: uplift\n")
    at = ["--as-of", AS_OF.isoformat() + "Z", "-c", str(tmp_path / "notif_rec.yml")]
    assert main(["plan", *at]) == 3
    assert "was trained for `objective: response` and does not know what sends add\n  fix: run `notif-rec train`" in capsys.readouterr().err
    assert main(["train", *at]) == 0
    assert main(["plan", *at]) == 0
    assert "no applied plan held users out (config `holdout`)" in capsys.readouterr().err


def test_the_model_keeps_it_as_text(divided: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told, _ = planned(divided, capsys, "uplift")
    text = (divided / ".notif_rec" / "models" / told["model_id"] / "uplift.json").read_text()
    assert Incremental.from_json(text).to_json() == text


def test_an_unknown_objective_is_told_with_the_nearest_word(divided: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (divided / "notif_rec.yml").write_text(CONFIG + "objective: uplfit\n")
    assert main(["config", "check", "-c", str(divided / "notif_rec.yml")]) == 78
    assert "'uplfit' is not one of response, uplift; did you mean 'uplift'?" in capsys.readouterr().err
