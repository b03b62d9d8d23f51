"""Spark gives what the local engine gives: the same bytes, through commands and workflows, however it cuts and whatever dies."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notif_rec.config import load_config
from notif_rec.engines.local import LocalEngine
from notif_rec.errors import ConfigError, DataError, NotifRecError
from notif_rec.workflows import plan as planning
from notif_rec.workflows.ingest import ingest
from notif_rec.workflows.plans import sends_path
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import World, stamp
from tests.engines import dying
from tests.engines.conftest import copied
from tests.engines.sameness import files, live_on, planned, silent, spread

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("spark")]
Open = Callable[..., Any]


@pytest.fixture(scope="session")
def local_plan(trained: Desk, world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], bytes]:
    """What Spark must come to."""
    manifest, sends = planned(copied(trained, tmp_path_factory.mktemp("local") / "desk"), world, LocalEngine(1))
    assert sum(manifest["sends"].values()) > 30 and manifest["prices"], "quotas bind, so that prices are searched"
    (weekly,) = manifest["weekly"].values()
    assert 0 < weekly["granted"] < weekly["wanted"] and weekly["price"] > 0, "the weekly budget binds, so that it has a price"
    return manifest, sends


@pytest.fixture(scope="session")
def free_desk(trained: Desk, world: World, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The world without quotas and budgets: one pass over the users."""
    return without_quotas(copied(trained, tmp_path_factory.mktemp("free") / "desk"), world)


@pytest.fixture(scope="session")
def free_plan(free_desk: Desk, world: World) -> tuple[dict[str, Any], bytes]:
    """What Spark must come to there."""
    return planned(free_desk, world, LocalEngine(1))


def without_quotas(desk: Desk, world: World, **more: Any) -> Desk:
    """The workspace with another policy, without a weekly budget either."""
    channels = {name: {key: value for key, value in own.items() if key != "weekly"} for name, own in world.policy["channels"].items()}
    desk.configure({**world.policy, "quotas": [], "channels": channels, **more})
    return desk


@pytest.mark.parametrize(("zone", "rows"), [("UTC", "10000"), ("America/New_York", "7")])
def test_the_plan_is_the_local_one_in_any_zone_and_any_cut(
    desk: Desk, world: World, spark: Open, local_plan: tuple[dict[str, Any], bytes], zone: str, rows: str
) -> None:
    engine = spark(spark__sql__session__timeZone=zone, spark__sql__execution__arrow__maxRecordsPerBatch=rows)
    assert planned(desk, world, engine) == local_plan


def test_a_worker_that_is_killed_once_changes_nothing(
    desk: Desk, world: World, spark: Open, free_plan: tuple[dict[str, Any], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    kills: list[Path] = []
    monkeypatch.setattr(planning, "PLAN", replace(planning.PLAN, load_context=dying.context_that_kills_once))
    monkeypatch.setattr(planning.shutil, "rmtree", lambda folder, **_: kills.extend(Path(folder).glob("context-*/killed")))
    assert planned(without_quotas(desk, world), world, spark()) == free_plan
    assert kills, "nobody was killed"


def test_ingest_train_and_evaluate_come_to_the_same(trained: Desk, world: World, spark: Open, tmp_path: Path) -> None:
    """From a folder of files to a model: the same rejects, the same segments but for their names, the same bytes of the model."""
    here, there = Desk(tmp_path / "here"), Desk(tmp_path / "there")
    folder = spread(world, tmp_path / "files")
    engine = spark(spark__sql__session__timeZone="Asia/Kolkata")
    told = [live_on(desk, world, folder, runs) for desk, runs in ((here, LocalEngine(1)), (there, engine))]
    assert told[0] == told[1]
    ingested, model_id, judged = told[0]
    assert ingested["rejected"] == 3 and len(ingested["files"]) == 3 and ingested["duplicates"] == 1
    assert judged["channels"]
    models = [desk.folder / ".notif_rec" / "models" / model_id for desk in (here, there)]
    assert files(models[0]) == files(models[1]) and len(files(models[0])) > 20
    assert not list((there.folder / ".notif_rec" / "tmp").iterdir()), "nothing is left behind"


def test_an_ingest_that_must_be_refused_is_refused_in_the_same_words(desk: Desk, spark: Open, tmp_path: Path) -> None:
    config, store = load_config(desk.folder / "notif_rec.yml"), desk.store
    bad = Desk(tmp_path).write("bad.csv", [{"user_id": "", "item_id": "", "channel": "", "event": "view", "timestamp": "x"}] * 30)
    words = []
    for path in (bad, tmp_path / "missing.csv", tmp_path / "empty"):
        for engine in (LocalEngine(1), spark()):
            (tmp_path / "empty").mkdir(exist_ok=True)
            with pytest.raises(DataError) as caught:
                ingest(store, config, "events", [path], engine=engine)
            words.append((type(caught.value), caught.value.problem, caught.value.fix))
    assert words[::2] == words[1::2]
    assert "30 of 30 records rejected" in words[0][1] and "no file with rows in this folder" in words[4][1]


def test_each_does_things_in_their_order_and_again_where_a_worker_dies(spark: Open, tmp_path: Path) -> None:
    steps: list[tuple[str, int, int]] = []
    found = spark().each(dying.double_or_die_once, [(n, tmp_path) for n in range(5)], "double", lambda *step: steps.append(step))
    assert list(found) == [0, 2, 4, 6, 8]
    assert {path.name for path in tmp_path.iterdir()} == {"killed-1", "killed-3"}
    assert steps[-1] == ("double", 5, 5)
    assert list(spark().each(dying.double_or_die_once, [], "double", silent)) == []


@pytest.mark.parametrize(
    ("work", "kind", "said"),
    [
        (dying.refuse, DataError, "7: not good"),
        (dying.stumble, NotifRecError, "work: Spark gave up a task: ZeroDivisionError: there is a hole here"),
        (dying.die, NotifRecError, "work: Spark gave up a task: its worker process ended each time, killed or out of memory"),
    ],
)
def test_work_that_fails_is_told_in_words(spark: Open, work: Any, kind: type[NotifRecError], said: str) -> None:
    with pytest.raises(kind) as caught:
        list(spark().each(work, [7], "work", silent))
    assert (type(caught.value), caught.value.problem) == (kind, said)
    assert caught.value.fix


def test_a_store_that_executors_do_not_see_is_refused(spark: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = spark()
    engine.refuse_hidden(tmp_path)
    monkeypatch.setattr(Path, "touch", lambda self, mode: None)  # as on a disk of the driver's own: no executor finds the file
    with pytest.raises(ConfigError, match="executors do not see it") as caught:
        engine.refuse_hidden(tmp_path)
    assert "be links to a disk that all machines mount" in caught.value.fix


def test_the_installed_command_plans_applies_and_audits_as_the_local_one(
    desk: Desk, world: World, spark: Open, free_desk: Desk, free_plan: tuple[dict[str, Any], bytes]
) -> None:
    engine = {"name": "spark", "master": "local[1]", "settings": {"spark.sql.session.timeZone": "Asia/Kathmandu"}}
    config = without_quotas(desk, world, engine=engine).folder / "notif_rec.yml"
    command = [sys.executable, "-m", "notif_rec.cli.main", "plan", "--as-of", stamp(world.as_of), "--json", "-c", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert all(line.startswith("warning: ") for line in done.stderr.splitlines()), "Spark speaks into its own log"
    told = json.loads(done.stdout)
    assert (told["plan_id"], told["value"], told["sends"]) == tuple(free_plan[0][key] for key in ("plan_id", "value", "sends"))
    assert sends_path(desk.store, told["plan_id"]).read_bytes() == free_plan[1]
    assert outcome(desk) == outcome(free_desk)


def outcome(desk: Desk) -> tuple[Any, dict[str, bytes]]:
    """What the audit says of the newest plan once it is applied, and the lists."""
    told = desk.call("apply", "latest")
    audit = desk.call("audit")
    assert told["applied"] and audit["sends"] > 30 and audit["violations"] == 0
    return audit, desk.lists(told["plan_id"])
