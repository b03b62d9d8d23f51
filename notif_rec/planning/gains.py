"""What opens and clicks count for where sends are valued by what they add to what would have happened anyway."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from notif_rec.planning.context import PlanContext
from notif_rec.scoring.incremental import RESPONSE, Increment
from notif_rec.tables import CLASSES

FloatArray = npt.NDArray[np.float64]
TRANSACTIONAL = CLASSES.index("transactional")


def increment_of(lane: int, context: PlanContext) -> Increment | None:
    """The increment that the lane's sends are valued by; None = by response: so are transactional ones, which held-out users get too."""
    if context.incremental is None or context.lanes.item_class[lane] == TRANSACTIONAL:
        return None
    found = context.incremental.channels[context.names[context.lanes.channel[lane]]]
    return None if found.kind == RESPONSE else found


def gains_of(
    lane: int, item: npt.NDArray[np.int32], p_click: FloatArray, p_open: FloatArray, features: npt.NDArray[np.float32], context: PlanContext
) -> FloatArray:
    """(n,) what to multiply the worth of a message's opens and clicks by, so that the best message of a user is worth what it adds:
    worth(clicked) · uplift, since a click is a visit. Other messages are worth as much less as they are answered less. 1 by response.

    item, p_click, p_open: (n, k) the user's list; the first item leads the best message.
    """
    increment = increment_of(lane, context)
    if increment is None:
        return np.ones(len(item))
    size, worth = int(context.lanes.size[lane]), context.settings.worth
    clicks = np.where(item[:, :size] >= 0, p_click[:, :size], 0.0).sum(axis=1)
    answered = worth.opened * p_open[:, 0] + worth.clicked * clicks
    added = worth.clicked * increment.foretold(features)[1]
    gains: FloatArray = np.divide(added, answered, out=np.zeros(len(item)), where=answered > 0)
    return gains
