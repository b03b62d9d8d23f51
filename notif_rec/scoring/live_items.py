"""Which items may go out on a channel at a moment, whoever the user is."""

from __future__ import annotations

from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt


def live_items(con: duckdb.DuckDBPyConnection, item_codes: npt.NDArray[np.int32], channel: str, as_of: datetime) -> npt.NDArray[np.bool_]:
    """(n_items,) True where created_at ≤ as_of < expires_at and the item names `channel`, or none.

    An item that is known from events alone has no limits.
    """
    query = """
    SELECT item FROM items
    WHERE created_at > $as_of OR expires_at <= $as_of OR (len(channels) > 0 AND NOT list_contains(channels, $channel))
    """
    shut = con.execute(query, {"as_of": as_of, "channel": channel}).fetchnumpy()["item"]
    found: npt.NDArray[np.bool_] = ~np.isin(item_codes, np.asarray(shut, dtype=np.int64))
    return found
