"""People who come by themselves: visits by hour and weekday, what they look at, save and buy."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from notif_rec.simulation.world.chance import FloatArray, pick, poisson
from notif_rec.simulation.world.days import HOUR_US, Int64s
from notif_rec.simulation.world.laws import INSTEAD, LIKING_CLICKED, PURCHASED, SAVED, VIEWS
from notif_rec.simulation.world.records import record
from notif_rec.simulation.world.state import State, World
from notif_rec.simulation.world.truth import liking

MINUTE_US = 60_000_000


def visit(world: World, state: State, day: int, expected: FloatArray, replaced: Int64s) -> list[pa.Table]:
    """Events of a day's visits; moves the state. replaced: (n_users,) sessions that clicks began, which stand for visits at times.

    expected: visits_expected as the day began.
    """
    user, number = _visitors(world, day, expected, replaced)
    zone = world.people.zone[user]
    hour = pick(world.draw("visit-hour", user, day, number), world.people.hours[user]) if len(user) else user
    within = (world.draw("visit-minute", user, day, number) * HOUR_US).astype(np.int64)
    us = world.days.at_hour(zone, day, hour, within)
    np.maximum.at(state.session_us, user, us)
    state.counts["sessions"] += np.bincount(user, minlength=world.people.n)
    views = 1 + poisson(world.draw("views", user, day, number), np.full(len(user), VIEWS))
    of = np.repeat(np.arange(len(user)), views)
    place = np.arange(len(of)) - np.repeat(np.cumsum(views) - views, views)
    return _looked_at(world, state, day, user[of], number[of] * 64 + place, us[of] + place * MINUTE_US)


def _visitors(world: World, day: int, expected: FloatArray, replaced: Int64s) -> tuple[Int64s, Int64s]:
    """The user of each visit, and its number among the user's of the day."""
    who = np.arange(world.people.n)
    count = poisson(world.draw("visits", who, day), expected)
    count = np.maximum(count, world.people.arrives == day)  # who arrives, comes
    gone = np.flatnonzero((replaced > 0) & (count > 0))
    count[gone] -= world.draw("instead", gone, day) < INSTEAD
    user = np.repeat(who, count)
    return user, np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)


def _looked_at(world: World, state: State, day: int, user: Int64s, which: Int64s, us: Int64s) -> list[pa.Table]:
    """Views by taste, season and appeal, and the saves and purchases among them."""
    season = world.days.season[day - world.days.first]
    topic = pick(world.draw("topic", user, day, which), _shares(world.people.taste[user] * season)) if len(user) else user
    interest = np.cumsum(world.catalogue.interest(day), axis=1)
    edges = (interest / interest[:, -1:] + np.arange(len(interest))[:, None]).ravel()
    place = np.searchsorted(edges, topic + world.draw("item", user, day, which), side="right")
    item = np.minimum(place - topic * world.catalogue.n, world.catalogue.n - 1)
    state.seen[user, item] = True
    liked = np.exp(LIKING_CLICKED * liking(world, user, item, day))
    nowhere = np.full(len(user), -1)
    events = [record(world, user, item, nowhere, "view", us)]
    for event, share in (("save", SAVED), ("purchase", PURCHASED)):
        does = world.draw(event, user, day, which) < share * liked
        events.append(record(world, user[does], item[does], nowhere[does], event, us[does] + MINUTE_US // 2))
    return events


def _shares(weight: FloatArray) -> FloatArray:
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)
