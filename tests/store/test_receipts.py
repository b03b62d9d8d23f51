"""Receipts: a key confirms its send; without one the nearest open send of the same user, channel and item within 24 hours."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notif_rec.config import Config
from notif_rec.store import receipts
from notif_rec.store.store import Store
from notif_rec.workflows.ingest import ingest
from tests.store.rows import START, release, send, table

HOUR_US = 3_600_000_000
START_US = int((START - datetime(1970, 1, 1)) / timedelta(microseconds=1))


def key(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, name))


A, B, C = key("a"), key("b"), key("c")


def receipt(hours: float, user: int = 0, item: int = 3, channel: str = "push", send_key: str | None = None) -> dict[str, Any]:
    return {"user": user, "item": item, "channel": channel, "us": START_US + int(hours * HOUR_US), "send_key": send_key}


def confirmed(store: Store, rows: list[dict[str, Any]]) -> dict[int, str]:
    """place of a receipt -> the send that it confirms."""
    types = {"place": pa.int64(), "user": pa.int32(), "item": pa.int32(), "channel": pa.string(), "us": pa.int64(), "send_key": pa.string()}
    numbered = [{"place": 10 * n, **row} for n, row in enumerate(rows)]
    found = receipts.find_confirmed(store, pa.Table.from_pylist(numbered, schema=pa.schema(list(types.items()))))
    places = found.column("place").to_pylist()
    assert len(set(places)) == len(places)
    return {place // 10: name for place, name in zip(places, found.column("send_key").to_pylist(), strict=True)}


def reserve(store: Store, *rows: dict[str, Any]) -> None:
    store.commit("apply", {"sends": table("sends", list(rows))}, ledger=True)


def test_no_sends_no_confirmations(store: Store) -> None:
    assert confirmed(store, [receipt(1, send_key=A), receipt(1)]) == {}
    reserve(store, send("a", 0, 1, A))
    assert confirmed(store, []) == {}


def test_a_key_confirms_its_send_whenever_it_was_sent(store: Store) -> None:
    reserve(store, send("a", 0, 10, A), send("a", 0, 10, A, position=2, item=4), send("b", 1, 10, B))
    rows = [
        receipt(10.1, item=3, send_key=A),
        receipt(10.1, item=4, send_key=A),
        receipt(10, user=1, send_key=A),
        receipt(9, send_key="foreign"),
    ]
    assert confirmed(store, rows) == {0: A, 1: A}, "another user's key, and a key of another system, confirm nothing"
    assert confirmed(store, [receipt(24 * 200, user=1, send_key=B)]) == {0: B}, "200 days late"


def test_without_a_key_user_channel_and_item_must_fit(store: Store) -> None:
    reserve(store, send("a", 0, 10, A))
    for wrong in (
        receipt(10, user=1),
        receipt(10, item=4),
        receipt(10, item=-1),
        receipt(10, channel="email"),
        receipt(34.01),
        receipt(-14.01),
    ):
        assert confirmed(store, [wrong]) == {}
    for right in (receipt(10), receipt(34), receipt(-14)):
        assert confirmed(store, [right]) == {0: A}


def test_the_nearest_is_confirmed_and_each_once(store: Store) -> None:
    reserve(store, send("a", 0, 10, A), send("a", 0, 20, B), send("a", 0, 45, C))
    assert confirmed(store, [receipt(14), receipt(14.5), receipt(16)]) == {0: A, 1: B}
    assert confirmed(store, [receipt(17), receipt(10)]) == {0: B, 1: A}
    assert confirmed(store, [receipt(15)]) == {0: min(A, B)}, "equally near: by key"


def test_one_time_is_one_message_however_many_items(store: Store) -> None:
    reserve(
        store,
        send("a", 0, 10, A, item=3),
        send("a", 0, 10, A, item=4, position=2),
        send("a", 0, 10, B, item=3),
        send("a", 0, 12, C, item=5),
    )
    assert confirmed(store, [receipt(10, item=3), receipt(10, item=4), receipt(10, item=9)]) == {0: A, 1: A, 2: A}, "most items in common"
    assert confirmed(store, [receipt(11.5, item=5), receipt(11.5, item=3)]) == {0: C, 1: C}
    assert confirmed(store, [receipt(10, item=4), receipt(10.5, item=3)]) == {0: A, 1: B}


def test_released_shadow_and_confirmed_sends_are_not_confirmed_again(store: Store) -> None:
    reserve(store, send("a", 0, 10, A), send("b", 1, 10, B, kind="shadow"))
    store.commit("release", {"releases": table("releases", [release("a", 0, A)])}, ledger=True)
    assert confirmed(store, [receipt(10), receipt(10, send_key=A), receipt(10, user=1), receipt(10, user=1, send_key=B)]) == {}
    reserve(store, send("a", 0, 11, A))
    assert confirmed(store, [receipt(10), receipt(9, send_key=A)]) == {1: A}, "reserved again; the key takes it from the keyless"


@pytest.fixture
def config() -> Config:
    return Config(events={"view": 1.0})


def take(store: Store, config: Config, folder: Path, rows: list[str]) -> list[tuple[Any, ...]]:
    path = folder / f"events{store.version().seq}.csv"
    path.write_text("\n".join(["user_id,item_id,channel,event,timestamp,send_key", *rows]) + "\n")
    ingest(store, config, "events", [path], latest=START + timedelta(days=99))
    with store.connect() as connection:
        return connection.execute("SELECT send_key, released, confirmed, actual_at - send_at FROM ledger ORDER BY 1").fetchall()


def test_ingest_fills_confirms(store: Store, config: Config, tmp_path: Path) -> None:
    take(store, config, tmp_path, ["a,x,push,view,2026-03-01T00:00:00Z,", "b,y,push,view,2026-03-01T00:00:00Z,"])
    reserve(store, send("a", 0, 10, "k1", item=0), send("b", 1, 10, "k2", item=1))
    nothing = timedelta(0)
    assert take(store, config, tmp_path, ["a,x,push,sent,2026-03-01T09:00:00Z,"]) == [
        ("k1", False, True, timedelta(hours=-1)),
        ("k2", False, False, nothing),
    ]
    assert take(store, config, tmp_path, ["a,x,push,sent,2026-03-01T10:30:00Z,", "b,y,push,sent,2026-03-04T10:00:00Z,k2"])[1] == (
        *("k2", False, True),
        timedelta(days=3),
    )
    with store.connect() as connection:
        found = connection.execute(
            "SELECT epoch_us(timestamp) // 3600000000 % 24, confirms FROM events WHERE event = 'sent' ORDER BY timestamp"
        )
        assert found.fetchall() == [(9, "k1"), (10, None), (10, "k2")], "k1 is confirmed already: the second message is external"


SENDS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60), st.sets(st.integers(0, 2), min_size=1)), min_size=1, max_size=6)
RECEIPTS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 60), st.integers(0, 2)), min_size=1, max_size=8, unique=True)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SENDS, RECEIPTS)
def test_against_a_plain_oracle(tmp_path_factory: pytest.TempPathFactory, sends: list[Any], rows: list[Any]) -> None:
    store = Store.create(tmp_path_factory.mktemp("world") / "store")
    keys = [key(str(n)) for n in range(len(sends))]
    flat = [
        send("ab"[user], user, hour, name, item=item, position=place + 1)
        for name, (user, hour, items) in zip(keys, sends, strict=True)
        for place, item in enumerate(sorted(items))
    ]
    reserve(store, *flat)
    assert confirmed(store, [receipt(hour, user=user, item=item) for user, hour, item in rows]) == oracle(keys, sends, rows)


def oracle(keys: list[str], sends: list[Any], rows: list[Any]) -> dict[int, str]:
    """Messages in order of time; each takes the nearest free send with an item of its own."""
    free, found = dict(zip(keys, sends, strict=True)), {}
    for user, hour in sorted({(user, hour) for user, hour, _ in rows}):
        items = {item for u, h, item in rows if (u, h) == (user, hour)}
        near = [
            (abs(at - hour), -len(items & held), name)
            for name, (u, at, held) in free.items()
            if u == user and items & held and abs(at - hour) <= 24
        ]
        if near:
            chosen = min(near)[2]
            del free[chosen]
            found.update({n: chosen for n, (u, h, _) in enumerate(rows) if (u, h) == (user, hour)})
    return found
