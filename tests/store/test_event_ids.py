from __future__ import annotations

import pyarrow as pa
import pytest

from notif_rec.errors import ConfigError
from notif_rec.store import event_ids
from notif_rec.store.event_ids import hashes_path
from notif_rec.store.ids import user_hash
from notif_rec.store.store import Store
from tests.store.rows import START, event, table

HOUR = 3_600_000_000


def known(store: Store, *ids: str | None) -> list[bool]:
    flags = store.known_event_ids(pa.array(ids, pa.string()))
    assert flags.type == pa.bool_()
    return list(flags.to_pylist())


def test_known_ids_are_found_in_every_segment(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event(u, n, n, event_id=f"e{u}") for n, u in enumerate("abcdefgh")])})
    store.commit("ingest", {"events": table("events", [event("a", 0, 9, event_id="é"), event("a", 0, 9)])})
    store.commit("ingest", {"events": table("events", [event("a", 0, 9)])})
    assert known(store, "eh", None, "e", "é", "ea", "eh", "ez") == [True, False, False, True, True, True, False]
    assert known(store) == []
    chunked = store.known_event_ids(pa.chunked_array([["zz", None], ["eb"]]))
    assert chunked.to_pylist() == [False, False, True]


def test_segments_without_ids_have_no_hashes(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event("a", 0, 9)])})
    (segment,) = store.segments("events")
    assert (segment.event_ids, hashes_path(store.root / segment.path).exists()) == (0, False)


def test_the_hashes_are_sorted_and_ours(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event(u, 0, 1, event_id=f"e{u}") for u in "abcd"])})
    (segment,) = store.segments("events")
    hashes = event_ids.read_hashes(hashes_path(store.root / segment.path), 4)
    assert hashes.tolist() == sorted(user_hash(f"e{u}") for u in "abcd")


def test_a_meeting_of_hashes_is_not_enough(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_ids, "user_hash_sql", lambda text: f"(length({text}) % 2)::UBIGINT")
    store.commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="e1"), event("a", 0, 2, event_id="e22")])})
    assert known(store, "e1", "x1", "e22", "x22") == [True, False, True, False]


def test_damaged_hashes_are_refused(store: Store) -> None:
    store.commit("ingest", {"events": table("events", [event("a", 0, 1, event_id="e1"), event("a", 0, 2, event_id="e2")])})
    path = hashes_path(store.root / store.segments("events")[0].path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ConfigError, match=r"\.ids\.npy: missing or damaged"):
        known(store, "e1")


def test_overlapping_names_the_files_of_a_span(store: Store) -> None:
    for hours in ((0, 5), (5, 9), (20, 21)):
        store.commit("ingest", {"events": table("events", [event("a", 0, h) for h in hours])})
    paths = [store.root / segment.path for segment in store.segments("events")]
    zero = round((START - START.__class__(1970, 1, 1)).total_seconds()) * 1_000_000
    spans = [(0, 4), (5, 5), (10, 19), (21, 99), (-9, -1)]
    found = [store.overlapping("events", zero + low * HOUR, zero + high * HOUR) for low, high in spans]
    assert found == [[paths[0]], [paths[0], paths[1]], [], [paths[2]], []]
