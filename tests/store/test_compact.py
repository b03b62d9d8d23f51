from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notif_rec.store import compact as merging
from notif_rec.store.compact import compact
from notif_rec.store.event_ids import hashes_path
from notif_rec.store.store import Store, Version
from tests.store.rows import START, add_users, event, rows_of, send, table

DAY = timedelta(days=1)
APRIL_9 = datetime(2026, 4, 9)


def add_days(store: Store, days: list[float], rows: int = 1) -> None:
    for day in days:
        events = [event("abc"[n % 3], n % 3, day * 24 + n / 100, event_id=f"{day}/{n}") for n in range(rows)]
        store.commit("ingest", {"events": table("events", events)})


def days_of(store: Store) -> list[tuple[int, int]]:
    """First and last day of each segment, counted from March 1."""
    zero = round((START - datetime(1970, 1, 1)) / timedelta(microseconds=1))
    day = 86_400_000_000
    return [((s.min_us or 0) // day - zero // day, (s.max_us or 0) // day - zero // day) for s in store.segments("events")]


def test_days_of_finished_months_become_one_segment(store: Store) -> None:
    add_days(store, [-2, -1, 0, 1, 30, 31, 32])  # 27 February … 2 April
    assert compact(store, APRIL_9) == 1 + 2
    assert days_of(store) == [(31, 31), (32, 32), (-2, -1), (0, 30)]
    assert compact(store, APRIL_9) == 0


def test_merging_changes_no_version_that_anyone_can_read(store: Store) -> None:
    add_days(store, [0, 1, 40, 2], rows=5)
    store.commit("apply", {"sends": table("sends", [send("a", 0, 7, "k1")])}, ledger=True)
    store.commit("apply", {"sends": table("sends", [send("b", 1, 8, "k2")])}, ledger=True)
    versions = [Version(seq, 0) for seq in range(7)]
    queries = ["SELECT * FROM events ORDER BY ALL", "SELECT * FROM ledger ORDER BY ALL"]
    before = [rows_of(store, query, at) for query in queries for at in versions]
    assert compact(store, APRIL_9) == 2 + 1
    assert [rows_of(store, query, at) for query in queries for at in versions] == before
    assert len(before[4]) == 20
    assert store.version().ledger == 2
    flags = store.known_event_ids(pa.array(["0/0", "2/4", "2/5"]))
    assert flags.to_pylist() == [True, True, False]


def test_replaced_files_stay_until_the_next_merge(store: Store) -> None:
    add_days(store, [0, 1])
    old = [store.root / s.path for s in store.segments("events")]
    with store.connect() as reader:
        compact(store, APRIL_9)
        compact(store, APRIL_9)  # nothing to merge
        assert [path.exists() for path in old] == [True, True]
        assert reader.execute("SELECT count(*) FROM events").fetchall() == [(2,)]
    add_days(store, [32, 33])
    compact(store, APRIL_9 + 30 * DAY)
    assert [path.exists() or hashes_path(path).exists() for path in old] == [False, False]
    assert rows_of(store, "SELECT count(*) FROM events") == [(4,)]


def test_the_history_of_users_is_kept(store: Store) -> None:
    for n in range(18):
        add_users(store, [f"u{n}", "u0"])
        store.commit("users", {"users": table("users", [{"bucket": 3, "user": 0, "timezone": f"zone {n}"}])})
    before = [rows_of(store, "SELECT timezone FROM users", Version(seq, 0)) for seq in (2, 20, 36)]
    assert compact(store, APRIL_9) == 17 + 17
    assert [len(store.segments(name)) for name in ("users", "user_ids")] == [1, 1]
    assert [rows_of(store, "SELECT timezone FROM users", Version(seq, 0)) for seq in (2, 20, 36)] == before
    assert before == [[("zone 0",)], [("zone 9",)], [("zone 17",)]]
    assert add_users(store, ["u0", "new", "u17"]) == [0, 18, 17]


def test_a_segment_that_outweighs_the_rest_is_not_rewritten(store: Store) -> None:
    add_days(store, [0], rows=50)
    add_days(store, [1])
    assert compact(store, APRIL_9) == 0
    add_days(store, [2, 3])
    assert compact(store, APRIL_9) == 2
    assert [s.rows for s in store.segments("events")] == [50, 3]


def test_a_segment_of_many_months_is_left_alone(store: Store) -> None:
    add_days(store, [5, 6])
    wide = [event("a", 0, -24 * 200), event("a", 0, 24 * 5)]
    store.commit("ingest", {"events": table("events", wide)})
    assert compact(store, APRIL_9) == 1
    assert days_of(store) == [(-200, 5), (5, 6)]


def test_many_segments_of_an_unfinished_month_are_merged(store: Store) -> None:
    add_days(store, [40 + n / 10 for n in range(merging.MANY)])
    assert compact(store, APRIL_9) == 0
    add_days(store, [42])
    assert compact(store, APRIL_9) == merging.MANY


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(-40, 60), st.booleans()), min_size=1, max_size=8))
def test_merging_at_any_moment_keeps_every_row(tmp_path_factory: object, steps: list[tuple[int, bool]]) -> None:
    store = Store.create(tmp_path_factory.mktemp("s") / "store")  # type: ignore[attr-defined]
    for day, merge in steps:
        add_days(store, [day], rows=3)
        if merge:
            compact(store, APRIL_9)
    assert sorted(rows_of(store, "SELECT event_id FROM events")) == sorted((f"{day}/{n}",) for day, _ in steps for n in range(3))
