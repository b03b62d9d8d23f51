"""Events before as-of → what each user likes, as sparse rows in an order that ids alone decide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.models.taste import Taste

ONE = 1 << 32  # weights are summed as whole multiples of 1 / ONE: an exact sum, whatever order the events come in
MOST = 1e6  # one event counts for at most this


@dataclass(frozen=True)
class Interactions:
    """What is known of taste before as-of.

    taste: rows = users with at least one sign of taste, in the order of user_id. user_codes: their store codes.
    last_us: one entry per entry of `taste`, when its last event happened. item_codes, item_ids: every item of the store, live
    or not, in the order of item_id.
    """

    taste: Taste
    user_codes: npt.NDArray[np.int32]
    last_us: npt.NDArray[np.int64]
    item_codes: npt.NDArray[np.int32]
    item_ids: tuple[str, ...]

    def recency(self, as_of: datetime, half_life: timedelta) -> npt.NDArray[np.float64]:
        """2^(−age / half_life) of each entry's last event."""
        now = int(np.datetime64(as_of, "us").astype(np.int64))
        result: npt.NDArray[np.float64] = np.exp2(-(now - self.last_us) / (half_life / timedelta(microseconds=1)))
        return result


def read_interactions(
    con: duckdb.DuckDBPyConnection,
    as_of: datetime,
    *,
    events: Mapping[str, float],
    channels: Sequence[str],
    half_life: timedelta | None,
) -> Interactions:
    """All signs of taste with event time < as_of; `con` is a store connection.

    An event's weight is events[name] × value × 2^(−age / half_life). An event that is not in `events`, names no item, or weighs
    0, less or NaN says nothing. Channels outside `channels` count as organic.
    """
    _register(con, events, channels)
    con.execute(_NUMBER_ITEMS)
    con.execute(_SUM_PAIRS, {"as_of": as_of, "days": half_life / timedelta(days=1) if half_life else None})
    con.execute(_NUMBER_USERS)
    users = _fetch(con, 'SELECT "user", user_id FROM taste_users ORDER BY user_row')
    items = _fetch(con, "SELECT item, item_id FROM taste_items ORDER BY item_index")
    pairs = _fetch(con, _NUMBERED_PAIRS)
    for name in ("taste_users", "taste_items", "taste_sums"):
        con.execute(f"DROP TABLE {name}")
    con.unregister("taste_events")
    con.unregister("taste_channels")
    row = pairs["user_row"].to_numpy()
    offsets = np.searchsorted(row, np.arange(users.num_rows + 1)).astype(np.int64)
    taste = Taste(offsets, pairs["item_index"].to_numpy(), pairs["channel"].to_numpy(), pairs["weight"].to_numpy())
    return Interactions(
        taste, users["user"].to_numpy(), pairs["last_us"].to_numpy(), items["item"].to_numpy(), tuple(items["item_id"].to_pylist())
    )


def read_seen(
    con: duckdb.DuckDBPyConnection, as_of: datetime, events: Mapping[str, float]
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """(user codes, item codes) of every pair with an event of `events` before as-of, whatever it weighs; by user, then item."""
    names = pa.table({"event": pa.array(list(events), pa.string())})
    con.register("taste_names", names)
    query = """
    SELECT DISTINCT e."user", e.item FROM events e SEMI JOIN taste_names USING (event)
    WHERE e.timestamp < $as_of AND e.item >= 0 ORDER BY e."user", e.item
    """
    pairs = con.execute(query, {"as_of": as_of}).fetchnumpy()
    con.unregister("taste_names")
    return np.asarray(pairs["user"], dtype=np.int32), np.asarray(pairs["item"], dtype=np.int32)


_NUMBER_ITEMS = """
CREATE OR REPLACE TEMP TABLE taste_items AS
SELECT item, item_id, (row_number() OVER (ORDER BY item_id) - 1)::INTEGER AS item_index FROM item_ids
"""

_SUM_PAIRS = f"""
CREATE OR REPLACE TEMP TABLE taste_sums AS
WITH signs AS (
    SELECT e."user", e.item, coalesce(c.code, -1)::TINYINT AS channel, e.timestamp,
        w.weight * e.value AS worth,
        worth * coalesce(pow(2.0, -(date_diff('microsecond', e.timestamp, $as_of) / 86400e6) / $days), 1.0) AS weight
    FROM events e JOIN taste_events w USING (event) LEFT JOIN taste_channels c ON c.channel = e.channel
    WHERE e.timestamp < $as_of AND e.item >= 0
)
SELECT "user", item, channel, epoch_us(max(timestamp)) AS last_us,
    (sum(round(least(weight, {MOST}) * {ONE})::BIGINT) / {ONE}.0)::DOUBLE AS weight
FROM signs WHERE isfinite(worth) AND worth > 0 GROUP BY "user", item, channel
"""

_NUMBER_USERS = """
CREATE OR REPLACE TEMP TABLE taste_users AS
SELECT "user", user_id, (row_number() OVER (ORDER BY user_id) - 1)::INTEGER AS user_row
FROM user_ids WHERE "user" IN (SELECT "user" FROM taste_sums)
"""

_NUMBERED_PAIRS = """
SELECT u.user_row, i.item_index, s.channel, s.weight, s.last_us
FROM taste_sums s JOIN taste_users u USING ("user") JOIN taste_items i USING (item) WHERE s.weight > 0
ORDER BY user_row, item_index, channel
"""


def _register(con: duckdb.DuckDBPyConnection, events: Mapping[str, float], channels: Sequence[str]) -> None:
    weights = {"event": pa.array(list(events), pa.string()), "weight": pa.array(list(events.values()), pa.float64())}
    codes = {"channel": pa.array(list(channels), pa.string()), "code": pa.array(range(len(channels)), pa.int8())}
    con.register("taste_events", pa.table(weights))
    con.register("taste_channels", pa.table(codes))


def _fetch(con: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    return con.sql(sql).to_arrow_table().combine_chunks()
