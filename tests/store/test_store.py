from __future__ import annotations

import json
import os
import pickle
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notif_rec.errors import BugError, TryAgainError
from notif_rec.store.ids import bucket_of
from notif_rec.store.store import Store, Version
from notif_rec.tables import STORED
from tests.store.rows import START, add_users, event, release, rows_of, send, table

VIEWS = {"user_ids", "item_ids", "events", "users_log", "items_log", "suppressions_log", "sends", "releases"}


def test_an_empty_store_has_every_view_with_its_types(store: Store) -> None:
    with store.connect() as connection:
        for name in VIEWS | {"users", "items", "suppressions", "ledger"}:
            assert connection.execute(f"SELECT count(*) FROM {name}").fetchall() == [(0,)], name
        empty = {name: connection.sql(f"FROM {name}").to_arrow_table().schema for name in STORED if name + "_log" not in VIEWS}
    assert {name: schema.types for name, schema in empty.items()} == {name: STORED[name].types for name in empty}


def test_what_is_committed_comes_back_in_its_types(store: Store) -> None:
    user = {"bucket": bucket_of("a"), "user": 0, "timezone": "Asia/Kathmandu", "created_at": START}
    maps = {"consent": [("push", "yes")], "consent_at": [("push", START)], "attributes": [("country", "DE")]}
    given = table("users", [user | maps])
    store.commit("users", {"users": given})
    with store.connect() as connection:
        back = connection.sql("FROM users").to_arrow_table()
    assert back.drop_columns("seq").to_pylist() == given.drop_columns("seq").to_pylist()
    assert back.schema.types == STORED["users"].types


def test_versions_move_as_promised(store: Store) -> None:
    assert store.version() == Version(0, 0)
    assert store.commit("ingest", {"events": table("events", [event("a", 0, 1)])}) == 1
    assert store.version() == Version(1, 0)
    assert store.commit("apply", {"sends": table("sends", [send("a", 0, 30, "k1")])}, ledger=True, expect_ledger=0) == 2
    assert store.version() == Version(2, 1)


def test_a_stale_ledger_version_changes_nothing(store: Store) -> None:
    store.commit("apply", {"sends": table("sends", [send("a", 0, 30, "k1")])}, ledger=True, expect_ledger=0)
    before = files_of(store)
    with pytest.raises(TryAgainError, match="ledger is at version 1, not 0"):
        store.commit("apply", {"sends": table("sends", [send("a", 0, 31, "k2")])}, ledger=True, expect_ledger=0)
    assert (store.version(), files_of(store)) == (Version(1, 1), before)


def test_the_newest_row_is_the_user(store: Store) -> None:
    add_users(store, ["a", "b"])
    for zone, users in (("Europe/Paris", ["a", "b"]), ("Asia/Tokyo", ["b"])):
        rows = [{"bucket": bucket_of(u), "user": "ab".index(u), "timezone": zone} for u in users]
        store.commit("users", {"users": table("users", rows)})
    assert rows_of(store, 'SELECT "user", timezone, seq FROM users ORDER BY 1') == [(0, "Europe/Paris", 2), (1, "Asia/Tokyo", 3)]
    assert rows_of(store, "SELECT count(*) FROM users_log") == [(3,)]


def test_items_carry_their_text_id_and_suppressions_are_distinct(store: Store) -> None:
    with store.lock():
        codes, new = store.item_codes(pa.array(["i9", "i10"]), create=True)
        store.commit("items", {"item_ids": new, "items": table("items", [{"item": c, "title": f"t{c}"} for c in codes.to_pylist()])})
    store.commit("items", {"items": table("items", [{"item": 0, "title": "newer"}])})
    for _ in range(2):
        store.commit("suppressions", {"suppressions": table("suppressions", [{"bucket": 1, "user": 5, "channel": ""}])})
    assert rows_of(store, "SELECT item_id, title FROM items ORDER BY 1") == [("i10", "newer"), ("i9", "t1")]
    assert rows_of(store, 'SELECT "user", channel, seq FROM suppressions') == [(5, "", 3)]


def test_the_ledger_knows_what_was_released_and_confirmed(store: Store) -> None:
    sends = [send("a", 0, 30, "k1"), send("a", 0, 31, "k2"), send("b", 1, 32, "k3"), send("b", 1, 33, "k4", kind="shadow")]
    store.commit("apply", {"sends": table("sends", sends)}, ledger=True)
    confirmations = [event("b", 1, 32.7, event="sent", confirms="k3"), event("b", 1, 32.4, event="sent", confirms="k3")]
    store.commit("ingest", {"events": table("events", [*confirmations, event("a", 0, 1, event="opened", confirms="k1")])})
    store.commit("release", {"releases": table("releases", [release("a", 0, "k2")])}, ledger=True)
    query = "SELECT send_key, released, confirmed, actual_at FROM ledger ORDER BY 1"
    hour = timedelta(hours=1)
    assert rows_of(store, query) == [
        ("k1", False, False, START + 30 * hour),
        ("k2", True, False, START + 31 * hour),
        ("k3", False, True, START + 32.4 * hour),
    ]


def test_a_key_reserved_again_is_confirmed_once(store: Store) -> None:
    store.commit("apply", {"sends": table("sends", [send("a", 0, 30, "k1")])}, ledger=True)
    store.commit("release", {"releases": table("releases", [release("a", 0, "k1")])}, ledger=True)
    store.commit("apply", {"sends": table("sends", [send("a", 0, 35, "k1", plan_id="p2")])}, ledger=True)
    store.commit("ingest", {"events": table("events", [event("a", 0, 36, event="sent", confirms="k1")])})
    query = "SELECT plan_id, released, confirmed, actual_at FROM ledger ORDER BY 1"
    hour = timedelta(hours=1)
    assert rows_of(store, query) == [("p1", True, False, START + 30 * hour), ("p2", False, True, START + 36 * hour)]


def test_an_older_version_reads_as_it_was(store: Store) -> None:
    seen = [store.version()]
    for n in range(4):
        store.commit("ingest", {"events": table("events", [event("a", 0, n), event("b", 1, n)])})
        seen.append(store.version())
    counts = [rows_of(store, "SELECT count(*), max(seq) FROM events", at) for at in seen]
    assert counts == [[(0, None)], [(2, 1)], [(4, 2)], [(6, 3)], [(8, 4)]]
    with pytest.raises(BugError, match="version 9 of the store is asked for, but 4 is the last"):
        store.connect(Version(9, 0))


def test_a_snapshot_taken_before_a_commit_never_sees_it(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
    with store.connect() as connection:
        store.commit("ingest", {"events": table("events", [event("a", 0, 2)])})
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(1,)]


def test_codes_follow_the_order_of_texts_and_stay(store: Store) -> None:
    assert add_users(store, ["b", "a", "b", "Ä", "B"]) == [2, 1, 2, 3, 0]
    assert add_users(store, ["c", "0", "a"]) == [5, 4, 1]
    codes, new = store.user_codes(pa.chunked_array([["a", None], ["zz", "c"]]), create=False)
    assert (codes.to_pylist(), codes.type, new.num_rows) == ([1, -1, -1, 5], pa.int32(), 0)
    known = rows_of(store, 'SELECT "user", user_id, bucket FROM user_ids ORDER BY 1')
    assert known == [(n, text, bucket_of(text)) for n, text in enumerate(["B", "a", "b", "Ä", "0", "c"])]
    assert store.item_codes(pa.array([], pa.string()), create=False)[0].to_pylist() == []


def test_codes_of_another_moment_are_refused(store: Store) -> None:
    with store.lock():
        _, stale = store.user_codes(pa.array(["x", "y"]), create=True)
        add_users(store, ["z"])
        with pytest.raises(BugError, match=r"user_ids: codes \(0, 1\) of 2 rows do not follow 0"):
            store.commit("users", {"user_ids": stale})
    with pytest.raises(BugError, match=r"outside of Store.lock\(\)"):
        store.user_codes(pa.array(["x"]), create=True)


def falling() -> Iterator[pa.Table]:
    for bucket in (7, 6):
        yield table("suppressions", [{"bucket": bucket, "user": 1, "channel": ""}])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (pa.table({"bucket": [1], "user": [2]}), "suppressions: columns \\['channel'\\] are missing or too many"),
        (falling(), "suppressions: bucket 6 comes after bucket 7"),
    ],
)
def test_rows_of_another_shape_are_refused(store: Store, rows: pa.Table, message: str) -> None:
    before = files_of(store)
    with pytest.raises(BugError, match=message):
        store.commit("suppressions", {"suppressions": rows})
    assert (store.version().seq, files_of(store)) == (0, before)


def test_a_user_twice_in_one_commit_is_refused(store: Store) -> None:
    twice = table("users", [{"bucket": 3, "user": 8, "timezone": z} for z in ("Asia/Tokyo", "Asia/Seoul")])
    with pytest.raises(BugError, match="users: 1 rows repeat a user of the same commit"):
        store.commit("users", {"users": twice})


def test_each_bucket_is_a_row_group_in_order_of_user_and_time(store: Store) -> None:
    rng = np.random.default_rng(3)
    users = rng.integers(0, 40, 500)
    rows = [event(f"u{u}", int(u), float(h)) for u, h in zip(users, rng.integers(0, 700, 500), strict=True)]
    store.commit("ingest", {"events": table("events", rows)})
    file = pq.ParquetFile(store.root / store.segments("events")[0].path)
    groups = [file.read_row_group(n) for n in range(file.num_row_groups)]
    buckets = [set(group.column("bucket").to_pylist()) for group in groups]
    assert [len(b) for b in buckets] == [1] * len({bucket_of(f"u{u}") for u in users})
    assert [min(b) for b in buckets] == sorted(min(b) for b in buckets)
    keys = [list(zip(g.column("user").to_pylist(), g.column("timestamp").to_pylist(), strict=True)) for g in groups]
    assert keys == [sorted(k) for k in keys]
    times = [row["timestamp"] for row in rows]
    segment = store.segments("events")[0]
    assert (segment.min_us, segment.max_us, segment.rows) == (microseconds(min(times)), microseconds(max(times)), 500)


def test_one_bucket_reads_its_rows_alone(store: Store) -> None:
    """Holds the shape of the views: a filter on the bucket must reach every scan below them."""
    rows = [event(f"u{n}", n, n % 50, event="sent", confirms=f"k{n}") for n in range(3000)]
    store.commit("ingest", {"events": table("events", rows)})
    users = [{"bucket": bucket_of(f"u{n}"), "user": n} for n in range(3000)]
    store.commit("users", {"users": table("users", users)})
    store.commit("apply", {"sends": table("sends", [send(f"u{n}", n, 9, f"k{n}") for n in range(3000)])})
    store.commit("release", {"releases": table("releases", [release(f"u{n}", n, f"k{n}") for n in range(0, 3000, 3)])})
    scans = {"events": 1, "users": 2, "ledger": 5}  # how often each reads a table
    for view, count in scans.items():
        with store.connect() as connection:
            plan = connection.execute(f"EXPLAIN (ANALYZE, FORMAT json) SELECT * FROM {view} WHERE bucket = 7").fetchall()[0][1]
        assert groups_scanned(json.loads(plan)) == [1] * count, plan


def groups_scanned(node: Any) -> list[int]:
    """How many row groups each scan of a plan really read."""
    children = [*node.get("operator", []), *node.get("children", [])]
    own = [node["row_groups_scanned"]] if node.get("type") == "TABLE_SCAN" else []
    return own + [count for child in children for count in groups_scanned(child)]


def test_a_commit_reads_no_earlier_events(store: Store) -> None:
    for n in range(20):
        store.commit("ingest", {"events": table("events", [event("a", 0, n, event_id=f"e{n}")])})
    earlier = [store.root / segment.path for segment in store.segments("events")]
    for path in earlier:
        path.rename(path.with_suffix(".away"))
    with store.lock():  # the files are away: whoever opens one fails; the sweep of the next lock would take them
        codes, new = store.user_codes(pa.array(["a", "b"]), create=True)
        assert store.known_event_ids(pa.array(["f1", "f2"])).to_pylist() == [False, False]
        assert store.overlapping("events", 0, 9) == []
        store.commit("ingest", {"user_ids": new, "events": table("events", [event("b", c, 1) for c in codes.to_pylist()])})
        with pytest.raises(duckdb.IOException):
            store.known_event_ids(pa.array(["e1"]))


def test_files_are_private_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store.create(tmp_path / "deep" / "store")
        store.commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="e1")])})
    finally:
        os.umask(old)
    paths = [store.root, *store.root.rglob("*")]
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in paths}
    wanted = {path.name: 0o700 if path.is_dir() else 0o600 for path in paths}
    assert (modes, len(paths)) == (wanted, 11)


def test_a_folder_of_any_name_works(tmp_path: Path) -> None:
    store = Store.create(tmp_path / "it's [a] *store? é")
    store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
    assert rows_of(store, "SELECT count(*) FROM events") == [(1,)]


def test_creating_again_keeps_what_is_there(store: Store) -> None:
    add_users(store, ["a"])
    assert Store.create(store.root).version() == store.version()


def test_a_snapshot_travels_to_workers(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event("a", 0, 1)])})
    snapshot = pickle.loads(pickle.dumps(store.snapshot()))
    with snapshot.connect() as connection:
        assert connection.execute("SELECT count(*) FROM events").fetchall() == [(1,)]
    assert [path.is_file() for path in snapshot.files("events")] == [True]


EVENTS = st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 5000), st.sampled_from(["view", "sent"])), max_size=30)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVENTS, st.lists(st.integers(0, 30), max_size=3))
def test_commits_in_any_split_give_the_same_views(
    tmp_path_factory: pytest.TempPathFactory, facts: list[tuple[str, int, str]], cuts: list[int]
) -> None:
    rows = [event(u, "abcdef".index(u), h, event=kind, confirms=f"k{u}" if kind == "sent" else None) for u, h, kind in facts]
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    views = []
    for parts in ([rows], [rows[a:b] for a, b in pairwise(bounds)]):
        store = Store.create(tmp_path_factory.mktemp("s") / "store")
        store.commit("apply", {"sends": table("sends", [send(u, n, 9, f"k{u}") for n, u in enumerate("abcdef")])})
        for part in parts:
            store.commit("ingest", {"events": table("events", part)})
        views.append([rows_of(store, f"SELECT * EXCLUDE (seq) FROM {view} ORDER BY ALL") for view in ("events", "ledger")])
    assert views[0] == views[1]
    assert len(views[0][0]) == len(rows)


def files_of(store: Store) -> set[str]:
    return {str(path.relative_to(store.root)) for path in store.root.rglob("*") if path.is_file()} - {"lock"}


def microseconds(moment: datetime) -> int:
    return round((moment - datetime(1970, 1, 1)) / timedelta(microseconds=1))
