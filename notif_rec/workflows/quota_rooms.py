"""The config's quotas: what the ledger leaves of each, and what the last plan charged for it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.config import Config
from notif_rec.planning.audience import in_audience, parse_audience
from notif_rec.planning.cells import ANY, Quota, rooms_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.menus import Rooms
from notif_rec.planning.quotas import Segments, sends_take
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store

FloatArray = npt.NDArray[np.float64]
INSIDE = """
SELECT l."user", l.send_key, l.channel, l.item, l.category,
       row_number() OVER (PARTITION BY l.send_key ORDER BY l.item)::SMALLINT AS position
FROM ledger l WHERE l.send_at >= $as_of AND l.send_at < $end AND (NOT l.released OR l.confirmed) ORDER BY l.send_key, position
"""


def quotas_of(config: Config) -> tuple[Quota, ...]:
    """The config's quotas as the planner takes them."""
    return tuple(Quota(q.channel, q.item, q.category, q.segment, q.max_sends, q.min_sends or 0, q.max_cost) for q in config.quotas)


def rooms_left(connection: duckdb.DuckDBPyConnection, config: Config, context: PlanContext, as_of: datetime) -> Rooms:
    """Low and high of every cell, less what the ledger sends in [as_of, as_of + horizon), whichever plan made it."""
    limits = context.all_limits
    span = {"as_of": as_of, "end": as_of + config.horizon}
    sends = connection.sql(INSIDE, params=span).to_arrow_table() if context.quotas else None
    if sends is None or not sends.num_rows:
        return rooms_of(context.quotas, limits)
    segments = _segments(connection, context, np.unique(sends.column("user").to_numpy()).astype(np.int32))
    takings, _ = sends_take(sends, context, limits, segments)
    used = np.bincount(takings.cell, weights=takings.amount, minlength=len(limits.place)).astype(np.int64)
    return rooms_of(context.quotas, limits, used)


def _segments(connection: duckdb.DuckDBPyConnection, context: PlanContext, users: npt.NDArray[np.int32]) -> Segments:
    """Who of some users is in which of the context's audiences."""
    audiences = [parse_audience(text) for text in context.audiences]
    names = sorted({name for audience in audiences for name, _ in audience})
    columns = "".join(f", attributes[${number}] AS a{number}" for number in range(1, len(names) + 1))
    found = connection.sql(f'SELECT "user"{columns} FROM users ORDER BY "user"', params=names).to_arrow_table()
    place = pa.array(np.searchsorted(found.column("user").to_numpy(), users), pa.int64())
    known = np.isin(users, found.column("user").to_numpy())
    take = pa.array(place.to_numpy(), mask=~known)
    texts = {
        name: found.column(f"a{number}").cast(pa.string()).take(take).combine_chunks().dictionary_encode()
        for number, name in enumerate(names, start=1)
    }
    return Segments(users, in_audience(audiences, texts, len(users)))


def last_prices(store: Store, context: PlanContext, as_of: datetime) -> FloatArray:
    """(n_cells,) prices of the newest plan before `as_of` that was applied, 0 where it had none: good ones to begin at.

    Applied ones alone: the ledger's version then says which it is, so that the same version gives the same plan.
    """
    prices = np.zeros(len(context.all_limits.place))
    rows = [row for row in store.plans() if row.state == "applied" and row.as_of < as_of]
    if not rows or not context.quotas:
        return prices
    told: Mapping[str, float] = max(rows, key=lambda row: (row.as_of, row.applied_seq or 0)).manifest["prices"]
    return prices_by_name(context, told) if told else prices


def at_prices(connection: duckdb.DuckDBPyConnection, config: Config, context: PlanContext, row: PlanRow) -> PlanContext:
    """The context at the prices that a plan was made at; `connection`: to what the store knew then."""
    if not context.quotas:
        return context
    rooms = rooms_left(connection, config, context, row.as_of)
    price = prices_by_name(context, row.manifest["prices"])
    return context.with_market(Market(context.all_limits.place, price, rooms.unit, rooms.high == 0))


def prices_by_name(context: PlanContext, told: Mapping[str, float]) -> FloatArray:
    """(n_cells,) the prices that a plan's manifest tells by the names of cells; names that mean none now are passed over."""
    limits = context.all_limits
    prices, row = np.zeros(len(limits.place)), {item: number for number, item in enumerate(context.model.item_ids)}
    for quota, base in zip(context.quotas, limits.base.tolist(), strict=True):
        if quota.item != ANY:
            prices[base] = told.get(quota.named(), 0.0)
            continue
        head, tail = quota.named("\0").split("\0")
        for name, price in told.items():
            item = name[len(head) : len(name) - len(tail)]
            if name == f"{head}{item}{tail}" and item in row:
                prices[base + row[item]] = price
    return prices
