"""A small trained store with awkward users, and one Spark session for all tests that want it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from notif_rec.engines.spark_needs import needs
from tests.conftest import NO_SPARK
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import GENEROUS, World, random_world, stamp

ROOT = Path(__file__).parents[2]
SEED = 14
MASTER = "local[2]"


@pytest.fixture(scope="session")
def world() -> World:
    """Sixty users with quotas and a weekly budget that bind, exploration and a holdout; one of them has as much history as all others
    together.
    """
    quotas = [{"item": "any", "max_sends": 9}]
    world = random_world(SEED, n_users=60, quotas=quotas, exploration=0.3, holdout=0.1, **GENEROUS)
    next(iter(world.policy["channels"].values()))["weekly"] = {"budget": 60}
    busy, items = world.users[0]["user_id"], [row["item_id"] for row in world.items]
    for n in range(len(world.events)):
        at = stamp(world.as_of - timedelta(hours=1 + n % 900))
        world.events.append({"user_id": busy, "item_id": items[n % len(items)], "channel": "", "event": "view", "timestamp": at})
    return world


@pytest.fixture(scope="session")
def trained(world: World, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The world ingested and trained; copy it before a command that changes it."""
    desk = Desk(tmp_path_factory.mktemp("trained"))
    world.write(desk)
    world.ingest(desk)
    desk.call("train", "--as-of", stamp(world.as_of))
    return desk


@pytest.fixture
def desk(trained: Desk, tmp_path: Path) -> Desk:
    """A copy of the trained world."""
    return copied(trained, tmp_path / "desk")


def copied(desk: Desk, folder: Path) -> Desk:
    """The workspace once more."""
    shutil.copytree(desk.folder, folder)
    return Desk(folder, desk.jobs)


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., object]]:
    """Opens engines over one session; skips where Spark cannot run here."""
    lacking = [need for need in needs(os.environ.get("JAVA_HOME")) if need.fix]
    if lacking:
        pytest.skip(f"{NO_SPARK}: {lacking[0].found} ({lacking[0].fix})")
    from notif_rec.engines.spark import open_spark

    settings = {"spark.executorEnv.PYTHONPATH": str(ROOT), "spark.driver.memory": "512m"}
    engine = open_spark(MASTER, settings, tmp_path_factory.mktemp("spark"))

    def open_(**more: str) -> object:
        return open_spark(MASTER, {name.replace("__", "."): value for name, value in more.items()}, engine.log.parent)

    yield open_
    engine.session.stop()
