"""Send lists: a pure function of the ledger, published together or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from notif_rec.errors import ConfigError
from notif_rec.store.files import sha256, whole_folder

COLUMNS = (
    "send_key", "rank", "user_id", "position", "item_id", "send_at", "score", "p_open", "p_click", "p_unsubscribe",
    "value", "propensity", "reason",
)  # fmt: skip

# rank 1 is the most valuable send of the list; ties by user, moment and key, never by input order
LIST = """
SELECT s.send_key, dense_rank() OVER (ORDER BY s.value DESC, u.user_id, s.send_at, s.send_key) AS rank, u.user_id, s.position, i.item_id,
       strftime(s.send_at, '%Y-%m-%dT%H:%M:%SZ') AS send_at, s.score, s.p_open, s.p_click, s.p_unsubscribe, s.value, s.propensity,
       s.reason{extra}
FROM ({source}) s JOIN user_ids u ON u."user" = s."user" JOIN item_ids i ON i.item = s.item LEFT JOIN items n ON n.item = s.item
WHERE s.kind = 'send' AND s.channel = $channel
ORDER BY rank, s.position
"""
KNOWN = ("title", "text", "category", "audience")


def write_lists(
    connection: duckdb.DuckDBPyConnection,
    source: str,
    channels: Sequence[str],
    item_columns: Sequence[str],
    manifest: Mapping[str, Any],
    folder: Path,
) -> dict[str, Any]:
    """The manifest as written with `<channel>.csv` for every channel into `folder`, which appears whole or not at all.

    source: SQL of rows in tables.SENDS that `connection` can read; item columns come from its `items` view.
    """
    with whole_folder(folder) as draft:
        files = {f"{c}.csv": _write_list(connection, source, c, item_columns, draft / f"{c}.csv") for c in channels}
        full = {**manifest, "files": files}
        (draft / "manifest.json").write_text(json.dumps(full, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return full


def _write_list(
    connection: duckdb.DuckDBPyConnection, source: str, channel: str, item_columns: Sequence[str], path: Path
) -> dict[str, Any]:
    query = LIST.format(source=source, extra="".join(f", {_item_column(c)} AS {_quoted(c)}" for c in item_columns))
    target = str(path).replace("'", "''")
    literal = query.replace("$channel", "'" + channel.replace("'", "''") + "'")
    rows = connection.execute(f"COPY ({literal}) TO '{target}' (FORMAT csv, HEADER true, DELIMITER ',')").fetchall()[0][0]
    return {"rows": int(rows), "sha256": sha256(path)}


def _item_column(name: str) -> str:
    if name in COLUMNS:
        raise ConfigError(f"output.item_columns: '{name}' is a column of every list already", "leave it out")
    if name == "class":
        return "n.item_class"
    if name in ("tags", "channels"):
        return f"array_to_string(n.{name}, '|')"
    if name in ("created_at", "expires_at"):
        return f"strftime(n.{name}, '%Y-%m-%dT%H:%M:%SZ')"
    return f"n.{name}" if name in KNOWN else "n.extra['" + name.replace("'", "''") + "']"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
