"""Each user's candidates per lane, with the probabilities that their rank gives them before any rule looks at them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.taste import Taste
from notif_rec.planning.context import PlanContext
from notif_rec.planning.gains import gains_of
from notif_rec.planning.users import IntArray, Users
from notif_rec.planning.verdict import Verdict
from notif_rec.scoring.candidates import Lists, retrieve
from notif_rec.scoring.engagement import probabilities, rank_bucket
from notif_rec.scoring.item_cells import Candidates, candidate_cells

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """item, score, source, p_click, p_open: (n_lanes, n_users, k), most likely clicks first, item -1 where a list ends or the lane is
    closed to the user. p_open is that of a send which the item leads.

    p_unsubscribe: (n_users, n_channels). eligible: (n_lanes,) items that somebody could be sent. penalty: (n_lanes, n_users, k)
    what items that recover lose at the plan's first moment, None where no rule asks. gain: (n_lanes, n_users) what the worth of opens and
    clicks is multiplied by (planning/gains.py).
    """

    item: npt.NDArray[np.int32]
    score: FloatArray
    source: npt.NDArray[np.int8]
    p_click: FloatArray
    p_open: FloatArray
    p_unsubscribe: FloatArray
    eligible: IntArray
    gain: FloatArray
    penalty: FloatArray | None = None


def rank_candidates(users: Users, verdict: Verdict, context: PlanContext, *, everything: bool = False) -> Ranking:
    """The best `settings.candidates` items of each user in each lane, live at some moment of the plan.

    Lanes that no moment is left in are not ranked, unless `everything` is asked for (explain).
    """
    lanes, k = context.lanes, context.settings.candidates
    shape = (len(lanes.channel), users.n, k)
    item, source = np.full(shape, -1, dtype=np.int32), np.full(shape, -1, dtype=np.int8)
    score, p_click, p_open, p_unsubscribe = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros((users.n, len(context.channels)))
    gain = np.ones(shape[:2])
    eligible = [eligible_items(lane, context) for lane in range(shape[0])]
    for lane in range(shape[0]):
        at = int(lanes.channel[lane])
        rows = np.arange(users.n) if everything else np.flatnonzero((verdict.open[:, lane] != 0).any(axis=1))
        if not len(rows) or not eligible[lane].any():
            continue
        found, scores, sources = retrieve_candidates(users, rows, at, eligible[lane], context)
        features, cells = np.ascontiguousarray(users.features[rows, at]), cells_of_candidates(users, rows, at, found, context)
        opened, clicked, p_unsubscribe[rows, at] = probabilities(context.engagement, at, cells, features)
        order = np.argsort(np.where(found >= 0, -clicked, np.inf), axis=1, kind="stable")
        for ordered, column in ((item, found), (score, scores), (source, sources), (p_open, opened), (p_click, clicked)):
            ordered[lane, rows] = np.take_along_axis(column, order, axis=1)
        gain[lane, rows] = gains_of(lane, item[lane, rows], p_click[lane, rows], p_open[lane, rows], features, context)
    return Ranking(item, score, source, p_click, p_open, p_unsubscribe, np.array([e.sum() for e in eligible], dtype=np.int64), gain)


def eligible_items(lane: int, context: PlanContext) -> npt.NDArray[np.bool_]:
    """(n_items,) True where an item fits the lane's channel and class and is live at some moment of the plan."""
    items, lanes, grid = context.items, context.lanes, context.grid
    moments = grid.moments_us()
    if not len(moments):
        return np.zeros(len(items.value), dtype=np.bool_)
    live = (items.created_us <= moments[-1]) & (items.expires_us > moments[0])
    found: npt.NDArray[np.bool_] = live & items.channels[:, lanes.channel[lane]] & (items.item_class == lanes.item_class[lane])
    return found


def retrieve_candidates(
    users: Users, rows: IntArray, channel: int, eligible: npt.NDArray[np.bool_], context: PlanContext
) -> tuple[npt.NDArray[np.int32], FloatArray, npt.NDArray[np.int8]]:
    """(n_rows, k) model rows, scores and sources of the candidates of some users on a channel, the best first, −1 where a list ends."""
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


def cells_of_candidates(
    users: Users, rows: IntArray, channel: int, item: npt.NDArray[np.int32], context: PlanContext
) -> tuple[IntArray, IntArray]:
    """(n_rows, k) cells of candidates by opens and by clicks; the rank is the retrieval's."""
    bucket = np.broadcast_to(rank_bucket(np.arange(item.shape[1])), item.shape)
    sent, items = users.sent_items, context.items
    known = Candidates(
        popularity=np.ascontiguousarray(items.popularity[:, channel]),
        age=np.asarray(items.age),
        category=np.asarray(items.category),
        n_categories=len(items.category_names),
        liked_start=users.liked_start,
        liked_category=users.liked_category,
        liked_count=users.liked_count,
        sent_start=sent.start,
        sent_item=sent.item,
        sent_us=sent.us,
    )
    return candidate_cells(item, bucket, rows, context.settings.as_of_us, known)


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
