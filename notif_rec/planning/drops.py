"""Candidates that are not sent, counted by their headline reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.planning.choose import Choice
from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.offers import Offers
from notif_rec.planning.reasons import EXPLORED, HOLDOUT, MAX_SENDS, NOT_CHOSEN, by_precedence
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
Masks = npt.NDArray[np.uint64]
N_REASONS = 64


def fate_masks(offers: Offers, choice: Choice, context: PlanContext) -> Masks:
    """(n_lanes, n_users, k) bits of every reason that keeps a candidate from being sent, 0 = it is sent (or there is none).

    A candidate that could be sent but is not has lower_value, and max_sends where its channel's room is used up.
    """
    masks = offers.fate.copy()
    lanes, users = context.lanes, offers.users
    sent = np.zeros(masks.shape, dtype=np.uint8)
    rows = np.flatnonzero(choice.sent)
    owner = offers.owner()
    n_sent = np.zeros((users.n, len(context.channels)), dtype=np.int64)
    np.add.at(n_sent, (owner[rows], lanes.channel[offers.lane[rows]]), 1)
    for place in range(offers.ranks.shape[1]):
        held = rows[offers.ranks[rows, place] >= 0]
        sent[offers.lane[held], owner[held], offers.ranks[held, place]] = 1
    marketing = (lanes.item_class == CLASSES.index("marketing")).astype(np.uint8)
    _mark(masks, sent, offers.ranking.item, n_sent >= offers.verdict.room, lanes.channel, marketing, offers.verdict.held, choice.explored)
    return masks


@kernel
def _mark(masks: Any, sent: Any, item: Any, full: Any, channel: Any, marketing: Any, held: Any, explored: Any) -> None:
    one = np.uint64(1)
    for lane in range(masks.shape[0]):
        for u in range(masks.shape[1]):
            for r in range(masks.shape[2]):
                if item[lane, u, r] < 0:
                    break
                if sent[lane, u, r]:
                    continue
                if held[u] and marketing[lane]:
                    masks[lane, u, r] |= one << np.uint64(HOLDOUT)
                elif masks[lane, u, r] == 0:
                    masks[lane, u, r] = one << np.uint64(EXPLORED if explored[u] == channel[lane] and marketing[lane] else NOT_CHOSEN)
                    if full[u, channel[lane]]:
                        masks[lane, u, r] |= one << np.uint64(MAX_SENDS)


def count_drops(offers: Offers, choice: Choice, context: PlanContext) -> tuple[IntArray, IntArray, IntArray, IntArray]:
    """start, channel, reason, count: ragged by user, by channel and then reason number; counts above zero alone.

    A lane that rules close to a user as a whole is not ranked: it counts as the candidates that its list could have held.
    """
    masks, verdict, order = fate_masks(offers, choice, context), offers.verdict, by_precedence(context.rules)
    closed = np.where(verdict.full != 0, verdict.full, verdict.touch)
    ranked = (offers.ranking.item[:, :, 0] >= 0).T | (verdict.open != 0).any(axis=2)
    unranked = np.where(ranked, 0, np.minimum(offers.ranking.eligible, context.settings.candidates)[None, :])
    counts = np.zeros((offers.users.n, len(context.channels), N_REASONS), dtype=np.int64)
    _count(masks, offers.ranking.item, closed, unranked, context.lanes.channel, order, counts)
    user, channel, reason = np.nonzero(counts)
    start = np.concatenate(([0], np.cumsum(np.bincount(user, minlength=offers.users.n))))
    return start, channel, reason, counts[user, channel, reason]


@kernel
def _count(masks: Any, item: Any, closed: Any, unranked: Any, channel: Any, order: Any, counts: Any) -> None:
    for lane in range(masks.shape[0]):
        for u in range(masks.shape[1]):
            if unranked[u, lane]:
                reason = _headline(closed[u, lane], order)
                if reason >= 0:
                    counts[u, channel[lane], reason] += unranked[u, lane]
                continue
            for r in range(masks.shape[2]):
                if item[lane, u, r] < 0:
                    break
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
