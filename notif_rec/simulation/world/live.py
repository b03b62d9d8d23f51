"""Days that pass: what an older system sent before the simulation began, and what people do with what they get."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from notif_rec.simulation.world.answers import answer
from notif_rec.simulation.world.chance import pick
from notif_rec.simulation.world.days import HOUR_US
from notif_rec.simulation.world.laws import CHANNELS
from notif_rec.simulation.world.people import CONSENTS
from notif_rec.simulation.world.records import until
from notif_rec.simulation.world.state import Sends, State, World, make_sends
from notif_rec.simulation.world.truth import visits_expected
from notif_rec.simulation.world.visits import visit

OLD_SHARE = (0.20, 0.10, 0.15)  # of the users who consent, whom the older system sent something on a day, per channel
OLD_ITEMS = (1, 4, 2)  # items of its sends
OLD_HOURS = (9, 21)  # local hours within which it sent


def live(world: World, state: State, day: int, sends: Sends) -> pa.Table:
    """Events of one day, by time, and those of days before that come late; moves the state."""
    expected = visits_expected(world, state, day)
    answers, sessions = answer(world, state, sends, day)
    visits = visit(world, state, day, expected, sessions)
    return until(state, [*answers, *visits], world.days.begin_us(day + 1))


def old_sends(world: World, state: State, day: int) -> Sends:
    """What the older system sends on a day: something popular, at a random hour of the day, to a random few."""
    people, parts = world.people, []
    refuses = people.consent == CONSENTS.index("no")
    for channel in range(len(CHANNELS)):
        chosen = world.draw("old", np.arange(people.n), day, channel) < OLD_SHARE[channel]
        user = np.flatnonzero(chosen & (people.arrives <= day) & ~refuses[:, channel] & (state.leaves[:, channel] > day))
        hour = OLD_HOURS[0] + (world.draw("old-hour", user, day, channel) * (OLD_HOURS[1] - OLD_HOURS[0])).astype(np.int64)
        within = (world.draw("old-minute", user, day, channel) * HOUR_US).astype(np.int64)
        us = world.days.at_hour(people.zone[user], day, hour, within)
        place = np.arange(OLD_ITEMS[channel])
        drawn = world.draw("old-item", user[:, None], day, channel, place)
        popular = world.catalogue.interest(day).mean(axis=0)
        item = pick(drawn.ravel(), popular).reshape(drawn.shape)
        parts.append((user, np.full(len(user), channel), us, np.full(len(user), len(place)), item.ravel()))
    users, channels, times, sizes, items = (np.concatenate(column) for column in zip(*parts, strict=True))
    return make_sends(users, channels, times, pa.nulls(len(users), pa.string()), sizes, items)
