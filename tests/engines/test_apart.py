"""What work done apart needs, and leaves: no catalogue, no more of the store than its links, the same whoever does it and how often."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from notif_rec.config import load_config
from notif_rec.engines.engine import Task
from notif_rec.engines.local import LocalEngine
from notif_rec.engines.part import run_part
from notif_rec.errors import BugError, DataError
from notif_rec.store.store import Store
from notif_rec.workflows.ingest import ingest
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import World
from tests.engines.apart import SHARED, ElsewhereEngine, share
from tests.engines.sameness import files, live_on, planned, spread


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A disk that all machines mount."""
    folder = tmp_path / "shared"
    folder.mkdir()
    return folder


def test_every_step_comes_to_the_same_where_workers_see_the_links_alone(world: World, tmp_path: Path, shared: Path) -> None:
    here, there = Desk(tmp_path / "here"), Desk(tmp_path / "there")
    files_of_events = spread(world, tmp_path / "files")
    share(Store.create(there.folder / ".notif_rec").root, shared)
    elsewhere = ElsewhereEngine(there.folder / ".notif_rec")
    told = [live_on(desk, world, files_of_events, engine) for desk, engine in ((here, LocalEngine(1)), (there, elsewhere))]
    assert told[0] == told[1]
    models = [desk.folder / ".notif_rec" / "models" / told[0][1] for desk in (here, there)]
    assert files(models[0]) == files(models[1]) and len(files(models[0])) > 20
    assert decided(here, world, LocalEngine(1)) == decided(there, world, elsewhere)
    assert not list((shared / "tmp").iterdir()), "nothing is left behind"
    assert sorted(path.name for path in shared.iterdir()) == sorted(SHARED)


def decided(desk: Desk, world: World, engine: LocalEngine | ElsewhereEngine) -> tuple[dict[str, object], object]:
    """The plan, without what names the store that it was made in."""
    manifest, sends = planned(desk, world, engine)
    rows = pq.read_table(pa.BufferReader(sends)).drop_columns("plan_id").to_pylist()
    return {key: value for key, value in manifest.items() if key != "plan_id"}, rows


def test_the_paths_of_a_store_are_those_behind_its_links(tmp_path: Path, shared: Path, desk: Desk) -> None:
    before = desk.store.snapshot().files("events")
    share(desk.folder / ".notif_rec", shared)
    after = desk.store.snapshot().files("events")
    assert [path.name for path in before] == [path.name for path in after]
    assert all(path.is_relative_to(shared) for path in after)
    assert desk.call("doctor")["healthy"] and desk.call("plan")["sends"]


def test_a_file_that_was_named_relatively_is_told_so(desk: Desk, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    share(desk.folder / ".notif_rec", shared)
    Desk(tmp_path).write("bad.csv", [{"user_id": "", "item_id": "", "channel": "", "event": "view", "timestamp": "x"}] * 30)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        ingest(
            desk.store,
            load_config(desk.folder / "notif_rec.yml"),
            "events",
            [Path("bad.csv")],
            engine=ElsewhereEngine(desk.folder / ".notif_rec"),
        )
    assert caught.value.problem.startswith("bad.csv: 30 of 30 records rejected")


def test_a_part_with_a_column_of_another_type_is_refused_by_name(tmp_path: Path) -> None:
    right, wrong = pa.schema([("n", pa.int64()), ("t", pa.string())]), pa.schema([("n", pa.int64()), ("t", pa.timestamp("us", "UTC"))])
    for schema, found in ((wrong, "timestamp"), (right.remove(1), "missing")):
        with pa.ipc.new_file(tmp_path / "part", schema) as writer:
            writer.write_batch(pa.RecordBatch.from_pylist([{"n": 1}], schema))
        with pytest.raises(BugError, match=rf"part: column 't' is {found}.*, the task reads string"):
            run_part(Task(count, nothing, reads=right, writes=COUNT), tmp_path / "part", tmp_path / "out", tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["part"]


def test_a_part_is_the_same_bytes_however_it_is_cut_and_is_made_once(tmp_path: Path) -> None:
    reads = pa.schema([("n", pa.int64())])
    with pa.ipc.new_file(tmp_path / "part", reads) as writer:
        writer.write_batch(pa.record_batch([pa.array(range(20))], schema=reads))
    task = Task(twice, nothing, reads=reads, writes=COUNT)
    made = {rows: run_part(task, tmp_path / "part", tmp_path / f"out-{rows}", tmp_path, rows).read_bytes() for rows in (None, 1, 7, 20, 99)}
    assert len(set(made.values())) == 1
    again = tmp_path / "out-7"
    again.write_bytes(b"stands")
    assert run_part(task, tmp_path / "part", again, tmp_path).read_bytes() == b"stands"


COUNT = pa.schema([("n", pa.int64())])


def count(batch: pa.RecordBatch, context: None) -> pa.RecordBatch:
    return pa.record_batch([pa.array([batch.num_rows])], schema=COUNT)


def twice(batch: pa.RecordBatch, context: None) -> pa.RecordBatch:
    return pa.record_batch([pc.multiply(batch.column("n"), 2)], schema=COUNT)


def nothing(path: Path) -> None:
    return None
