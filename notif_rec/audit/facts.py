"""What an audit knows: one plan's sends, and every send that could stand in their way, as DuckDB tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from notif_rec.store.zones import time_zone

UNIT_US = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000, "w": 604_800_000_000}
SECOND, DAY = 1_000_000, 86_400  # in µs, in seconds

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

# DuckDB 2.0 pushes IS NULL into a Parquet scan and then lets rows that are not null through: coalesce is not pushed.
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
WHERE e.event = 'sent' AND coalesce(e.confirms, '') = '' AND e.channel <> '';
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

SPAN = "SELECT min(at_us), max(at_us) FROM (SELECT at_us FROM ours UNION ALL SELECT at_us FROM history)"


def load_facts(connection: duckdb.DuckDBPyConnection, plan_id: str) -> int:
    """Builds the audit's tables in `connection`; returns the number of the plan's sends."""
    for statement in (*OURS.split(";\n"), *HISTORY.split(";\n")):
        if statement.strip():
            connection.execute(statement, {"plan": plan_id} if "$plan" in statement else None)
    _load_clocks(connection)
    return int(connection.execute("SELECT count(*) FROM ours").fetchall()[0][0])


def _load_clocks(connection: duckdb.DuckDBPyConnection) -> None:
    """Builds `clocks`: what to add to UTC in each zone of the plan's users, from when on. DuckDB's own zones are of another age."""
    names = [name for (name,) in connection.execute("SELECT DISTINCT timezone FROM zone_of ORDER BY ALL").fetchall()]
    first, last = connection.execute(SPAN).fetchall()[0]
    rows = [(name, *change) for name in names for change in _offsets(name, first, last)]
    columns = dict(zip(("timezone", "since_us", "offset_us"), zip(*rows, strict=True), strict=True)) if rows else {}
    clocks = pa.schema([("timezone", pa.string()), ("since_us", pa.int64()), ("offset_us", pa.int64())])
    connection.register("clock_rows", pa.table({f.name: pa.array(columns.get(f.name, ()), f.type) for f in clocks}))
    connection.execute("CREATE OR REPLACE TEMP TABLE clocks AS FROM clock_rows")
    connection.unregister("clock_rows")


def _offsets(name: str, first_us: int, last_us: int) -> Iterator[tuple[int, int]]:
    """(from when on, offset) over a span, in microseconds; looked at once a day, then halved to the second."""
    zone = time_zone(name)

    def offset(second: int) -> int:
        return int((datetime.fromtimestamp(second, UTC).astimezone(zone).utcoffset() or timedelta()).total_seconds())

    begin, end = first_us // SECOND - DAY, last_us // SECOND + DAY
    yield begin * SECOND, offset(begin) * SECOND
    for low in range(begin, end, DAY):
        high, old = low + DAY, offset(low)
        if (new := offset(high)) == old:
            continue
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if offset(middle) == old else (low, middle)
        yield high * SECOND, new * SECOND


def span_us(text: str) -> int:
    """Microseconds of a duration such as `12h`; raises ValueError on anything else."""
    found = re.fullmatch(r"(\d+)([mhdw])", text)
    if not found:
        raise ValueError(f"{text!r} is not a duration")
    return int(found[1]) * UNIT_US[found[2]]
