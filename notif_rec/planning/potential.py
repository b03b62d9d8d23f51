"""The most that each quota's cell could ever be asked for, so that those that cannot bind cost nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.choose import takings_by
from notif_rec.planning.compiled import kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.pacing import read_offers
from notif_rec.tables import schema

IntArray = npt.NDArray[np.int64]
POTENTIAL = schema(cell=pa.int64(), amount=pa.int64())  # whole numbers, so that sums are the same however users are cut


def potential_batch(offers: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """Per cell the most that the users in `offers` (tables.OFFERS) could take of it: as many sends as max_sends and their offers allow."""
    made = read_offers(offers, context)
    takings, n_cells, n_channels = takings_by(made, context), len(context.limits.place), len(context.channels)
    total, counted, stamp = np.zeros(n_cells, np.int64), np.zeros((n_cells, n_channels), np.int32), np.full((n_cells, n_channels), -1)
    _count(made.start, context.lanes.channel[made.lane], made.verdict.room, takings, counted, stamp, total)
    cells = np.flatnonzero(total)
    return pa.RecordBatch.from_arrays([pa.array(cells), pa.array(total[cells])], schema=POTENTIAL)


def summed(batches: Iterable[pa.RecordBatch], n_cells: int) -> IntArray:
    """(n_cells,) the potential of all batches together."""
    total = np.zeros(n_cells, dtype=np.int64)
    for batch in batches:
        np.add.at(total, batch.column("cell").to_numpy(), batch.column("amount").to_numpy())
    return total


@kernel
def _count(start: Any, channel: Any, room: Any, takings: Any, counted: Any, stamp: Any, total: Any) -> None:
    for u in range(len(start) - 1):
        for o in range(start[u], start[u + 1]):
            for k in range(takings.first[o], takings.first[o + 1]):
                cell, at = takings.cell[k], channel[o]
                if stamp[cell, at] != u:
                    stamp[cell, at], counted[cell, at] = u, 0
                if counted[cell, at] < room[u, at]:
                    counted[cell, at] += 1
                    total[cell] += takings.amount[k]
