"""What a plan could have held for each user, and how likely each of it was: the choices behind the choice, for `ope`.

An action is a marketing message (channel, moment, set of items), or no message on a channel.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.chance import mixed
from notif_rec.planning.choose import TRANSACTIONAL, Choice, choose
from notif_rec.planning.context import PlanContext
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offered import Offers
from notif_rec.planning.offers import make_offers
from notif_rec.scoring.calibration import inside
from notif_rec.tables import schema

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]
NOTHING_US = -1  # the moment of no message
ANY_US = -2  # instead of a moment: whenever it goes out

# Lists have one entry an action that the plan could have held. content: its name whatever its moment. likely: its probability at the
# context's prices; by_chance: the part of it that comes from exploring its channel. opened, clicked, unsubscribed: expected outcomes,
# clicks weighed by the items' values. taken: the plan held it; drawn: because chance decided on its channel.
CHANCES = schema(
    user=pa.int32(),
    held=pa.bool_(),
    action=pa.list_(pa.uint64()),
    content=pa.list_(pa.uint64()),
    channel=pa.list_(pa.int8()),
    likely=pa.list_(pa.float64()),
    by_chance=pa.list_(pa.float64()),
    opened=pa.list_(pa.float64()),
    clicked=pa.list_(pa.float64()),
    unsubscribed=pa.list_(pa.float64()),
    taken=pa.list_(pa.bool_()),
    drawn=pa.list_(pa.bool_()),
)


def action_ids(user: IntArray, channel: IntArray, us: IntArray, items: HashArray) -> HashArray:
    """64 bits that name an action of a user; items: the sum of `item_marks` over its items, 0 for no message."""
    name = mixed(user.astype(np.uint64) << np.uint64(8) | channel.astype(np.uint64))
    return mixed(mixed(name ^ us.astype(np.uint64)) ^ items)


def item_marks(code: IntArray) -> HashArray:
    """What an item (store code) adds to the name of an action that holds it."""
    return mixed(code.astype(np.uint64) + np.uint64(1))


def chances_batch(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """One row of CHANCES a user in `users` (tables.PLANNING_INPUT); pure, as plan_batch is."""
    offers = make_offers(users, context)
    choice = choose(offers, context)
    owner, parts = _actions(offers, choice, context)
    order = np.argsort(owner, kind="stable")
    ends = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=offers.users.n)))).astype(np.int32)
    lists = [
        pa.ListArray.from_arrays(pa.array(ends), pa.array(parts[field.name][order]).cast(field.type.value_type))
        for field in list(CHANCES)[2:]
    ]
    return pa.RecordBatch.from_arrays([pa.array(offers.users.user), pa.array(offers.verdict.held), *lists], schema=CHANCES)


def _actions(offers: Offers, choice: Choice, context: PlanContext) -> tuple[IntArray, dict[str, npt.NDArray[np.generic]]]:
    """The user of each action, and its columns: messages first, then no message, channel by channel."""
    n_channels, n_users = choice.idle_propensity.shape
    possible = (choice.propensity > 0) | (choice.by_chance > 0)
    row = np.flatnonzero((context.lanes.item_class[offers.lane] != TRANSACTIONAL) & possible)
    sent, silent = _messages(offers, choice, context, row), _silence(offers, choice, context)
    owner = np.concatenate([offers.owner()[row], np.tile(np.arange(n_users), n_channels)])
    return owner, {name: np.concatenate([sent[name], silent[name]]) for name in sent}


def _messages(offers: Offers, choice: Choice, context: PlanContext, row: IntArray) -> dict[str, npt.NDArray[np.generic]]:
    owner, lane = offers.owner()[row], offers.lane[row]
    channel, us, item = context.lanes.channel[lane], context.grid.first_us + STEP_US * offers.moment[row], offers.item[row]
    code = context.model.item_codes[np.maximum(item, 0)]
    marks = np.where(item >= 0, item_marks(code.astype(np.int64)), np.uint64(0)).sum(axis=1, dtype=np.uint64)
    opened, clicked, unsubscribed = expected_outcomes(offers, context, row)
    user = offers.users.user[owner].astype(np.int64)
    return {
        "action": action_ids(user, channel, us, marks),
        "content": action_ids(user, channel, np.full(len(row), ANY_US), marks),
        "channel": channel,
        "likely": choice.propensity[row],
        "by_chance": choice.by_chance[row],
        "opened": opened,
        "clicked": clicked,
        "unsubscribed": unsubscribed,
        "taken": choice.sent[row],
        "drawn": choice.sent[row] & (choice.explored[owner] == channel),
    }


def _silence(offers: Offers, choice: Choice, context: PlanContext) -> dict[str, npt.NDArray[np.generic]]:
    n_channels, n_users = choice.idle_propensity.shape
    channel, user = np.repeat(np.arange(n_channels), n_users), np.tile(offers.users.user.astype(np.int64), n_channels)
    marketing = choice.sent & (context.lanes.item_class[offers.lane] != TRANSACTIONAL)
    spoken = np.zeros((n_channels, n_users), dtype=np.bool_)
    spoken[context.lanes.channel[offers.lane[marketing]], offers.owner()[marketing]] = True
    none, quiet = np.zeros(n_channels * n_users), ~spoken.ravel()
    name = action_ids(user, channel, np.full(len(user), NOTHING_US), np.zeros(len(user), dtype=np.uint64))
    return {
        "action": name,
        "content": name,
        "channel": channel,
        "likely": choice.idle_propensity.ravel(),
        "by_chance": choice.idle_by_chance.ravel(),
        "opened": none,
        "clicked": none,
        "unsubscribed": none,
        "taken": quiet,
        "drawn": quiet & (np.tile(choice.explored, n_channels) == channel),
    }


def expected_outcomes(offers: Offers, context: PlanContext, row: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """p_open, Σ item value × p_click and p_unsubscribe of some offers, as their value counts them."""
    owner, weight, item = offers.owner()[row], offers.weight[row], offers.item[row]
    channel = context.lanes.channel[offers.lane[row]]
    worth = context.items.value[np.maximum(item, 0)] * inside(offers.p_click[row] * weight[:, None])
    clicked = np.where(item >= 0, worth, 0.0).sum(axis=1)
    return inside(offers.p_open[row] * weight), clicked, np.asarray(offers.p_unsubscribe[owner, channel], dtype=np.float64)
