"""What the world is, which never changes, and how it stands, which every day moves; and the sends that a day brings."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.simulation.world.catalogue import Catalogue, make_catalogue
from notif_rec.simulation.world.chance import FloatArray, Ints, uniform
from notif_rec.simulation.world.days import Days, Int64s, make_days
from notif_rec.simulation.world.laws import CHANNELS
from notif_rec.simulation.world.people import People, make_people

STAYS = 10**6  # a day that never comes
COUNTS = ("sends", "opens", "clicks", "sessions", "unsubscribes")
TIME = pa.timestamp("us", "UTC")
EVENTS = pa.schema(
    {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "channel": pa.string(),
        "event": pa.string(),
        "timestamp": TIME,
        "send_key": pa.string(),
    }
)


@dataclass(frozen=True)
class World:
    """Everything that (seed, start, sizes) settles: the same for every policy.

    luck: another number is the same world, the same people and the same truth on a day when the dice fall otherwise.
    """

    seed: int
    days: Days
    people: People
    catalogue: Catalogue
    luck: int = 0

    def draw(self, purpose: str, *about: Ints | int) -> FloatArray:
        """Uniform noise, a function of (seed, luck, purpose, about) alone: see chance.uniform."""
        return uniform(self.seed, f"{purpose} {self.luck}", *about)

    @cached_property
    def everybody(self) -> FloatArray:
        """(TOPICS,) the taste of all users together."""
        return np.asarray(self.people.taste.mean(axis=0), dtype=np.float64)


def make_world(seed: int, start: datetime, *, users: int, days: int, history: int) -> World:
    """A world with `users` users at first, of which the days −history … days − 1 can be lived."""
    calendar = make_days(seed, start, history, days)
    return World(seed, calendar, make_people(seed, users, calendar), make_catalogue(seed, calendar))


@dataclass(frozen=True)
class State:
    """How the world stands; arrays of one row a user, changed in place by the days that pass.

    fatigue: (n, n_channels) as of fatigue_us (n,). ignored: (n, n_channels) sends in a row without an open. leaves: (n, n_channels)
    the day from which a channel is closed for good. session_us: the last session. hurt: what unsubscribing left of the visits.
    seen: (n, n_items). counts: name → (n,) of COUNTS, since they were last cleared.
    """

    fatigue: FloatArray
    fatigue_us: Int64s
    ignored: Int64s
    leaves: Int64s
    session_us: Int64s
    hurt: FloatArray
    seen: npt.NDArray[np.bool_]
    counts: dict[str, Int64s]
    pending: list[pa.Table]  # events of later days

    def copy(self) -> Self:
        """The same standing, to be lived on under another policy."""
        told = {f.name: getattr(self, f.name) for f in fields(self)}
        arrays = {name: value.copy() for name, value in told.items() if isinstance(value, np.ndarray)}
        return type(self)(**arrays, counts={name: of.copy() for name, of in self.counts.items()}, pending=list(self.pending))

    def clear_counts(self) -> None:
        """Counts begin anew."""
        for count in self.counts.values():
            count[:] = 0


def first_state(world: World) -> State:
    """The world on its first day: rested, and everybody just seen."""
    n, shape, begin = world.people.n, (world.people.n, len(CHANNELS)), world.days.begin_us(world.days.first)
    return State(
        fatigue=np.zeros(shape),
        fatigue_us=np.full(n, begin),
        ignored=np.zeros(shape, dtype=np.int64),
        leaves=np.full(shape, STAYS),
        session_us=np.full(n, begin),
        hurt=np.ones(n),
        seen=np.zeros((n, world.catalogue.n), dtype=np.bool_),
        counts={name: np.zeros(n, dtype=np.int64) for name in COUNTS},
        pending=[],
    )


@dataclass(frozen=True)
class Sends:
    """Sends of one day, ordered by (user, time); send s holds the items item[start[s]:start[s + 1]], the first on top.

    user, item: rows of the world's. channel: places in CHANNELS. key: null for sends of an older system.
    """

    user: Int64s
    channel: Int64s
    us: Int64s
    key: pa.Array
    start: Int64s
    item: Int64s

    @property
    def n(self) -> int:
        return len(self.user)

    @property
    def owner(self) -> Int64s:
        """The send of each item."""
        return np.repeat(np.arange(self.n), np.diff(self.start))

    @property
    def first(self) -> Int64s:
        """The item on top of each send."""
        return self.item[self.start[:-1]]

    @property
    def turn(self) -> Int64s:
        """The place of each send among the day's sends to its user, from 0."""
        begins = np.flatnonzero(np.diff(self.user, prepend=-1))
        return np.arange(self.n) - np.repeat(begins, np.diff(np.append(begins, self.n)))

    def where(self, keep: npt.NDArray[np.bool_]) -> Sends:
        """Some of the sends, in their order."""
        sizes = np.diff(self.start)
        start = np.concatenate(([0], np.cumsum(sizes[keep])))
        kept = pa.array(np.flatnonzero(keep))
        return Sends(self.user[keep], self.channel[keep], self.us[keep], self.key.take(kept), start, self.item[np.repeat(keep, sizes)])


def make_sends(user: Int64s, channel: Int64s, us: Int64s, key: pa.Array, sizes: Int64s, item: Int64s) -> Sends:
    """Sends in any order, each with `sizes` of the items in a row."""
    order = np.lexsort((channel, us, user))
    start = np.cumsum(sizes) - sizes
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes[order]) - sizes[order], sizes[order])
    items = item[np.repeat(start[order], sizes[order]) + within]
    begin = np.concatenate(([0], np.cumsum(sizes[order])))
    return Sends(user[order], channel[order], us[order], key.take(pa.array(order)), begin, items)
