"""What fatigue is learned from: every known send of a sample of users, what became of it, and what else moved the answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.answers import LEAVING, Answers, attribute_outcomes, responses, visits
from notif_rec.planning.bucket import ORGANIC, Past, read_past, to_us
from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.planning.prepare import Shared, bucket_spans, read_shared
from notif_rec.planning.sends import Sends, gather_sends
from notif_rec.planning.taste import zone_rows
from notif_rec.scoring.fatigue_habits import SendHistory
from notif_rec.scoring.fatigue_state import VISIT
from notif_rec.scoring.features import NEVER
from notif_rec.scoring.send_time import WEEK, fit_hours, week_hour

QUARTER_US = 91 * DAY_US
assert VISIT == ORGANIC


def collect_history(connection: duckdb.DuckDBPyConnection, facts: Facts, as_of: datetime, most: int) -> SendHistory:
    """The sends of whole buckets of users until there are `most`; as users fall into buckets by hash, a fair sample of users."""
    shared, parts, found = read_shared(connection, facts, as_of), [], 0
    for span in bucket_spans(connection):
        parts.append(_history(read_past(connection, span, facts), shared, facts, to_us(as_of)))
        found += len(parts[-1].at_us)
        if found >= most:
            break
    return _with_hours(_joined(parts), len(facts.channels))


def _history(past: Past, shared: Shared, facts: Facts, now: int) -> SendHistory:
    """The sends of some users; controls are the local hour of the week of each, -1 where it is not judged, and when it was, in quarters."""
    n_users, n_channels = len(past.users), len(facts.channels)
    sends = gather_sends(past, shared.item_log)
    sends = _before(sends, now)
    answers = attribute_outcomes(past.events, sends, facts, now, n_users)
    zone = zone_rows(past.users.timezone, shared.zones.names, facts.timezone)
    hour = np.full(len(sends.row), -1.0)
    judged = answers.complete & (sends.at_us >= now - facts.response_us)
    whole = np.flatnonzero(judged)
    hour[whole] = week_hour(shared.zones.wall_us(zone[sends.row[whole]], sends.at_us[whole]))
    events = past.events
    heard = np.flatnonzero((events.at_us < now) & (responses(events) | visits(events)))
    heard = heard[np.lexsort((events.at_us[heard], events.row[heard]))]
    return SendHistory(
        start=_starts(sends.row, n_users),
        at_us=sends.at_us,
        channel=sends.channel,
        judged=judged,
        answered=_answered(answers),
        control=np.column_stack([hour, (sends.at_us - now) / QUARTER_US]),
        heard_start=_starts(events.row[heard], n_users),
        heard_us=events.at_us[heard],
        heard_channel=events.channel[heard],
        end_us=_ends(past, sends, now, n_users, n_channels),
    )


def _before(sends: Sends, now: int) -> Sends:
    """The sends that went out before `now`: what is reserved has tired nobody yet."""
    out = sends.at_us < now
    sizes = np.diff(sends.item_start)
    columns = {name: getattr(sends, name)[out] for name in ("row", "at_us", "channel", "key", "item_class", "categories", "ours", "day")}
    of_item = np.repeat(out, sizes)
    return Sends(
        **columns,
        item_start=np.concatenate(([0], np.cumsum(sizes[out]))),
        item=sends.item[of_item],
        class_of_item=sends.class_of_item[of_item],
    )


def _answered(answers: Answers) -> npt.NDArray[np.bool_]:
    return answers.opened_us < NEVER


def _ends(past: Past, sends: Sends, now: int, n_users: int, n_channels: int) -> npt.NDArray[np.int64]:
    """Until when each channel was open to each user: the first farewell after its last send, else `now`."""
    last, end = np.full((n_users, n_channels), np.iinfo(np.int64).min), np.full((n_users, n_channels), now)
    last[sends.row, sends.channel] = sends.at_us  # sends ascend in time: the last one stays
    gone = past.events.where(np.isin(past.events.event, LEAVING) & (past.events.at_us < now))
    for channel in range(n_channels):
        mine = (gone.channel == channel) | (gone.channel == ORGANIC)
        row, at_us = gone.row[mine], gone.at_us[mine]
        late = at_us >= last[row, channel]
        np.minimum.at(end[:, channel], row[late], at_us[late])
    return end


def _with_hours(history: SendHistory, n_channels: int) -> SendHistory:
    """Hours replaced by the logarithm of the channel's response at them: what a better hour brings is no freshness."""
    hour, use = history.control[:, 0].astype(np.int64), history.judged
    cell = history.channel[use].astype(np.int64) * WEEK + hour[use]
    weights = np.ones(len(cell)), history.answered[use].astype(np.float64)
    n, said = (np.bincount(cell, w, n_channels * WEEK).reshape(n_channels, WEEK) for w in weights)
    response = fit_hours(n.astype(np.float64), said.astype(np.float64), np.ones((1, WEEK))).response
    history.control[:, 0] = np.where(use, np.log(response[history.channel, hour]), 0.0)
    history.control[:, 1] -= history.control[use, 1].mean() if use.any() else 0.0
    return history


def _starts(row: npt.NDArray[np.int32], n_users: int) -> npt.NDArray[np.int64]:
    return np.searchsorted(row, np.arange(n_users + 1)).astype(np.int64)


def _joined(parts: Sequence[SendHistory]) -> SendHistory:
    """The users of all parts, one after another."""
    columns = {
        name: np.concatenate([getattr(part, name) for part in parts])
        for name in ("at_us", "channel", "judged", "answered", "control", "heard_us", "heard_channel", "end_us")
    }
    begins = {name: np.concatenate([[0], *_shifted([getattr(part, name) for part in parts])]) for name in ("start", "heard_start")}
    return SendHistory(**columns, **begins)


def _shifted(begins: Sequence[npt.NDArray[np.int64]]) -> list[npt.NDArray[np.int64]]:
    ends = np.cumsum([0] + [begin[-1] for begin in begins])
    return [begin[1:] + end for begin, end in zip(begins, ends[:-1], strict=True)]
