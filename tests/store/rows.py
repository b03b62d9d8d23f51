"""Small tables for the tests of the store, with asymmetric numbers."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from notif_rec.store.ids import bucket_of
from notif_rec.store.store import Store
from notif_rec.tables import STORED

START = datetime(2026, 3, 1)


def table(name: str, rows: list[dict[str, Any]]) -> pa.Table:
    """Rows with every column of the stored table; what is not given is null."""
    schema = STORED[name]
    return pa.Table.from_pylist([{column: row.get(column) for column in schema.names} for row in rows], schema=schema)


def event(user: str, code: int, hours: float, **more: Any) -> dict[str, Any]:
    given = {"bucket": bucket_of(user), "user": code, "item": 3, "channel": "push", "event": "view", "value": 1.0}
    return {**given, "timestamp": START + timedelta(hours=hours), **more}


def send(user: str, code: int, hours: float, key: str, **more: Any) -> dict[str, Any]:
    given = {"bucket": bucket_of(user), "user": code, "send_key": key, "channel": "push", "send_at": START + timedelta(hours=hours)}
    return {**given, "position": 1, "item": 3, "kind": "send", "plan_id": "p1", "value": 0.5, **more}


def release(user: str, code: int, key: str) -> dict[str, Any]:
    return {"bucket": bucket_of(user), "user": code, "send_key": key, "plan_id": "p1"}


def add_users(store: Store, ids: list[str]) -> list[int]:
    """Their codes, given in a commit of their own."""
    with store.lock():
        codes, new = store.user_codes(pa.array(ids, pa.string()), create=True)
        store.commit("users", {"user_ids": new})
    return codes.to_pylist()


def rows_of(store: Store, query: str, at: Any = None) -> list[tuple[Any, ...]]:
    with store.connect(at) as connection:
        return connection.execute(query).fetchall()
