"""What raised and lowered the probabilities of some candidates of one user, as the plan came to them."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.context import PlanContext
from notif_rec.planning.ranking import cells_of_candidates, eligible_items, retrieve_candidates
from notif_rec.planning.users import Users, unpack_users
from notif_rec.scoring.influence import Influence, influences
from notif_rec.scoring.item_parts import every_cell

Candidate = tuple[str, str]  # channel and item id


def influences_on(user: pa.RecordBatch, context: PlanContext, wanted: Collection[Candidate]) -> dict[Candidate, list[Influence]]:
    """What moves p of the `wanted` candidates of the one user in `user` (tables.PLANNING_INPUT); others are left out."""
    users, found = unpack_users(user, context.lookup, len(context.channels), len(context.audiences)), dict[Candidate, list[Influence]]()
    ids, parts_of_cell = context.model.item_ids, every_cell()
    for lane, at in enumerate(context.lanes.channel.tolist()):
        if context.names[at] not in {channel for channel, _ in wanted}:
            continue
        for item, cells in _cells_in(users, lane, context).items():
            if (context.names[at], ids[item]) in wanted:
                found[context.names[at], ids[item]] = influences(context.engagement, at, users.features[0, at], parts_of_cell[cells])
    return found


def _cells_in(users: Users, lane: int, context: PlanContext) -> dict[int, npt.NDArray[np.int64]]:
    """Model row → cells by opens and by clicks, of the user's candidates in a lane."""
    rows, at, eligible = np.zeros(1, np.int64), int(context.lanes.channel[lane]), eligible_items(lane, context)
    if not eligible.any():
        return {}
    item, _, _ = retrieve_candidates(users, rows, at, eligible, context)
    opened, clicked = cells_of_candidates(users, rows, at, item, context)
    return {int(item[0, r]): np.array([opened[0, r], clicked[0, r]]) for r in range(item.shape[1]) if item[0, r] >= 0}
