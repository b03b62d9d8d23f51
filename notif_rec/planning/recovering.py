"""Items that a user was sent and that are worth less for a while: by how much, and their later place in the user's list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.contents import find_item
from notif_rec.planning.context import PlanContext
from notif_rec.planning.ranking import Ranking
from notif_rec.planning.users import Users


def demoted(ranking: Ranking, users: Users, context: PlanContext) -> Ranking:
    """The ranking once items that were sent of late stand where their worth at the plan's first moment puts them."""
    recoveries, lanes = context.recoveries, context.lanes
    if not len(recoveries.penalty):
        return ranking
    moved = {name: getattr(ranking, name).copy() for name in ("item", "score", "source", "p_click", "p_open")}
    penalty, worth = np.zeros(ranking.item.shape), context.settings.worth.clicked * context.facts.value
    _demote(
        moved["item"], moved["score"], moved["source"], moved["p_click"], moved["p_open"], penalty, lanes.channel, lanes.item_class, worth,
        context.grid.first_us, users.sent_items, recoveries,
    )  # fmt: skip
    return replace(ranking, **moved, penalty=penalty)


@inner
def penalty_of(u: int, item: int, channel: int, item_class: int, us: int, sent: Any, recoveries: Any) -> float:
    """What an item loses at a time under all rules that bind it: Σ penalty · 2^(−age / half_life), age since its last send till then."""
    total = 0.0
    for rule in range(len(recoveries.penalty)):
        if not recoveries.channels[rule, channel] or not recoveries.binds[rule, item_class]:
            continue
        end = sent.start[u + 1]
        at = find_item(sent.item, sent.start[u], end, item)
        last, met = np.int64(0), False
        while at < end and sent.item[at] == item and sent.us[at] <= us:
            by = sent.channel[at]
            if by >= 0 and recoveries.channels[rule, by] and recoveries.counts[rule, sent.item_class[at]]:
                last, met = sent.us[at], True
            at += 1
        if met:
            total += recoveries.penalty[rule] * 2.0 ** (-(us - last) / recoveries.half_life_us[rule])
    return total


@kernel
def _demote(
    item: Any, score: Any, source: Any, p_click: Any, p_open: Any, penalty: Any, lane_channel: Any, lane_class: Any, worth: Any, us: int,
    sent: Any, recoveries: Any,
) -> None:  # fmt: skip
    """Moves items that lost value behind those that are now worth more, and fills `penalty`; all else keeps its order.

    An item's worth is worth[item] · p_click less the penalty at time `us`; of items without one, no earlier place is taken for worth
    less than a later one, since the list is by taste.
    """
    n_lanes, n_users, k = item.shape
    gain = np.empty(k)
    for lane in range(n_lanes):
        for u in range(n_users):
            lost, least = 0.0, np.inf
            n = 0
            while n < k and item[lane, u, n] >= 0:
                least = min(least, worth[item[lane, u, n]] * p_click[lane, u, n])
                penalty[lane, u, n] = penalty_of(u, item[lane, u, n], lane_channel[lane], lane_class[lane], us, sent, recoveries)
                gain[n] = least - penalty[lane, u, n]
                lost += penalty[lane, u, n]
                n += 1
            if lost > 0.0:
                _sort(n, gain, item[lane, u], score[lane, u], source[lane, u], p_click[lane, u], p_open[lane, u], penalty[lane, u])


@inner
def _sort(n: int, gain: Any, item: Any, score: Any, source: Any, p_click: Any, p_open: Any, penalty: Any) -> None:
    """Insertion by falling gain; equals keep their order."""
    for i in range(1, n):
        k = i
        while k > 0 and gain[k - 1] < gain[k]:
            gain[k - 1], gain[k] = gain[k], gain[k - 1]
            item[k - 1], item[k] = item[k], item[k - 1]
            score[k - 1], score[k] = score[k], score[k - 1]
            source[k - 1], source[k] = source[k], source[k - 1]
            p_click[k - 1], p_click[k] = p_click[k], p_click[k - 1]
            p_open[k - 1], p_open[k] = p_open[k], p_open[k - 1]
            penalty[k - 1], penalty[k] = penalty[k], penalty[k - 1]
            k -= 1
