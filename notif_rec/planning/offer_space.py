"""What compiled code fills while it makes offers: messages, their scratch space, and the offers themselves."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.planning.caps import Recoveries

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


class Built(NamedTuple):
    """A user's messages before they meet moments; see contents.fill_contents."""

    lane: IntArray
    way: IntArray
    order: IntArray
    size: IntArray
    ranks: npt.NDArray[np.int16]
    moments: npt.NDArray[np.uint64]


class Work(NamedTuple):
    """Scratch space of one lane's filling."""

    avoid: npt.NDArray[np.int32]
    used: npt.NDArray[np.uint8]
    ranks: npt.NDArray[np.int16]
    sizes: IntArray
    moments: npt.NDArray[np.uint64]


class Made(NamedTuple):
    """Offers of a batch, (n_users, max_offers) each, ranks (n_users, max_offers, widest)."""

    lane: npt.NDArray[np.int8]
    moment: npt.NDArray[np.int32]
    content: npt.NDArray[np.int16]
    value: FloatArray
    weight: FloatArray
    categories: npt.NDArray[np.uint64]
    size: npt.NDArray[np.int16]
    ranks: npt.NDArray[np.int16]


class Chances(NamedTuple):
    """What compiled code needs to value a message."""

    p_click: FloatArray
    p_open: FloatArray
    p_unsubscribe: FloatArray
    gain: FloatArray
    hour_weight: FloatArray
    opened: float
    clicked: float
    unsubscribed: float
    recoveries: Recoveries
