"""Past sends and what became of them, as the engagement models learn from them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
NOT_RANKED = -1


@dataclass(frozen=True)
class SendOutcomes:
    """Past sends whose attribution window is over, one row a send; items lie in `offsets[i]:offsets[i + 1]`.

    user: codes. channel: index. plan_us: the last plan that could have made the send. hour: local hour of the week of the send.
    segment: of the user, -1 = none. opened: opened or clicked; blind: a machine did, nobody knows. unsubscribed: left, and
    leave_known: the window for leaving is over too. features: (n, N_FEATURES) as of plan_us. item_clicked: in [0, 1], a click that
    names no item is spread over the items of its send. item_rank: from 0 among all that the user could have been sent, NOT_RANKED
    where that was not one of them, or nobody looked. item_parts: (n_items, 5) popularity by opens and by clicks, age, affinity and
    repeats (scoring/item_parts.py), as of plan_us. own_before: (n, 3) as planning/hours.own_before. hours_row: the row of own_hours
    (n, 168), what was known of the user's own hours well before the send, -1 where nobody looked.
    """

    user: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    at_us: npt.NDArray[np.int64]
    plan_us: npt.NDArray[np.int64]
    hour: npt.NDArray[np.int16]
    segment: npt.NDArray[np.int32]
    opened: npt.NDArray[np.bool_]
    blind: npt.NDArray[np.bool_]
    unsubscribed: npt.NDArray[np.bool_]
    leave_known: npt.NDArray[np.bool_]
    features: npt.NDArray[np.float32]
    offsets: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    item_clicked: npt.NDArray[np.float32]
    item_rank: npt.NDArray[np.int32]
    item_parts: npt.NDArray[np.int8]
    own_before: npt.NDArray[np.float32]
    hours_row: npt.NDArray[np.int32]
    own_hours: npt.NDArray[np.float32]
    activity: FloatArray  # (n_segments + 1, 168) opens, clicks and visits by local hour, of each segment's users and of everybody

    def of_item(self) -> npt.NDArray[np.int64]:
        """The send of each item."""
        return np.repeat(np.arange(len(self.user)), np.diff(self.offsets))

    def leads(self) -> npt.NDArray[np.int64]:
        """The item that leads each send, the best ranked one, else the first; -1 for a send of none."""
        sizes, of = np.diff(self.offsets), self.of_item()
        rank = np.where(self.item_rank < 0, np.iinfo(np.int32).max, self.item_rank)
        order = np.lexsort((np.arange(len(of)), rank, of))
        lead = np.full(len(sizes), -1, np.int64)
        lead[sizes > 0] = order[self.offsets[:-1][sizes > 0]]
        return lead

    def with_ranks(self, item_rank: npt.NDArray[np.int32]) -> SendOutcomes:
        """The same with these ranks."""
        return replace(self, item_rank=item_rank)

    def where(self, pick: npt.NDArray[np.bool_]) -> SendOutcomes:
        """The sends that `pick` picks, and their items; no copy of all."""
        if pick.all():
            return self
        items = pick[self.of_item()]
        columns: dict[str, Any] = {name: getattr(self, name)[pick] for name in OF_SEND}
        columns |= {name: getattr(self, name)[items] for name in OF_ITEM}
        offsets = np.concatenate(([0], np.cumsum(np.diff(self.offsets)[pick]))).astype(np.int64)
        return SendOutcomes(**columns, offsets=offsets, own_hours=self.own_hours, activity=self.activity)


OF_SEND = (
    "user", "channel", "at_us", "plan_us", "hour", "segment", "opened", "blind", "unsubscribed", "leave_known", "features", "own_before",
    "hours_row",
)  # fmt: skip
OF_ITEM = ("item", "item_clicked", "item_rank", "item_parts")
