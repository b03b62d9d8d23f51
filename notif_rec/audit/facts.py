"""What an audit knows: one plan's sends, and every send that could stand in their way, as DuckDB tables."""

from __future__ import annotations

import re

import duckdb

UNIT_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}

# The plan's own sends, one row a send and one row an item.
OURS = """
CREATE OR REPLACE TEMP TABLE ours_items AS
SELECT send_key, "user", channel, send_at, epoch_us(send_at) AS at_us, item, item_class, category, timezone, position, value, explored, seq
FROM sends WHERE kind = 'send' AND plan_id = $plan;
CREATE OR REPLACE TEMP TABLE ours AS
SELECT send_key, "user", any_value(channel) AS channel, any_value(send_at) AS send_at, any_value(at_us) AS at_us,
       any_value(timezone) AS timezone, bool_and(item_class = 'transactional') AS transactional, count(*) AS n_items,
       any_value(seq) AS seq
FROM ours_items GROUP BY send_key, "user";
"""

# Every send known at this version for the users of the plan: ledger (not released, or sent all the same) and external.
HISTORY = """
CREATE OR REPLACE TEMP TABLE item_then AS
SELECT item, coalesce(category, '') AS category, item_class, seq FROM items_log;
CREATE OR REPLACE TEMP TABLE external_items AS
SELECT e."user", e.channel, e.timestamp, e.item, e.seq,
       coalesce(e.send_key, '') AS given_key,
       coalesce((SELECT arg_max(i.category, i.seq) FROM item_then i WHERE i.item = e.item AND i.seq <= e.seq),
                (SELECT arg_min(i.category, i.seq) FROM item_then i WHERE i.item = e.item), '') AS category,
       coalesce((SELECT arg_max(i.item_class, i.seq) FROM item_then i WHERE i.item = e.item AND i.seq <= e.seq),
                (SELECT arg_min(i.item_class, i.seq) FROM item_then i WHERE i.item = e.item), 'marketing') AS item_class
FROM events e SEMI JOIN ours o ON e."user" = o."user"
WHERE e.event = 'sent' AND e.confirms IS NULL AND e.channel <> '';
CREATE OR REPLACE TEMP TABLE history AS
SELECT l.send_key AS key, l."user", any_value(l.channel) AS channel, epoch_us(any_value(l.actual_at)) AS at_us,
       list(DISTINCT coalesce(l.category, '')) AS categories, bool_and(l.item_class = 'transactional') AS transactional,
       any_value(l.plan_id) = $plan AS mine, true AS ledger, list(DISTINCT l.item) AS items
FROM ledger l SEMI JOIN ours o ON l."user" = o."user"
WHERE NOT l.released OR l.confirmed
GROUP BY l.send_key, l."user"
UNION ALL
SELECT CASE WHEN given_key <> '' THEN given_key ELSE concat_ws('|', 'external', "user", channel, epoch_us(timestamp)) END AS key,
       "user", channel, epoch_us(min(timestamp)), list(DISTINCT category), bool_and(item_class = 'transactional'),
       false, false, list(DISTINCT item)
FROM external_items GROUP BY key, "user", channel;
CREATE OR REPLACE TEMP TABLE zone_of AS SELECT "user", any_value(timezone) AS timezone FROM ours GROUP BY "user";
"""


def load_facts(connection: duckdb.DuckDBPyConnection, plan_id: str) -> int:
    """Builds the audit's tables in `connection`; returns the number of the plan's sends."""
    for statement in (*OURS.split(";\n"), *HISTORY.split(";\n")):
        if statement.strip():
            connection.execute(statement, {"plan": plan_id} if "$plan" in statement else None)
    return int(connection.execute("SELECT count(*) FROM ours").fetchall()[0][0])


def span_us(text: str) -> int:
    """Microseconds of a duration such as `12h`; raises ValueError on anything else."""
    found = re.fullmatch(r"(\d+)([mhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is not a duration")
    return int(found[1]) * UNIT_US[found[2]]
