"""Candidates that are not sent, counted by their headline reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.choose import Choice
from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.offered import Dropped, Offers
from notif_rec.planning.ranking import Ranking
from notif_rec.planning.reasons import CLOSED, EXPLORED, HOLDOUT, MAX_SENDS, NOT_CHOSEN, WEEKLY, by_precedence
from notif_rec.planning.search import is_among
from notif_rec.planning.verdict import Verdict, shadow_bits
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint64]
N_REASONS = 64


def count_closed(verdict: Verdict, ranking: Ranking, fate: Masks, context: PlanContext) -> Dropped:
    """The candidates that no choice could send. A lane that rules close to a user as a whole is not ranked: it counts as the candidates
    that its list could have held.
    """
    order, item = by_precedence(context.rules), ranking.item
    closed = np.where(verdict.full != 0, verdict.full, verdict.touch)
    ranked = (item[:, :, 0] >= 0).T | (verdict.open != 0).any(axis=2)
    unranked = np.where(ranked, 0, np.minimum(ranking.eligible, context.settings.candidates)[None, :])
    counts = np.zeros((item.shape[1], len(context.channels), N_REASONS), dtype=np.int64)
    masks = np.where((fate != 0) & (item >= 0), fate | shadow_bits(verdict, context).T[:, :, None], np.uint64(0))
    _count(masks, closed, unranked, context.lanes.channel, order, counts)
    return _ragged(counts)


def count_drops(offers: Offers, choice: Choice, context: PlanContext) -> Dropped:
    """Every candidate that is not sent: those that could not be, and those that were not chosen."""
    counts = np.zeros((offers.users.n, len(context.channels), N_REASONS), dtype=np.int64)
    closed, users = offers.closed, np.arange(offers.users.n)
    counts[np.repeat(users, np.diff(closed.start)), closed.channel, closed.reason] = closed.count
    left, dear, reasons = offers.open.copy(), np.zeros_like(offers.open), _reasons(offers, choice, context)
    rows = np.flatnonzero(choice.sent)
    np.subtract.at(left, (offers.owner()[rows], offers.lane[rows]), offers.size[rows])
    if choice.dear.any():
        _count_dear(offers.start, offers.lane, offers.item, choice.dear, choice.sent, dear)
    dear = np.where(np.isin(reasons, (EXPLORED, NOT_CHOSEN)), dear, 0)
    for lane, channel in enumerate(context.lanes.channel):
        counts[users, channel, reasons[:, lane]] += left[:, lane] - dear[:, lane]
        counts[:, channel, CLOSED] += dear[:, lane]
    return _ragged(counts)


def _reasons(offers: Offers, choice: Choice, context: PlanContext) -> IntArray:
    """(n_users, n_lanes) why a candidate of the lane that could be sent is not, prices apart."""
    lanes, rows, owner = context.lanes, np.flatnonzero(choice.sent), offers.owner()
    n_sent = np.zeros((offers.users.n, len(context.channels)), dtype=np.int64)
    np.add.at(n_sent, (owner[rows], lanes.channel[offers.lane[rows]]), 1)
    marketing = (lanes.item_class == CLASSES.index("marketing"))[None, :]
    due = used_up(offers, choice.sent, context)
    explored = choice.explored[:, None] == lanes.channel[None, :]
    found = np.where(explored & marketing, EXPLORED, NOT_CHOSEN)
    found = np.where((n_sent >= offers.verdict.room)[:, lanes.channel], MAX_SENDS, found)
    found = np.where(due[:, lanes.channel] & marketing, WEEKLY, found)
    return np.where(offers.verdict.held[:, None] & marketing, HOLDOUT, found)


def used_up(offers: Offers, sent: npt.NDArray[np.bool_], context: PlanContext) -> npt.NDArray[np.bool_]:
    """(n_users, n_channels) where what is sent is all the marketing that a weekly budget allows now."""
    if offers.verdict.due is None:
        return np.zeros((offers.users.n, len(context.channels)), np.bool_)
    rows, n_sent = np.flatnonzero(sent), np.zeros(offers.verdict.due.shape, np.int64)
    rows = rows[context.lanes.item_class[offers.lane[rows]] == CLASSES.index("marketing")]
    np.add.at(n_sent, (offers.owner()[rows], context.lanes.channel[offers.lane[rows]]), 1)
    return np.asarray(n_sent >= offers.verdict.due, np.bool_)


def _ragged(counts: IntArray) -> Dropped:
    user, channel, reason = np.nonzero(counts)
    start = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=len(counts)))))
    return Dropped(start, channel.astype(np.int8), reason.astype(np.int8), counts[user, channel, reason].astype(np.int32))


@kernel
def _count_dear(start: Any, lane: Any, item: Any, dear: Any, sent: Any, counts: Any) -> None:
    """Counts, per user and lane, items that are in offers, all of them dear, and in none that is sent."""
    for u in range(len(start) - 1):
        for o in range(start[u], start[u + 1]):
            for m in range(item.shape[1] if dear[o] and not sent[o] else 0):
                if item[o, m] < 0:
                    break
                first, all_dear = True, True
                for p in range(start[u], start[u + 1]):
                    if lane[p] == lane[o] and is_among(item[o, m], item[p], item.shape[1]):
                        first = first and p >= o
                        all_dear = all_dear and dear[p] and not sent[p]
                if first and all_dear:
                    counts[u, lane[o]] += 1


@kernel
def _count(masks: Any, closed: Any, unranked: Any, channel: Any, order: Any, counts: Any) -> None:
    for lane in range(masks.shape[0]):
        for u in range(masks.shape[1]):
            if unranked[u, lane]:
                reason = _headline(closed[u, lane], order)
                if reason >= 0:
                    counts[u, channel[lane], reason] += unranked[u, lane]
                continue
            for r in range(masks.shape[2]):
                reason = _headline(masks[lane, u, r], order)
                if reason >= 0:
                    counts[u, channel[lane], reason] += 1


@inner
def _headline(mask: np.uint64, order: Any) -> int:
    if mask:
        for reason in order:
            if (mask >> np.uint64(reason)) & np.uint64(1):
                return int(reason)
    return -1
