"""Are the published lists the ledger, no row more or less, and the bytes that the manifest promises?"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb

LISTED = "send_key VARCHAR, user_id VARCHAR, channel VARCHAR, position BIGINT, item_id VARCHAR, send_at VARCHAR"
DIFFERENCE = """
WITH ledgered AS (
  SELECT l.send_key, u.user_id, l.channel, CAST(l.position AS BIGINT) AS position, i.item_id,
         strftime(l.send_at, '%Y-%m-%dT%H:%M:%SZ') AS send_at
  FROM ledger l JOIN user_ids u ON u."user" = l."user" JOIN item_ids i ON i.item = l.item WHERE l.plan_id = $plan)
(SELECT send_key, user_id, channel, 'listed, but not in the ledger' FROM (SELECT * FROM listed EXCEPT ALL SELECT * FROM ledgered))
UNION ALL
(SELECT send_key, user_id, channel, 'in the ledger, but not listed' FROM (SELECT * FROM ledgered EXCEPT ALL SELECT * FROM listed))
ORDER BY ALL
"""


def list_finds(connection: duckdb.DuckDBPyConnection, plan_id: str, folder: Path) -> list[tuple[str, str, str, str]]:
    """(send_key, user_id, channel, detail) of every difference between the lists in `folder` and the ledger."""
    manifest_path = folder / "manifest.json"
    if not manifest_path.is_file():
        return [("", "", "", f"{manifest_path} is missing")]
    manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE listed ({LISTED})")
    damaged = []
    for name, entry in sorted(manifest["files"].items()):
        path = folder / name
        if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            damaged.append(("", "", path.stem, f"{path} is missing or not the file that was published"))
            continue
        connection.execute(
            "INSERT INTO listed SELECT send_key, user_id, $channel, CAST(position AS BIGINT), item_id, send_at "
            "FROM read_csv($path, header = true, all_varchar = true, delim = ',', quote = '\"', escape = '\"')",
            {"channel": path.stem, "path": str(path)},
        )
    found: list[tuple[str, str, str, str]] = connection.execute(DIFFERENCE, {"plan": plan_id}).fetchall()
    return damaged + found
