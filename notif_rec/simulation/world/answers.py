"""What becomes of a day's sends: opens, clicks, unsubscribes, and the events that tell of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import ndtri

from notif_rec.simulation.world.days import DAY_US, Int64s
from notif_rec.simulation.world.laws import CHANNELS, HURT, LATE, LATE_DAYS, LAWS, LEAVES_ALL
from notif_rec.simulation.world.records import record
from notif_rec.simulation.world.state import STAYS, Sends, State, World
from notif_rec.simulation.world.truth import Truth, fatigue_of, truth_of

Bools = npt.NDArray[np.bool_]
MINUTE_US = 60_000_000
LONGEST_US = 5 * DAY_US  # to an open
DELAY_SPREAD = 0.9


def answer(world: World, state: State, sends: Sends, day: int) -> tuple[list[pa.Table], Int64s]:
    """Events that the sends of a day bring, and the sessions (n_users,) that began with a click; moves the state.

    Sends on a channel that the user left are not delivered, and bring nothing.
    """
    sends = sends.where(state.leaves[sends.user, sends.channel] > day)
    truth = truth_of(world, state, sends, day)
    opened, clicked = _drawn(world, sends, truth, day)
    delay_us = _delays(world, sends, day)
    leaving, leave_us, everywhere = _leavers(world, state, sends, truth, day)
    fatigue_of(state, sends, live=True)
    _ignore(state, sends, opened)
    _leave(world, state, sends, leaving, leave_us, everywhere)
    by_send = np.bincount(sends.owner, clicked, sends.n).astype(np.int64)
    sessions = _session(state, sends, by_send > 0, delay_us)
    state.seen[sends.user[sends.owner[clicked]], sends.item[clicked]] = True
    for name, of in (("sends", np.ones(sends.n)), ("opens", opened), ("clicks", by_send)):
        state.counts[name] += np.bincount(sends.user, of, world.people.n).astype(np.int64)
    state.counts["unsubscribes"] += np.bincount(sends.user[leaving], minlength=world.people.n)
    events = _events(world, sends, opened, clicked, delay_us)
    channel = np.where(everywhere, -1, sends.channel[leaving])
    events.append(record(world, sends.user[leaving], None, channel, "unsubscribed", leave_us, sends.key.take(pa.array(leaving))))
    return events, sessions


def _drawn(world: World, sends: Sends, truth: Truth, day: int) -> tuple[Bools, Bools]:
    """Which sends are opened, and which of their items clicked."""
    owner = sends.owner
    opened = world.draw("open", sends.user, day, sends.channel, sends.first) < truth.opened
    clicked = world.draw("click", sends.user[owner], day, sends.channel[owner], sends.item) < truth.clicked
    return np.asarray(opened), np.asarray(clicked & opened[owner])


def _delays(world: World, sends: Sends, day: int) -> Int64s:
    median = np.array([LAWS[name].delay_minutes for name in CHANNELS])[sends.channel]
    chance = ndtri(world.draw("delay", sends.user, day, sends.channel, sends.first).clip(1e-9, 1 - 1e-9))
    delay = median * np.exp(DELAY_SPREAD * chance)
    found: Int64s = np.minimum(delay * MINUTE_US, LONGEST_US).astype(np.int64)
    return found


def _leavers(world: World, state: State, sends: Sends, truth: Truth, day: int) -> tuple[Int64s, Int64s, Bools]:
    """The sends that users answer by unsubscribing, when, and whether from everything; one a user and day, and none that is under way."""
    user, channel = sends.user, sends.channel
    draws = world.draw("leave", user, day, channel, sends.first) < truth.unsubscribed
    rows = np.flatnonzero(draws & (state.leaves[user, channel] == STAYS))
    rows = rows[np.diff(user[rows], prepend=-1) != 0]
    about = (user[rows], day, channel[rows], sends.first[rows])
    late = np.where(world.draw("late", *about) < LATE, -LATE_DAYS * np.log1p(-world.draw("how-late", *about)), 0.0)
    us = sends.us[rows] + _delays(world, sends, day)[rows] + (late * DAY_US).astype(np.int64)
    return rows, us, np.asarray(world.draw("leaves-all", *about) < LEAVES_ALL)


def _leave(world: World, state: State, sends: Sends, rows: Int64s, us: Int64s, everywhere: Bools) -> None:
    """Closes the channels for good from the day after the unsubscribe: the day's own lists are out already."""
    user, after = sends.user[rows], 1 + (us - world.days.begin_us(0)) // DAY_US
    for channel in range(len(CHANNELS)):
        shuts = everywhere | (sends.channel[rows] == channel)
        state.leaves[user[shuts], channel] = np.minimum(state.leaves[user[shuts], channel], after[shuts])
    state.hurt[user] *= HURT


def _ignore(state: State, sends: Sends, opened: Bools) -> None:
    turn = sends.turn
    for number in range(int(turn.max(initial=-1)) + 1):
        rows = np.flatnonzero(turn == number)
        user, channel = sends.user[rows], sends.channel[rows]
        state.ignored[user, channel] = np.where(opened[rows], 0, state.ignored[user, channel] + 1)


def _session(state: State, sends: Sends, clicked: Bools, delay_us: Int64s) -> Int64s:
    """(n_users,) sessions that clicks began."""
    user = sends.user[clicked]
    np.maximum.at(state.session_us, user, (sends.us + delay_us)[clicked])
    sessions = np.bincount(user, minlength=len(state.session_us))
    state.counts["sessions"] += sessions
    return sessions


def _events(world: World, sends: Sends, opened: Bools, clicked: Bools, delay_us: Int64s) -> list[pa.Table]:
    """Receipts, opens, clicks, and the view that follows a click."""
    owner, answered = sends.owner, sends.us + delay_us
    ours = sends.key.is_valid().to_numpy(zero_copy_only=False)
    receipt = np.where(ours[owner], np.arange(len(owner)) == sends.start[owner], True)  # a key says the rest
    at = np.arange(len(owner)) - sends.start[owner]
    clicked_us = answered[owner] + MINUTE_US * (1 + at)

    def told(event: str, rows: Any, us: Any, channel: Any = None) -> pa.Table:
        of = owner[rows]
        where = sends.channel[of] if channel is None else np.full(len(of), channel)
        key = sends.key.take(pa.array(of)) if channel is None else None
        return record(world, sends.user[of], sends.item[rows], where, event, us[rows], key)

    return [
        told("sent", receipt, sends.us[owner]),
        told("opened", opened[owner] & (at == 0), answered[owner]),
        told("clicked", clicked, clicked_us),
        told("view", clicked, clicked_us + MINUTE_US // 2, channel=-1),
    ]
