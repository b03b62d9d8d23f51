"""What the pruning to offers costs: the best sets of some users beside those of four times as many offers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from notif_rec.planning.choose import best_sets
from notif_rec.planning.context import MAX_OFFERS, PlanContext
from notif_rec.planning.offers import make_offers
from notif_rec.tables import schema

WIDER = 4  # times as many offers
STEPS = 2_000  # of the search over these; where it takes more, the bound says what it left open
PRUNING = schema(
    kept=pa.float64(),  # the user's best set of the plan's offers, prices paid
    wider=pa.float64(),  # the best set found of WIDER times as many; never less than `kept`
    limit=pa.float64(),  # no set of these is worth more
)


def pruning_batch(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """What each user in `users` (tables.PLANNING_INPUT) could have at the context's prices with more offers: one row of PRUNING a user."""
    most = min(WIDER * context.settings.max_offers, MAX_OFFERS)
    wide = replace(context, settings=replace(context.settings, max_offers=most, node_limit=STEPS))
    kept, more = (best_sets(make_offers(users, c), c) for c in (context, wide))
    wider = np.maximum(kept.value, more.value)
    return pa.RecordBatch.from_arrays([pa.array(a) for a in (kept.value, wider, np.maximum(wider, more.bound))], schema=PRUNING)
