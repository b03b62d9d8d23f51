"""Which of our sends each `sent` event confirms: by its key, else the nearest of the same user, channel and item."""

from __future__ import annotations

from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from notif_rec.store.snapshot import parquet
from notif_rec.store.store import Store

Int64s = npt.NDArray[np.int64]

DAY_US = 86_400_000_000
NEAR_US = DAY_US  # a receipt without a key belongs to a send at most so far away
AROUND_US = 32 * DAY_US  # sends and earlier confirmations are looked for this far around the receipts: a plan's horizon is ≤ 31 days
OUR_KEYS = "^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"  # UUIDv5: other keys need no long search

# A release takes back the reservations of its key that came before it; what it took back was not to be sent, so a receipt of it is
# an external send.
_STANDING = """
    SELECT s.send_key, s."user", s.channel, s.item, epoch_us(s.send_at) AS send_us FROM {sends} s
    LEFT JOIN (SELECT send_key, max(seq) AS seq FROM releases GROUP BY send_key) w USING (send_key)
    WHERE s.kind = 'send' AND s.seq > coalesce(w.seq, -1) AND {condition}
"""
_BY_KEY = 'SELECT DISTINCT r.place, r.send_key FROM receipts r JOIN standing s ON s.send_key = r.send_key AND s."user" = r."user"'
_PAIRS = f"""
    WITH open_sends AS (SELECT * FROM standing ANTI JOIN confirmed USING (send_key)),
    messages AS (
        SELECT *, dense_rank() OVER (ORDER BY "user", channel, us) - 1 AS message FROM receipts WHERE send_key IS NULL AND item >= 0),
    pairs AS (
        SELECT m.message, s.send_key, min(abs(m.us - s.send_us)) AS distance, count(DISTINCT m.item) AS shared
        FROM messages m JOIN open_sends s ON s."user" = m."user" AND s.channel = m.channel AND s.item = m.item
        WHERE abs(m.us - s.send_us) <= {NEAR_US} GROUP BY ALL)
    SELECT message, send_key, dense_rank() OVER (ORDER BY send_key) - 1 AS send FROM pairs
    ORDER BY message, distance, shared DESC, send_key
"""
_MESSAGES = """
    SELECT place, dense_rank() OVER (ORDER BY "user", channel, us) - 1 AS message FROM receipts WHERE send_key IS NULL AND item >= 0
"""


def find_confirmed(store: Store, receipts: pa.Table, threads: int = 1) -> pa.Table:
    """(place, send_key): the receipts that confirm a send of ours, and which.

    receipts: (place int64, user, item, channel, us int64, send_key), the `sent` events of one ingest. Each of our sends is confirmed
    by one message, which may have several rows: of one key, or of one user, channel and time.
    """
    nothing = pa.table({"place": pa.array([], pa.int64()), "send_key": pa.array([], pa.string())})
    if receipts.num_rows == 0 or not store.segments("sends"):
        return nothing
    us = receipts.column("us").to_numpy()
    low, high = int(us.min()) - AROUND_US, int(us.max()) + AROUND_US
    with store.snapshot().connect(threads, tables=["sends", "releases", "events"]) as duck:
        duck.register("receipts", receipts)
        _find_standing(duck, store, low, high)
        keyed = duck.sql(_BY_KEY).to_arrow_table()
        _find_earlier(duck, store, low, high, keyed)
        near = _nearest(duck)
    return pa.concat_tables([keyed.cast(nothing.schema), near.cast(nothing.schema)]).sort_by("place")


def _find_standing(duck: duckdb.DuckDBPyConnection, store: Store, low: int, high: int) -> None:
    """Makes `standing`: our unreleased sends that the receipts could be of."""
    near = store.overlapping("sends", low, high)
    mine = '"user" IN (SELECT "user" FROM receipts)'
    sends = parquet(near) if near else "(FROM sends LIMIT 0)"
    duck.execute(f"CREATE TABLE standing AS {_STANDING.format(sends=sends, condition=mine)}")
    far = [path for path in store.snapshot().files("sends") if path not in set(near)]
    lost = f"SELECT send_key FROM receipts ANTI JOIN standing USING (send_key) WHERE regexp_matches(send_key, '{OUR_KEYS}')"
    if far and duck.execute(f"SELECT count(*) FROM ({lost})").fetchall()[0][0]:
        duck.execute(f"INSERT INTO standing {_STANDING.format(sends=parquet(far), condition=f's.send_key IN ({lost})')}")


def _find_earlier(duck: duckdb.DuckDBPyConnection, store: Store, low: int, high: int, keyed: pa.Table) -> None:
    """Makes `confirmed`: keys of standing sends that were confirmed before, or are by key now."""
    duck.register("keyed", keyed)
    duck.execute("CREATE TABLE confirmed AS SELECT DISTINCT send_key FROM keyed")
    files = store.overlapping("events", low, high)
    if files:
        duck.execute(
            f"INSERT INTO confirmed SELECT DISTINCT confirms FROM {parquet(files)} "
            "WHERE event = 'sent' AND confirms IN (SELECT send_key FROM standing)"
        )


def _nearest(duck: duckdb.DuckDBPyConnection) -> pa.Table:
    """(place, send_key) of receipts without a key."""
    pairs = duck.sql(_PAIRS).to_arrow_table()
    messages = duck.sql(_MESSAGES).to_arrow_table()
    n = int(messages.num_rows and messages.column("message").to_numpy().max() + 1)
    message, send = (pairs.column(name).to_numpy().astype(np.int64) for name in ("message", "send"))
    chosen = _choose(message, send, n, int(send.max(initial=-1)) + 1)  # a row of `pairs` for each message, -1 = none
    pick = chosen[messages.column("message").to_numpy()] if n else np.empty(0, np.int64)
    found = pick >= 0
    places: Any = messages.column("place").to_numpy()[found]
    return pa.table({"place": pa.array(places, pa.int64()), "send_key": pairs.column("send_key").take(pa.array(pick[found]))})


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _choose(message: Int64s, send: Int64s, n_messages: int, n_sends: int) -> Int64s:
    """For each message, in order of time, its first pair whose send is still free; -1 where there is none."""
    chosen, taken = np.full(n_messages, -1, np.int64), np.zeros(n_sends, np.bool_)
    for pair in range(message.size):
        if chosen[message[pair]] < 0 and not taken[send[pair]]:
            chosen[message[pair]] = pair
            taken[send[pair]] = True
    return chosen
