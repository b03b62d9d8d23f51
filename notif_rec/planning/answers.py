"""What became of the sends: opens, clicks and unsubscribes attributed to them, machines' opens, runs of ignored sends."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.attribution import ANY_CHANNEL, attribute
from notif_rec.planning.bucket import CLICKED, LONG_AGO, OPENED, ORGANIC, OTHER_CHANNEL, Array, BoolArray, Events
from notif_rec.planning.facts import Facts
from notif_rec.planning.sends import Sends
from notif_rec.scoring.features import JUDGED_US, NEVER
from notif_rec.tables import OUTCOMES

LEAVING = tuple(OUTCOMES.index(name) for name in ("unsubscribed", "complained"))
NO_VISIT = tuple(place for place, name in enumerate(OUTCOMES) if name not in ("opened", "clicked"))
ACTIVE_WITHIN = "INTERVAL 30 DAY"
MINUTE_US = 60_000_000
EARLY_US = 60 * MINUTE_US  # clocks that differ by more are no clocks
MACHINE_US, MACHINE_SENDS, MACHINE_PAST, MACHINE_SHARE = 10_000_000, 4, 20, 0.9
READ_ON_THE_SPOT = "in_app"


@dataclass(frozen=True)
class Oddities:
    """What input had that is not as it should be, counted. unattributed: outcomes that belong to no send, `early` of them because they
    came up to an hour before one. doubled: clicks on what was clicked before. machine: opens that a machine made."""

    unattributed: int = 0
    early: int = 0
    doubled: int = 0
    machine: int = 0

    def __add__(self, other: Oddities) -> Oddities:
        return Oddities(*(getattr(self, name) + getattr(other, name) for name in ODDITIES))

    def to_json(self) -> dict[str, int]:
        """Counts by name."""
        return {name: getattr(self, name) for name in ODDITIES}


ODDITIES = tuple(Oddities.__dataclass_fields__)


@dataclass(frozen=True)
class Answers:
    """What is known by `as_of` of each send, and of each item of a send; times in µs, NEVER where nothing came.

    complete, leave_complete: the window for opens and clicks, and the one for leaving, is over. opened_us: first open or click, a
    machine's open apart (blind: nobody knows). left_us: first unsubscribe or complaint. clicked: in [0, 1], a click without an item
    is spread over its send's. click_send, click_us: one entry a clicked item, by send. heard: opens and clicks of people on channels of
    the config, whether a send caused them or not.
    """

    complete: BoolArray
    leave_complete: BoolArray
    opened_us: npt.NDArray[np.int64]
    clicked_us: npt.NDArray[np.int64]
    left_us: npt.NDArray[np.int64]
    complained_us: npt.NDArray[np.int64]
    blind: BoolArray
    clicked: npt.NDArray[np.float32]
    click_send: npt.NDArray[np.int64]
    click_us: npt.NDArray[np.int64]
    heard: Events
    oddities: Oddities


def visits(events: Events) -> BoolArray:
    """Behaviour that no message caused: an event without a channel that is no outcome, save an open or click."""
    found: BoolArray = (events.channel == ORGANIC) & ~np.isin(events.event, NO_VISIT)
    return found


def responses(events: Events) -> BoolArray:
    """Opens and clicks on a channel of the config."""
    found: BoolArray = (events.channel >= 0) & ((events.event == OPENED) | (events.event == CLICKED))
    return found


def attribute_outcomes(events: Events, sends: Sends, facts: Facts, as_of_us: int, n_users: int) -> Answers:
    """Opens, clicks, unsubscribes and complaints before `as_of`, each given to at most one send."""
    timely = events.at_us < as_of_us
    responding = timely & ((events.event == OPENED) | (events.event == CLICKED))
    answers, leaving = events.where(responding), events.where(timely & np.isin(events.event, LEAVING))
    channel = np.where(answers.channel == ORGANIC, OTHER_CHANNEL, answers.channel)  # without a channel it answers no send by that alone
    found, early = _attributed(answers, channel, answers.item, sends, facts.attribution_us, n_users)
    left, early_left = _attributed(leaving, leaving.channel, np.full(len(leaving.row), -1), sends, facts.leave_us, n_users)
    n = len(sends.row)
    clicks = (answers.event == CLICKED) & (found >= 0)
    click_send, click_us, clicked = _clicked(sends, found[clicks], answers.item[clicks], answers.at_us[clicks])
    clicked_us, opened_us = _first(n, click_send, click_us), _first(n, found[found >= 0], answers.at_us[found >= 0])
    blind = machine_opened(sends, opened_us, facts.channels)
    machine = (answers.event == OPENED) & (found >= 0)
    machine[machine] = blind[found[machine]] & (answers.at_us[machine] - sends.at_us[found[machine]] <= MACHINE_US)
    complaints = (left >= 0) & (leaving.event == LEAVING[1])
    return Answers(
        complete=sends.at_us + facts.attribution_us <= as_of_us,
        leave_complete=sends.at_us + facts.leave_us <= as_of_us,
        opened_us=np.where(blind, clicked_us, opened_us),
        clicked_us=clicked_us,
        left_us=_first(n, left[left >= 0], leaving.at_us[left >= 0]),
        complained_us=_first(n, left[complaints], leaving.at_us[complaints]),
        blind=blind & (clicked_us == NEVER),
        clicked=clicked,
        click_send=click_send,
        click_us=click_us,
        heard=answers.where(responses(answers) & ~machine),
        oddities=Oddities(
            int((found < 0).sum() + (left < 0).sum()), early + early_left, int(clicks.sum()) - len(click_us), int(machine.sum())
        ),
    )


assert ANY_CHANNEL == ORGANIC  # an unsubscribe without a channel may belong to any


def _attributed(
    outcomes: Events, channel: Array, item: Array, sends: Sends, window_us: int, n_users: int
) -> tuple[npt.NDArray[np.int64], int]:
    """The send of each outcome, negative where there is none; and how many of these come within an hour before one."""
    found, later = np.empty(len(outcomes.row), np.int64), np.empty(len(outcomes.row), np.int64)
    user_start = np.searchsorted(sends.row, np.arange(n_users + 1))
    told = (outcomes.row, outcomes.at_us, channel.astype(np.int8), item.astype(np.int32), outcomes.key)
    of_send = (user_start, sends.at_us, sends.channel, sends.key, sends.item_start, sends.item)
    attribute(*of_send, *told, window_us, found)
    lost = np.flatnonzero(found < 0)
    shifted = [column[lost] for column in told]
    shifted[1] = shifted[1] + EARLY_US
    attribute(*of_send, *shifted, EARLY_US, later[: len(lost)])
    return found, int((later[: len(lost)] >= 0).sum())


def _first(n: int, send: Array, at_us: Array) -> npt.NDArray[np.int64]:
    """The earliest time of each of n sends."""
    first = np.full(n, NEVER, np.int64)
    np.minimum.at(first, send, at_us)
    return first


def _clicked(
    sends: Sends, send: npt.NDArray[np.int64], item: npt.NDArray[np.int32], at_us: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Send and time of the first click on each item, by send; and each item's clicks, at most 1, where one that names no item of the
    send is spread evenly."""
    sizes = np.diff(sends.item_start)
    named = _pairs(sends.of_item(), sends.item)
    place = np.searchsorted(named, _pairs(send, item))
    known = place < len(named)
    known[known] = named[place[known]] == _pairs(send, item)[known]
    spread = np.zeros(len(sizes), np.float32)
    spread[send[~known]] = 1.0
    clicked = np.repeat(spread / np.maximum(sizes, 1), sizes).astype(np.float32)
    clicked[place[known]] = 1.0
    pair = _pairs(send, np.where(known, item, -1))
    order = np.lexsort((at_us, pair))
    first = np.ones(len(order), np.bool_)
    first[1:] = pair[order][1:] != pair[order][:-1]
    return send[order][first], at_us[order][first], clicked


def _pairs(send: Array, item: Array) -> npt.NDArray[np.int64]:
    pairs: npt.NDArray[np.int64] = (send.astype(np.int64) << 32) + item  # sends ascend, items ascend within them
    return pairs


def machine_opened(sends: Sends, opened_us: npt.NDArray[np.int64], channels: tuple[str, ...]) -> BoolArray:
    """(n_sends,) opens within seconds by those who opened nearly all of the last 20 sends on the channel so, and at least four.

    That is a mail reader that loads everything, not a person. Times of whole minutes cannot tell; in-app messages are read on the spot.
    """
    delay = opened_us - sends.at_us
    quick = (opened_us < NEVER) & (delay >= 0) & (delay <= MACHINE_US) & ((opened_us % MINUTE_US != 0) | (sends.at_us % MINUTE_US != 0))
    quick &= sends.channel != (channels.index(READ_ON_THE_SPOT) if READ_ON_THE_SPOT in channels else -1)
    cell = sends.row.astype(np.int64) << 8 | sends.channel.astype(np.int64)
    order = np.argsort(cell, kind="stable")
    start = np.maximum(np.searchsorted(cell[order], cell[order]), np.arange(len(order)) - MACHINE_PAST)
    before = np.concatenate(([0], np.cumsum(quick[order])))
    n, n_quick = np.arange(len(order)) - start, before[:-1] - before[start]
    machine = np.zeros(len(order), np.bool_)
    machine[order] = quick[order] & (n >= MACHINE_SENDS) & (n_quick >= MACHINE_SHARE * n)
    return machine


def ignored_runs(
    events: Events, sends: Sends, as_of_us: int, n_users: int, n_channels: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """(n_users, n_channels) sends ignored in a row up to `as_of`, and the time of the last of them (0 where none).

    A send is ignored when 24 h pass without an open or click on its channel or a visit. As any later answer ends the run, these
    are the judged sends after the user's last answer.
    """
    before = events.at_us < as_of_us
    last = np.full((n_users, n_channels), LONG_AGO)
    heard = before & responses(events)
    np.maximum.at(last, (events.row[heard], events.channel[heard].astype(np.int64)), events.at_us[heard])
    seen = before & visits(events)
    last_visit = np.full(n_users, LONG_AGO)
    np.maximum.at(last_visit, events.row[seen], events.at_us[seen])
    last = np.maximum(last, last_visit[:, None])
    ignored = (sends.at_us > last[sends.row, sends.channel]) & (sends.at_us <= as_of_us - JUDGED_US)
    cell = sends.row[ignored].astype(np.int64) * n_channels + sends.channel[ignored]
    runs = np.bincount(cell, minlength=n_users * n_channels).astype(np.int32)
    newest = np.zeros(n_users * n_channels, np.int64)
    newest[cell] = sends.at_us[ignored]  # sends ascend in time: the last one stays
    return runs.reshape(n_users, n_channels), newest.reshape(n_users, n_channels)


def active_channels(connection: duckdb.DuckDBPyConnection, as_of_us: int) -> tuple[str, ...]:
    """Channels with an open or click in the 30 days before `as_of`, sorted; back_off binds on these alone."""
    found = connection.execute(
        f"""SELECT DISTINCT channel FROM events WHERE event IN ('opened', 'clicked') AND channel <> ''
        AND timestamp >= make_timestamp($as_of) - {ACTIVE_WITHIN} AND timestamp < make_timestamp($as_of) ORDER BY channel""",
        {"as_of": as_of_us},
    ).fetchall()
    return tuple(str(row[0]) for row in found)
