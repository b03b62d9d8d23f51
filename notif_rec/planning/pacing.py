"""The daily pacer: of a user's sends of a week, those that may go out in this plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.chance import draw_key, mixed
from notif_rec.planning.context import PlanContext
from notif_rec.planning.menus import UNLIMITED
from notif_rec.planning.offered import Offers, unpack_offers
from notif_rec.planning.week_worth import MARKETING, Demand, demand_of, own_sends, places_of
from notif_rec.planning.weekly import WEEK_US, Weekly

IntArray = npt.NDArray[np.int64]


def read_offers(batch: pa.RecordBatch, context: PlanContext) -> Offers:
    """The offers in `batch` (tables.OFFERS), paced."""
    return paced(unpack_offers(batch, context), context)


def paced(offers: Offers, context: PlanContext) -> Offers:
    """The offers with no more room on channels with a weekly budget than is due to each user now.

    Transactional sends count against no budget and need none. A user with offers of both kinds on a channel keeps its room, but of the
    marketing messages only as many as are due, the most valuable ones.
    """
    room, due, barred = offers.verdict.room.copy(), np.full(offers.verdict.room.shape, UNLIMITED), np.zeros(offers.n, np.bool_)
    owner, classes = offers.owner(), context.lanes.item_class[offers.lane]
    for channel, weekly in enumerate(context.weekly):
        if weekly is None or weekly.price is None:
            continue
        demand = demand_of(offers, context, channel, weekly)
        share = due_now(offers, context, channel, weekly, demand)
        binds, here = share < room[:, channel], context.lanes.channel[offers.lane] == channel
        due[binds, channel] = share[binds]
        both = np.bincount(owner[here & (classes != MARKETING)], minlength=offers.users.n) > 0
        room[:, channel] = np.where(binds & ~both, share, room[:, channel])
        rows = np.flatnonzero(here & (classes == MARKETING) & (binds & both)[owner])
        barred[rows] = places_of(owner[rows], offers.content[rows], offers.value[rows]) >= share[owner[rows]]
    if (due == UNLIMITED).all():
        return offers
    return replace(offers, verdict=replace(offers.verdict, room=room, due=due), barred=barred)


def due_now(offers: Offers, context: PlanContext, channel: int, weekly: Weekly, demand: Demand) -> IntArray:
    """(n_users,) marketing sends that this plan may make to each user on the channel.

    The k sends of a week fall due at even distances, from a moment of the week that chance sets once for each user, so that users
    spread evenly over the days. One that fell due and was not made stands until the next falls due. Never above k less what the week
    that ends with the plan holds already, so that no such week gets more than k.
    """
    settings, users = context.settings, offers.users
    k = demand.spent + weekly.granted(demand.slopes, demand.tie)
    key = draw_key(settings.seed, f"weekly-phase|{context.names[channel]}", 0)
    phase = (mixed(users.user_hash ^ np.uint64(key)) % np.uint64(WEEK_US)).astype(np.int64)
    plans_back = WEEK_US // (np.maximum(k, 1) * settings.horizon_us)
    since = np.maximum(settings.as_of_us - plans_back * settings.horizon_us, min(weekly.since_us, settings.as_of_us))
    fallen = (k * settings.end_us + phase) // WEEK_US - (k * since + phase) // WEEK_US
    made = np.bincount(own_sends(offers, context, channel, since), minlength=users.n)
    at_once = -(-k * settings.horizon_us // WEEK_US)
    return np.asarray(np.clip(np.minimum(k - demand.spent, fallen - made), 0, at_once), np.int64)
