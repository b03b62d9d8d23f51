"""`prepare` over a real store: files per bucket, equal to the oracle however the rows lie in segments."""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.planning import prepare as preparing
from notif_rec.planning.prepare import in_turn, prepare
from notif_rec.store.store import Store
from notif_rec.tables import BUCKETS, STORED
from tests.planning.test_prepare import same
from tests.planning.world import AS_OF, FACTS, World, expected, user_ids

DAY = timedelta(days=1)
IDS = [f"user {number}" for number in range(9)]
SENDS: dict[str, Any] = {"position": 1, "kind": "send", "plan_id": "p", "item_class": "marketing", "explored": False}


def committed(root: Path) -> Store:
    """A store of two days' commits: the second brings newer users, items of another category, a release and a receipt."""
    store, ids = Store.create(root), user_ids(IDS)
    bucket = {row["user"]: row["user_hash"] % BUCKETS for row in ids}
    with store.lock():
        _, new_users = store.user_codes(pa.array(IDS), create=True)
        _, new_items = store.item_codes(pa.array(["a", "b", "c"]), create=True)
        first = {
            "events": [_event(user, "view", "", AS_OF - 3 * DAY, item=user % 3) for user in range(7)]
            + [_event(2, "sent", "push", AS_OF - 4 * DAY, item=0), _event(3, "unsubscribed", "", AS_OF + DAY)],
            "users": [{"user": 0, "consent": {"push": "yes"}, "timezone": "Asia/Tokyo"}, {"user": 8, "attributes": {"country": "DE"}}],
            "items": [{"item": 0, "category": "promo", "item_class": "marketing"}],
            "sends": [
                SENDS | {"user": 4, "send_key": "k", "channel": "email", "item": 1, "category": "news", "send_at": AS_OF - 2 * DAY},
                SENDS | {"user": 5, "send_key": "x", "channel": "email", "item": 1, "category": "news", "send_at": AS_OF + DAY},
                SENDS | {"user": 6, "send_key": "s", "channel": "email", "item": 1, "kind": "shadow", "send_at": AS_OF - DAY},
            ],
        }
        second = {
            "events": [_event(4, "sent", "email", AS_OF - DAY, item=1, send_key="k", confirms="k"), _event(7, "ghost", "fax", AS_OF)],
            "users": [{"user": 0, "consent": {"push": "no"}, "timezone": "Asia/Tokyo"}],
            "items": [{"item": 0, "category": "news", "item_class": "marketing"}],
            "releases": [{"user": 5, "send_key": "x", "plan_id": "p"}],
        }
        store.commit("ingest", {"user_ids": new_users, "item_ids": new_items} | _tables(first, bucket))
        store.commit("ingest", _tables(second, bucket))
    return store


def world() -> World:
    """What the oracle must be told of that store."""
    sent = {"item": 1, "channel": "email", "item_class": "marketing", "category": "news", "released": False, "confirmed": False}
    return {
        "user_ids": user_ids(IDS),
        "events": [{"seq": 1, **_event(user, "view", "", AS_OF - 3 * DAY, item=user % 3)} for user in range(7)]
        + [{"seq": 1, **_event(2, "sent", "push", AS_OF - 4 * DAY, item=0)}, {"seq": 1, **_event(3, "unsubscribed", "", AS_OF + DAY)}]
        + [{"seq": 2, **_event(4, "sent", "email", AS_OF - DAY, item=1, send_key="k", confirms="k")}]
        + [{"seq": 2, **_event(7, "ghost", "fax", AS_OF)}],
        "users": [{"user": 0, "consent": {"push": "no"}, "timezone": "Asia/Tokyo"}, {"user": 8, "attributes": {"country": "DE"}}],
        "items_log": [
            {"item": 0, "seq": 1, "category": "promo", "item_class": "marketing"},
            {"item": 0, "seq": 2, "category": "news", "item_class": "marketing"},
        ],
        "ledger": [
            sent | {"user": 4, "send_key": "k", "actual_at": AS_OF - DAY, "send_at": AS_OF - 2 * DAY, "confirmed": True},
            sent | {"user": 5, "send_key": "x", "actual_at": AS_OF + DAY, "released": True},
        ],
    }


def _event(user: int, event: str, channel: str, at: Any, item: int = -1, **more: Any) -> dict[str, Any]:
    return {"user": user, "event": event, "channel": channel, "timestamp": at, "item": item, "value": 1.0, **more}


def _tables(rows: dict[str, list[dict[str, Any]]], bucket: dict[int, int]) -> dict[str, pa.Table]:
    tables = {}
    for name, some in rows.items():
        filled = [{"bucket": bucket[row["user"]], **row} if "user" in row else row for row in some]
        plain = [{k: list(v.items()) if isinstance(v, dict) else v for k, v in row.items()} for row in filled]
        table = pa.Table.from_pylist(plain, schema=STORED[name])
        tables[name] = table.sort_by([("bucket", "ascending"), ("user", "ascending")]) if "bucket" in table.column_names else table
    return tables


def read(files: tuple[Path, ...]) -> list[dict[str, Any]]:
    tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in files]
    return [row for table in tables for row in table.to_pylist()]


def elsewhere(work: Any, spans: Sequence[Any], stage: str, progress: Any) -> Iterator[Any]:
    """As an engine whose workers get a copy each."""
    for done, span in enumerate(spans, start=1):
        yield pickle.loads(pickle.dumps(work))(span)
        progress(stage, done, len(spans))


@pytest.mark.parametrize(("rows_at_once", "small", "each"), [(1_000_000, 8192, in_turn), (1_000_000, 0, in_turn), (1, 0, elsewhere)])
def test_every_user_of_a_store_gets_a_row_in_the_file_of_the_own_bucket_or_in_one_of_many_small_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int, small: int, each: Any
) -> None:
    monkeypatch.setattr(preparing, "ROWS_AT_ONCE", rows_at_once)
    monkeypatch.setattr(preparing, "SMALL_BATCH", small)
    store, steps = committed(tmp_path / "store"), []
    made = prepare(store, store.version(), FACTS, AS_OF, tmp_path, progress=lambda *step: steps.append(step), each=each)
    order = {row["user_id"]: (row["user_hash"] % BUCKETS, row["user_id"]) for row in user_ids(IDS)}
    same(read(made.files), sorted(expected(world()), key=lambda row: order[row["user_id"]]))
    assert made.users == 9
    held = sorted({bucket for bucket, _ in order.values()})
    assert [path.name for path in made.files] == [f"bucket-{bucket:02d}.arrow" for bucket in (held[:1] if small else held)]
    assert steps[-1] == ("prepare", len(steps), len(steps)) and len(steps) == (1 if rows_at_once > 1 else BUCKETS // 2)
    assert not list(tmp_path.glob("*.part"))


def test_an_older_version_knows_nothing_of_later_commits(tmp_path: Path) -> None:
    store = committed(tmp_path / "store")
    now = store.version()
    older = prepare(store, type(now)(1, now.ledger), FACTS, AS_OF, tmp_path)
    rows = {row["user_id"]: row for row in read(older.files)}
    assert "user 7" not in rows and rows["user 0"]["consent"] == [2, 0] and len(rows["user 5"]["send_us"]) == 1


def test_only_the_users_that_are_named(tmp_path: Path) -> None:
    store = committed(tmp_path / "store")
    made = prepare(store, store.version(), FACTS, AS_OF, tmp_path, users=np.array([4, -1, 2, 400], np.int32))
    assert sorted(row["user_id"] for row in read(made.files)) == ["user 2", "user 4"]
