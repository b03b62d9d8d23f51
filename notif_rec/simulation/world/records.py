"""The world's happenings as rows of the events file."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.simulation.world.days import Int64s
from notif_rec.simulation.world.laws import CHANNELS
from notif_rec.simulation.world.state import EVENTS, TIME, Sends, State, World, make_sends

NAMES = pa.array([*CHANNELS, ""])  # −1 is the last


def record(
    world: World, user: Int64s, item: Int64s | None, channel: npt.NDArray[Any], event: str, us: Int64s, key: pa.Array | None = None
) -> pa.Table:
    """Rows of one event. item: None where it concerns none. channel: places in CHANNELS, −1 for none."""
    n = len(user)
    columns = [
        world.people.ids.take(pa.array(user)),
        pa.array([""] * n, pa.string()) if item is None else world.catalogue.ids.take(pa.array(item)),
        NAMES.take(pa.array(np.where(channel < 0, len(CHANNELS), channel))),
        pa.array([event] * n, pa.string()),
        pa.array(us, pa.int64()).cast(TIME),
        pa.nulls(n, pa.string()) if key is None else key,
    ]
    return pa.Table.from_arrays(columns, schema=EVENTS)


def sends_of(world: World, rows: pa.Table) -> Sends:
    """The sends that are written as rows of lists: send_key, user_id, channel, position, item_id, send_at; of a send in order."""
    first = np.flatnonzero(rows.column("position").to_numpy() == 1)
    head = rows.take(pa.array(first))
    user, channel, item = (
        pc.index_in(column, value_set=known).to_numpy().astype(np.int64)
        for column, known in (
            (head.column("user_id"), world.people.ids),
            (head.column("channel"), NAMES),
            (rows.column("item_id"), world.catalogue.ids),
        )
    )
    us = head.column("send_at").cast(TIME).cast(pa.int64()).to_numpy()
    sizes = np.diff(np.append(first, rows.num_rows))
    return make_sends(user, channel, us, head.column("send_key").combine_chunks(), sizes, item)


def until(state: State, events: list[pa.Table], end_us: int) -> pa.Table:
    """Those of `events` and of what was pending that come before a moment, by time; the rest is pending from now on."""
    everything = pa.concat_tables([*state.pending, *events])
    now = pc.less(everything.column("timestamp"), pa.scalar(end_us, pa.int64()).cast(TIME))
    state.pending[:] = [everything.filter(pc.invert(now)).combine_chunks()]
    return everything.filter(now).sort_by([("timestamp", "ascending"), ("user_id", "ascending")]).combine_chunks()
