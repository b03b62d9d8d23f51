"""The store as it was at a moment, and what happened afterwards: the two sides of a backtest, kept apart."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.interactions import read_seen

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Future:
    """Signs of taste in [split, until): one row a (user, item, channel), by user_id; store codes.

    channel: place in the config, -1 for organic behaviour.
    """

    user: Codes
    item: Codes
    channel: npt.NDArray[np.int8]


def read_future(con: duckdb.DuckDBPyConnection, config: Config, split: datetime, until: datetime) -> Future:
    """What users took between the two moments; DataError, with the newest event's time, where nobody took anything."""
    weights = [weight for weight in config.events.values() if weight > 0]
    names = [name for name, weight in config.events.items() if weight > 0]
    con.register("future_events", pa.table({"event": pa.array(names, pa.string()), "weight": pa.array(weights, pa.float64())}))
    codes = {"channel": pa.array(config.channel_names, pa.string()), "code": pa.array(range(len(config.channels)), pa.int8())}
    con.register("future_channels", pa.table(codes))
    found = con.execute(_FUTURE, {"split": split, "until": until}).fetchnumpy()
    newest = con.sql("SELECT max(timestamp) FROM events SEMI JOIN future_events USING (event)").fetchall()[0][0]
    con.unregister("future_events")
    con.unregister("future_channels")
    if not len(found["user"]):
        told = f"the newest one is of {newest.isoformat(timespec='seconds')}Z" if newest else "the store has none at all"
        fix = "choose --as-of soon after it" if newest else "give `events:` of the store a weight above 0, or ingest some"
        raise DataError(f"no sign of taste between {split.isoformat()}Z and {until.isoformat()}Z; {told}", fix)
    return Future(found["user"].astype(np.int32), found["item"].astype(np.int32), found["channel"].astype(np.int8))


_FUTURE = """
SELECT DISTINCT e."user", e.item, coalesce(c.code, -1)::TINYINT AS channel, u.user_id
FROM events e JOIN future_events w USING (event) LEFT JOIN future_channels c ON c.channel = e.channel JOIN user_ids u ON u."user" = e."user"
WHERE e.timestamp >= $split AND e.timestamp < $until AND e.item >= 0 AND isfinite(w.weight * e.value) AND w.weight * e.value > 0
ORDER BY u.user_id, e.item, channel
"""


def seen_before(con: duckdb.DuckDBPyConnection, config: Config, split: datetime) -> sparse.csr_matrix:
    """(user codes, item codes): 1 where the user had the item before the split, as `exclude_seen` understands it."""
    user, item = read_seen(con, split, config.events)
    users, items = (con.sql(f'SELECT coalesce(max("{name}"), -1) + 1 FROM {name}_ids').fetchall()[0][0] for name in ("user", "item"))
    return sparse.csr_matrix((np.ones(len(user), np.float32), (user, item)), shape=(users, items))


def forget_after(con: duckdb.DuckDBPyConnection, split: datetime) -> None:
    """Hides from `con` every event at or after the split, and every item that was unknown then.

    An item is known by an event before the split, or by a row of its own; without `created_at` that row is as old as the store.
    """
    con.execute("CREATE TEMP TABLE split_at AS SELECT $split::TIMESTAMP AS moment", {"split": split})
    con.execute("CREATE TEMP VIEW events AS SELECT * FROM memory.main.events WHERE timestamp < (SELECT moment FROM split_at)")
    con.execute(_KNOWN_ITEMS)


_KNOWN_ITEMS = """
CREATE TEMP TABLE item_ids AS
SELECT i.* FROM memory.main.item_ids i
WHERE i.item IN (SELECT item FROM temp.events)
   OR i.item IN (SELECT item FROM memory.main.items WHERE created_at IS NULL OR created_at <= (SELECT moment FROM split_at))
"""
