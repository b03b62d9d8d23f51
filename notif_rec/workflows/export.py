"""`export`: everything that the store holds of one user, for the user to read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from notif_rec.errors import UsageError
from notif_rec.store.store import Store

QUERIES = {
    "users": 'SELECT * EXCLUDE (bucket, "user", seq) FROM users_log WHERE "user" = $user ORDER BY seq',  # as each file stated them
    "suppressions": 'SELECT channel FROM suppressions WHERE "user" = $user ORDER BY channel',
    "events": """
SELECT timestamp, event, channel, item_id, value, event_id, send_key, confirms
FROM events LEFT JOIN item_ids USING (item) WHERE "user" = $user ORDER BY timestamp, event, item_id, channel""",
    "sends": """
SELECT send_key, channel, send_at, position, item_id, category, item_class, score, p_open, p_click, p_unsubscribe, value, propensity,
       reason, timezone, explored, plan_id, released, confirmed, actual_at
FROM ledger JOIN item_ids USING (item) WHERE "user" = $user ORDER BY send_at, send_key, position""",
    "not_sent": """
SELECT kind, send_key, channel, send_at, position, item_id, value, propensity, plan_id
FROM sends LEFT JOIN item_ids USING (item) WHERE "user" = $user AND kind <> 'send' ORDER BY send_at, send_key, position""",
}


@dataclass(frozen=True)
class Export:
    """tables: rows by name, oldest first. not_sent: what was recorded of the user without anything being sent (holdout, draws)."""

    user_id: str
    tables: Mapping[str, list[dict[str, Any]]]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {"user_id": self.user_id, **self.tables}


def export_user(store: Store, user_id: str) -> Export:
    """Every row about the user; UsageError where the store knows none such."""
    code = store.user_codes(pa.array([user_id]), create=False)[0][0].as_py()
    if code < 0:
        raise UsageError(f"no user '{user_id}' in the store", "ids are matched letter by letter: 007 is not 7")
    with store.connect() as connection:
        return Export(user_id, {name: _rows(connection, query, code) for name, query in QUERIES.items()})


def _rows(connection: duckdb.DuckDBPyConnection, query: str, code: int) -> list[dict[str, Any]]:
    found = connection.sql(query, params={"user": code}).to_arrow_table().to_pylist()
    return [{name: _plain(value) for name, value in row.items()} for row in found]


def _plain(value: Any) -> Any:
    """Times as text; a map comes as a list of pairs."""
    if isinstance(value, datetime):
        return value.isoformat() + "Z"
    if isinstance(value, list):
        return {name: _plain(inner) for name, inner in value}
    return value
