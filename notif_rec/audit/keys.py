"""Send keys and the holdout, recomputed from their definitions."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb

NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://notif-rec/send_key")

SENDS = """
SELECT o.send_key, u.user_id, o.channel, CAST(CAST(o.send_at AS DATE) AS VARCHAR), o.transactional,
       (SELECT list(i.item_id ORDER BY i.item_id) FROM ours_items x JOIN item_ids i ON i.item = x.item
        WHERE x.send_key = o.send_key AND x."user" = o."user"),
       (SELECT count(DISTINCT l.plan_id || l."user") FROM ledger l WHERE l.send_key = o.send_key AND NOT l.released)
FROM ours o JOIN user_ids u ON u."user" = o."user" ORDER BY o.send_key
"""


def key_finds(connection: duckdb.DuckDBPyConnection, config: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str, str]]:
    """(rule, send_key, user_id, channel, detail) of keys that are wrong or made twice, and of sends to held-out users."""
    share, salt = float(config.get("holdout") or 0), str(config["holdout_salt"])
    cursor = connection.execute(SENDS)
    while rows := cursor.fetchmany(10_000):
        for key, user_id, channel, day, transactional, items, times in rows:
            if key != expected_key(channel, user_id, items, day):
                yield "send_key", key, user_id, channel, "not the key of this channel, user, items and day"
            if times > 1:
                yield "send_key", key, user_id, channel, "stands in the ledger twice"
            if not transactional and held_out(salt, user_id, share):
                yield "holdout", key, user_id, channel, "a held-out user"


def expected_key(channel: str, user_id: str, item_ids: list[str], day: str) -> str:
    """UUIDv5 of (channel, user_id, sorted item_ids, UTC date)."""
    text = json.dumps([channel, user_id, sorted(item_ids), day], ensure_ascii=False, separators=(",", ":"))
    return str(uuid.uuid5(NAMESPACE, text))


def held_out(salt: str, user_id: str, share: float) -> bool:
    """Whether the stable hash of (salt, user) falls into the first `share` of its range."""
    digest = hashlib.md5(f"{salt}|{user_id}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[:8], "little") < share * 2.0**64
