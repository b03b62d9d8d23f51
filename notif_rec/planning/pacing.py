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
    marketing messages only as many as are due, the most valuable ones. Where none is due, none is left to choose from.
    """
    if all(weekly is None or weekly.price is None for weekly in context.weekly):
        return offers
    room, due, barred = offers.verdict.room.copy(), np.full(offers.verdict.room.shape, UNLIMITED), np.zeros(offers.n, np.bool_)
    owner, classes = offers.owner(), context.lanes.item_class[offers.lane]
    for channel, weekly in enumerate(context.weekly):
        if weekly is None or weekly.price is None:
            continue
        share = due_now(offers, context, channel, weekly, demand_of(offers, context, channel, weekly))
        binds, here = share < room[:, channel], context.lanes.channel[offers.lane] == channel
        due[binds, channel] = share[binds]
        both = np.bincount(owner[here & (classes != MARKETING)], minlength=offers.users.n) > 0
        room[:, channel] = np.where(binds & ~both, share, room[:, channel])
        rows = np.flatnonzero(here & (classes == MARKETING) & (binds & (both | (share == 0)))[owner])
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


def words_of_shares(offers: Offers, context: PlanContext) -> dict[str, str]:
    """By channel with a settled budget, how the first user of the batch stands to it: `1 of 3 this week, none due yet`."""
    told = {}
    for channel, weekly in enumerate(context.weekly):
        if weekly is None or weekly.price is None or not offers.users.n:
            continue
        demand = demand_of(offers, context, channel, weekly)
        granted, due = int(weekly.granted(demand.slopes, demand.tie)[0]), int(due_now(offers, context, channel, weekly, demand)[0])
        spent = int(demand.spent[0])
        if due > 0:
            word = f", {due} due now"
        elif granted > 0:
            word = ", none due yet"
        elif spent >= weekly.most:
            word = ", the most that a user gets"
        elif not demand.reached[0]:
            word = "; nothing could be sent now"
        else:
            adds = float(demand.slopes[0, 0]) if weekly.most else 0.0
            price = "nothing is left of the budget" if np.isinf(weekly.price) else f"the price is {weekly.price:.3g}"
            word = f"; one more adds {adds:.3g}, {price}"
        told[context.names[channel]] = f"{spent} of {spent + granted} this week{word}"
    return told
