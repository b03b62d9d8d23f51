"""Each user's candidates per lane, with the probabilities that their rank gives them before any rule looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.taste import Taste
from notif_rec.planning.context import PlanContext
from notif_rec.planning.users import IntArray, Users
from notif_rec.planning.verdict import Verdict
from notif_rec.scoring.candidates import Lists, retrieve
from notif_rec.scoring.engagement import probabilities

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """item, score, source, p_click: (n_lanes, n_users, k), item -1 where a list ends or the lane is closed to the user.

    p_open, p_unsubscribe: (n_users, n_channels). eligible: (n_lanes,) items that somebody could be sent. penalty: (n_lanes, n_users, k)
    what items that recover lose at the plan's first moment, None where no rule asks.
    """

    item: npt.NDArray[np.int32]
    score: FloatArray
    source: npt.NDArray[np.int8]
    p_click: FloatArray
    p_open: FloatArray
    p_unsubscribe: FloatArray
    eligible: IntArray
    penalty: FloatArray | None = None


def rank_candidates(users: Users, verdict: Verdict, context: PlanContext, *, everything: bool = False) -> Ranking:
    """The best `settings.candidates` items of each user in each lane, live at some moment of the plan.

    Lanes that no moment is left in are not ranked, unless `everything` is asked for (explain).
    """
    lanes, k = context.lanes, context.settings.candidates
    shape = (len(lanes.channel), users.n, k)
    item, source = np.full(shape, -1, dtype=np.int32), np.full(shape, -1, dtype=np.int8)
    score, p_click = np.zeros(shape), np.zeros(shape)
    p_open, p_unsubscribe = (np.zeros((users.n, len(context.channels))) for _ in range(2))
    eligible = [eligible_items(lane, context) for lane in range(shape[0])]
    for lane in range(shape[0]):
        at = int(lanes.channel[lane])
        rows = np.arange(users.n) if everything else np.flatnonzero((verdict.open[:, lane] != 0).any(axis=1))
        if not len(rows) or not eligible[lane].any():
            continue
        item[lane, rows], score[lane, rows], source[lane, rows] = _retrieve(users, rows, at, eligible[lane], context)
        rank = np.where(item[lane, rows] >= 0, np.arange(k, dtype=np.int32), np.int32(-1)).astype(np.int32)
        features = np.ascontiguousarray(users.features[rows, at])
        p_open[rows, at], p_click[lane, rows], p_unsubscribe[rows, at] = probabilities(context.engagement, at, rank, features)
    return Ranking(item, score, source, p_click, p_open, p_unsubscribe, np.array([e.sum() for e in eligible], dtype=np.int64))


def eligible_items(lane: int, context: PlanContext) -> npt.NDArray[np.bool_]:
    """(n_items,) True where an item fits the lane's channel and class and is live at some moment of the plan."""
    items, lanes, grid = context.items, context.lanes, context.grid
    moments = grid.moments_us()
    if not len(moments):
        return np.zeros(len(items.value), dtype=np.bool_)
    live = (items.created_us <= moments[-1]) & (items.expires_us > moments[0])
    found: npt.NDArray[np.bool_] = live & items.channels[:, lanes.channel[lane]] & (items.item_class == lanes.item_class[lane])
    return found


def _retrieve(
    users: Users, rows: IntArray, channel: int, eligible: npt.NDArray[np.bool_], context: PlanContext
) -> tuple[npt.NDArray[np.int32], FloatArray, npt.NDArray[np.int8]]:
    exclude = Lists(*_take(users.seen_start, rows, users.seen_item)) if context.channels[channel].exclude_seen else None
    found = retrieve(
        context.model.channels[context.names[channel]],
        taste_of_rows(users.taste, rows),
        context.model.rows_of_users(users.user[rows]),
        context.settings.candidates,
        eligible=eligible,
        exclude=exclude,
        segment=users.segment[rows],
        audience_of_item=context.items.audience,
        audience=users.audience[rows],
    )
    return found.item_index, found.score, found.source


def taste_of_rows(taste: Taste, rows: IntArray) -> Taste:
    """The taste of some users of a batch, in the order of `rows`."""
    start, item = _take(taste.offsets, rows, taste.item_index)
    _, channel = _take(taste.offsets, rows, taste.channel)
    _, weight = _take(taste.offsets, rows, taste.weight)
    return Taste(start, item, channel, weight)


def _take(start: IntArray, rows: IntArray, values: npt.NDArray[Any]) -> tuple[IntArray, npt.NDArray[Any]]:
    sizes = np.diff(start)[rows]
    offsets = np.concatenate(([0], np.cumsum(sizes)))
    place = np.arange(offsets[-1]) + np.repeat(start[rows] - offsets[:-1], sizes)
    return offsets, values[place]
