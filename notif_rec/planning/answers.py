"""What became of the sends: opens, clicks and unsubscribes attributed to them, runs of ignored ones, a user's own counts."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.attribution import ANY_CHANNEL, attribute
from notif_rec.planning.bucket import CLICKED, LONG_AGO, OPENED, ORGANIC, OTHER_CHANNEL, Array, BoolArray, Events
from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.planning.sends import Sends
from notif_rec.tables import OUTCOMES

LEAVING = tuple(OUTCOMES.index(name) for name in ("unsubscribed", "complained"))
NO_VISIT = tuple(place for place, name in enumerate(OUTCOMES) if name not in ("opened", "clicked"))
JUDGED_AFTER_US = DAY_US  # a send is ignored when this passes without an answer
ACTIVE_WITHIN = "INTERVAL 30 DAY"


@dataclass(frozen=True)
class Answers:
    """What is known by `as_of` of each send, and of each item of a send.

    complete: the attribution window is over, and the send not older than what rates look at. clicked: in [0, 1], a click without
    an item is spread over its send's. unattributed: outcomes before `as_of` that belong to no send.
    """

    complete: BoolArray
    opened: BoolArray
    unsubscribed: BoolArray
    clicked: npt.NDArray[np.float32]
    unattributed: int


@dataclass(frozen=True)
class Counts:
    """(n_users, n_channels) each: past sends with a full attribution window, and what came of them."""

    sends: npt.NDArray[np.float32]
    opens: npt.NDArray[np.float32]
    clicks: npt.NDArray[np.float32]
    expected_clicks: npt.NDArray[np.float32]


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
    leaving = np.isin(events.event, LEAVING)
    heard = ((events.event == OPENED) | (events.event == CLICKED) | leaving) & (events.at_us < as_of_us)
    oldest = as_of_us - facts.response_us
    outcomes, leaving = events.where(heard & (events.at_us >= oldest)), leaving[heard & (events.at_us >= oldest)]
    visit = (outcomes.channel == ORGANIC) & ~leaving  # an open without a channel answers no send by that alone
    channel = np.where(visit, OTHER_CHANNEL, outcomes.channel).astype(np.int8)
    found = np.empty(len(outcomes.row), np.int64)
    user_start = np.searchsorted(sends.row, np.arange(n_users + 1))
    item = np.where(leaving, -1, outcomes.item)
    attribute(
        user_start, sends.at_us, sends.channel, sends.key, sends.item_start, sends.item,
        outcomes.row, outcomes.at_us, channel, item, outcomes.key, facts.attribution_us, found,
    )  # fmt: skip
    opened, unsubscribed = np.zeros(len(sends.row), np.bool_), np.zeros(len(sends.row), np.bool_)
    opened[found[(found >= 0) & ~leaving]] = True
    unsubscribed[found[(found >= 0) & leaving]] = True
    clicks = (outcomes.event == CLICKED) & (found >= 0)
    clicked = _clicked(sends, found[clicks], outcomes.item[clicks])
    complete = (sends.at_us + facts.attribution_us <= as_of_us) & (sends.at_us >= oldest)
    return Answers(complete, opened, unsubscribed, clicked, int((found < 0).sum()))


assert ANY_CHANNEL == ORGANIC  # an unsubscribe without a channel may belong to any


def _clicked(sends: Sends, send: npt.NDArray[np.int64], item: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Each item's clicks, at most 1; those that name no item of the send are spread evenly."""
    sizes = np.diff(sends.item_start)
    named = _pairs(sends.of_item(), sends.item)
    place = np.searchsorted(named, _pairs(send, item))
    known = place < len(named)
    known[known] = named[place[known]] == _pairs(send, item)[known]
    clicked = np.zeros(len(sends.item), np.float32)
    spread = np.zeros(len(sizes), np.float32)
    spread[send[~known]] = 1.0
    clicked[:] = np.repeat(spread / np.maximum(sizes, 1), sizes)
    clicked[place[known]] = 1.0
    return clicked


def _pairs(send: Array, item: Array) -> npt.NDArray[np.int64]:
    pairs: npt.NDArray[np.int64] = (send.astype(np.int64) << 32) + item  # sends ascend, items ascend within them
    return pairs


def count_answers(sends: Sends, answers: Answers, facts: Facts, n_users: int) -> Counts:
    """A user's own sends, opens and clicks per channel, and the clicks that anybody would have made."""
    n_channels = len(facts.channels)
    cell = sends.row.astype(np.int64) * n_channels + sends.channel
    whole = answers.complete
    per_item = cell[sends.of_item()]
    whole_item = whole[sends.of_item()]

    def per_cell(cells: Array, weights: Array | None = None) -> npt.NDArray[np.float32]:
        return np.bincount(cells, weights, n_users * n_channels).reshape(n_users, n_channels).astype(np.float32)

    items = per_cell(per_item[whole_item])
    rate = np.asarray(facts.click_rate or (0.0,) * n_channels, np.float32)
    clicks = per_cell(per_item[whole_item], answers.clicked[whole_item].astype(np.float64))
    return Counts(per_cell(cell[whole]), per_cell(cell[whole & answers.opened]), clicks, items * rate)


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
    ignored = (sends.at_us > last[sends.row, sends.channel]) & (sends.at_us <= as_of_us - JUDGED_AFTER_US)
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
