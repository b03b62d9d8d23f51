"""Steps from files to a plan through the workflows, on any engine, and what they tell and leave."""

from __future__ import annotations

import gzip
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.config import load_config
from notif_rec.store.store import Store
from notif_rec.workflows.evaluate import evaluate
from notif_rec.workflows.ingest import ingest
from notif_rec.workflows.plan import plan
from notif_rec.workflows.plans import sends_path
from notif_rec.workflows.train import train
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import World


def silent(stage: str, done: int, total: int) -> None:
    return None


def planned(desk: Desk, world: World, engine: Any) -> tuple[dict[str, Any], bytes]:
    """The plan's manifest and the bytes of its sends."""
    made = plan(desk.store, load_config(desk.folder / "notif_rec.yml"), world.as_of, engine, silent)
    assert made.made
    return dict(made.manifest), sends_path(desk.store, made.manifest["plan_id"]).read_bytes()


def spread(world: World, folder: Path) -> Path:
    """The events of the world over a plain, a packed and a Parquet file below a folder, with bad rows, and files that are no data."""
    desk, third = Desk(folder), len(world.events) // 3
    columns = list(dict.fromkeys(name for row in world.events for name in row))
    rows = [{name: row.get(name, "") for name in columns} for row in world.events]
    bad = [{**rows[0], "timestamp": "2026-11-31T00:00:00Z"}, {**rows[0], "channel": "pusch"}, {**rows[0], "user_id": ""}]
    plain = desk.write("a/plain.csv", [*rows[:third], bad[0], rows[0], bad[1]], columns)
    packed = desk.write("b/packed.csv", [*rows[third : 2 * third], bad[2]], columns)
    packed.with_name("packed.csv.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    pq.write_table(pa.Table.from_pylist(rows[2 * third :]), folder / "part-0000.parquet")
    (folder / "_SUCCESS").touch()
    plain.with_name(".plain.csv.crc").write_bytes(b"crc")
    return folder


def live_on(desk: Desk, world: World, folder: Path, engine: Any) -> tuple[dict[str, Any], str, Any]:
    """What ingest, train and evaluate told of the files."""
    config = load_config(desk.configure(world.policy))
    store = Store.create(desk.folder / ".notif_rec")
    found = ingest(store, config, "events", [folder], latest=world.as_of + timedelta(days=400), engine=engine).to_json()
    rejects = Path(found.pop("rejects_file")).read_text()
    made = train(store, config, world.as_of, engine=engine)
    judged = evaluate(store, config, world.as_of, timedelta(days=20), 5, engine=engine)
    assert ingest(store, config, "events", [folder], engine=engine).unchanged
    return {**found, "rejects": rejects}, made.model_id, judged.to_json()


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
