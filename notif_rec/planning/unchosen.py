"""Of one user's candidates that could be sent: which are not, why, and what the quotas charge for them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from notif_rec.planning.choose import Choice, takings_by
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.drops import used_up
from notif_rec.planning.offers import Considered
from notif_rec.planning.reasons import CLOSED, EXPLORED, HOLDOUT, MAX_SENDS, NOT_CHOSEN, WEEKLY, bit
from notif_rec.tables import CLASSES

Place = tuple[int, int]  # lane and rank
MARKETING = CLASSES.index("marketing")


def fate_masks(seen: Considered, own: Choice, choice: Choice, context: PlanContext) -> npt.NDArray[np.uint64]:
    """(n_lanes, k) bits of every reason that keeps the one user's candidates from being sent, 0 = it is sent (or there is none).

    A candidate that could be sent but is not has lower_value, or quota where no offer of it is worth what the quotas charge or where
    they overruled the user's `own` choice of it; and max_sends where its channel's room is used up.
    """
    masks, lanes, sent = seen.fate[:, 0].copy(), context.lanes, places(seen, choice.sent)
    wanted, dear = places(seen, own.sent), places(seen, choice.dear).keys() - places(seen, ~choice.dear).keys()
    spent = used_up(seen.offers, choice.sent, context)[0]
    n_sent = np.bincount(lanes.channel[seen.offers.lane[choice.sent]], minlength=len(context.channels))
    for lane, channel in enumerate(lanes.channel.tolist()):
        held = bool(seen.verdict.held[0]) and lanes.item_class[lane] == MARKETING
        explored = choice.explored[0] == channel and lanes.item_class[lane] == MARKETING
        for rank in np.flatnonzero(seen.ranking.item[lane, 0] >= 0).tolist():
            place = (lane, rank)
            if place in sent:
                masks[place] = 0
            elif held:
                masks[place] |= bit(HOLDOUT)
            elif masks[place] == 0:
                charged = place in wanted or place in dear
                masks[place] = bit(CLOSED if charged else EXPLORED if explored else NOT_CHOSEN)
                if spent[channel] and lanes.item_class[lane] == MARKETING:
                    masks[place] |= bit(WEEKLY)
                elif n_sent[channel] >= seen.verdict.room[0, channel]:
                    masks[place] |= bit(MAX_SENDS)
    return masks


def places(seen: Considered, chosen: npt.NDArray[np.bool_]) -> Mapping[Place, int]:
    """The moment of each (lane, place in its ranking) that a chosen offer of the one user holds."""
    offers = seen.offers
    return {
        (int(offers.lane[row]), int(rank)): int(offers.moment[row])
        for row in np.flatnonzero(chosen)
        for rank in seen.ranks[row][seen.ranks[row] >= 0]
    }


def charges(seen: Considered, context: PlanContext) -> Mapping[Place, str]:
    """What each candidate's best offer is worth, and what the quotas charge for it: `worth 0.031, the email price today is 0.034`."""
    market, offers = context.market, seen.offers
    if market is None:
        return {}
    takings, told = takings_by(offers, context), dict[Place, str]()
    for row in np.argsort(-offers.value, kind="stable")[::-1]:  # the most valuable offer of a candidate has the last word
        cells = takings.cell[takings.first[row] : takings.first[row + 1]]
        amounts = takings.amount[takings.first[row] : takings.first[row + 1]]
        said = [_charge(int(cell), int(amount), market, context) for cell, amount in zip(cells, amounts, strict=True)]
        words = ", ".join([f"worth {offers.value[row]:.3g}", *(s for s in said if s)])
        told |= {(int(offers.lane[row]), int(rank)): words for rank in seen.ranks[row][seen.ranks[row] >= 0]}
    return told


def _charge(cell: int, amount: int, market: Market, context: PlanContext) -> str:
    name = context.cell_name(int(np.flatnonzero(market.place == cell)[0]))
    if market.shut[cell]:
        return f"the quota of {name} is used up"
    paid = market.price[cell] / market.unit[cell] * amount
    return f"the {name} price today is {paid:.3g}" if paid else ""
