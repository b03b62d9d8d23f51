"""Past sends and what became of them, gathered for fitting rates; and the rank that each item had for its user back then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.models.model import ChannelModel, Model
from notif_rec.planning.answers import Answers, Oddities, attribute_outcomes
from notif_rec.planning.bucket import Past, read_past, to_us
from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.planning.history import history_of, lens_of, signs_of_taste
from notif_rec.planning.hours import local_hours, own_before
from notif_rec.planning.item_counts import ItemCounts, read_item_counts
from notif_rec.planning.prepare import Shared, bucket_spans, make_rows, read_shared, segments_of
from notif_rec.planning.ranking import taste_of_rows
from notif_rec.planning.sends import Sends, gather_sends, ragged
from notif_rec.planning.taste import zone_rows
from notif_rec.planning.users import Users, unpack_users
from notif_rec.scoring.candidates import Lists, retrieve
from notif_rec.scoring.engagement import LAST_RANKS
from notif_rec.scoring.features import NEVER, features_of
from notif_rec.scoring.item_cells import SentBefore, parts_about_user
from notif_rec.scoring.item_parts import age_of
from notif_rec.scoring.send_outcomes import NOT_RANKED, OF_ITEM, OF_SEND, SendOutcomes
from notif_rec.scoring.send_time import WEEK, week_hour

MOST_SENDS = 2_000_000  # more would not move a rate
MOST_RANKED = 200_000
RECENT_US = 28 * DAY_US
ENOUGH_ITEMS, FEWEST_ITEMS, FEWEST_CLICKS = 200, 50, 5
FEWEST_KINDS = 15  # different items: ranks of a few issues that everybody got say how these were liked, not what a rank is worth
NO_HOURS = -1
DEPTH = int(LAST_RANKS[-1])  # ranks beyond are all alike

SHUT = """
SELECT item FROM items WHERE created_at >= $as_of OR expires_at <= $since OR (len(channels) > 0 AND NOT list_contains(channels, $channel))
"""


def collect_sends(
    connection: duckdb.DuckDBPyConnection, facts: Facts, as_of: datetime, most: int = MOST_SENDS
) -> tuple[SendOutcomes, Oddities]:
    """Sends of Facts.learn_us before `as_of` whose attribution window is over by then, and their outcomes; nobody ranked yet.

    Whole buckets of users until `most` sends are found: as users fall into buckets by hash, that is a fair sample of users.
    """
    shared, parts, found, odd = read_shared(connection, facts, as_of), [], 0, Oddities()
    counts = read_item_counts(connection, facts, as_of, facts.learn_us)
    for span in bucket_spans(connection):
        past = read_past(connection, span, facts)
        sends = gather_sends(past, shared.item_log)
        answers = attribute_outcomes(past.events, sends, facts, to_us(as_of), len(past.users))
        parts.append(_outcomes(past, sends, answers, shared, counts, facts, to_us(as_of)))
        found, odd = found + len(parts[-1].user), odd + answers.oddities
        if found >= most:
            break
    return _joined(parts), odd


def _outcomes(past: Past, sends: Sends, answers: Answers, shared: Shared, counts: ItemCounts, facts: Facts, now: int) -> SendOutcomes:
    zone = zone_rows(past.users.timezone, shared.zones.names, facts.timezone)
    whole = np.flatnonzero(answers.complete & (sends.at_us >= now - facts.learn_us))
    sizes = np.diff(sends.item_start)
    items = ragged(sends.item_start[:-1], sizes, whole)
    at_us, row = sends.at_us[whole], sends.row[whole]
    return SendOutcomes(
        user=past.users.user[row],
        channel=sends.channel[whole],
        at_us=at_us,
        hour=week_hour(shared.zones.wall_us(zone[row], at_us)).astype(np.int16),
        segment=(segment := segments_of(past.users, facts))[row],
        opened=answers.opened_us[whole] < NEVER,
        blind=answers.blind[whole],
        unsubscribed=answers.left_us[whole] < NEVER,
        leave_known=answers.leave_complete[whole],
        plan_us=(plan_us := _plans(at_us, now, facts.horizon_us)),
        features=features_of(history_of(past, sends, answers, facts), row, sends.channel[whole], plan_us, lens_of(facts)),
        offsets=np.concatenate(([0], np.cumsum(sizes[whole]))),
        item=sends.item[items],
        item_clicked=answers.clicked[items],
        item_rank=np.full(len(items), NOT_RANKED, np.int32),
        item_parts=_item_parts(past, sends, whole, plan_us, sends.item[items], shared, counts, facts),
        own_before=own_before(past.events, zone, shared.zones, facts, row, at_us),
        hours_row=np.full(len(whole), NO_HOURS, np.int32),
        own_hours=np.zeros((0, WEEK), np.float32),
        activity=_by_segment(local_hours(past.events, zone, shared.zones, facts, now), segment, len(facts.segments.rows)),
    )


def _by_segment(hours: npt.NDArray[np.float32], segment: npt.NDArray[np.int32], n: int) -> npt.NDArray[np.float64]:
    """(n + 1, 168) hours of users summed by segment; everybody's last."""
    users = [segment == at for at in range(n)] + [np.ones(len(hours), np.bool_)]
    return np.stack([hours[of].sum(axis=0, dtype=np.float64) for of in users])


def _item_parts(
    past: Past, sends: Sends, whole: npt.NDArray[np.int64], plan_us: npt.NDArray[np.int64], item: npt.NDArray[np.int32], shared: Shared,
    counts: ItemCounts, facts: Facts,
) -> npt.NDArray[np.int8]:  # fmt: skip
    """(n_items, 5) popularity by opens and by clicks, age, affinity and repeats of the items of the sends `whole`."""
    sizes, n = np.diff(sends.item_start)[whole], len(past.users)
    offsets = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    codes, channel = item.astype(np.int64), np.repeat(sends.channel[whole], sizes).astype(np.int64)
    plans, index = np.repeat(plan_us, sizes), shared.index
    category, created_us = index.of(item)
    signs = signs_of_taste(past.events, index, facts, n)
    sent = SentBefore(np.searchsorted(sends.row, np.arange(n + 1)), sends.at_us, sends.item_start, sends.item)
    about_user = parts_about_user(sends.row[whole], plan_us, offsets, item, category, signs, sent, index.n_categories, facts.response_us)
    return np.stack([*counts.popularity(codes, channel, counts.plan_of(plans)), age_of(created_us, plans), *about_user], axis=1)


def _plans(at_us: npt.NDArray[np.int64], now: int, horizon_us: int) -> npt.NDArray[np.int64]:
    """The last plan that could have made each send, had there been one every horizon back from `now`. What it knew is all that a send is
    learned from: later facts, other sends of that plan among them, are none that a plan will have."""
    return now - -((at_us - now) // horizon_us) * horizon_us


def _joined(parts: Sequence[SendOutcomes]) -> SendOutcomes:
    ends = np.cumsum([0] + [part.offsets[-1] for part in parts])
    offsets = np.concatenate([[0], *(part.offsets[1:] + end for part, end in zip(parts, ends[:-1], strict=True))]).astype(np.int64)
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in (*OF_SEND, *OF_ITEM, "own_hours")}
    return SendOutcomes(**columns, offsets=offsets, activity=np.sum([part.activity for part in parts], axis=0))


def rank_since(sends: SendOutcomes, as_of: datetime) -> datetime | None:
    """The moment from which sends are worth ranking, with a model that knows nothing from then on; None where too few would be.

    28 days before `as_of`, or where that leaves too little the time of the last 30 % of the sends.
    """
    of_item = np.repeat(sends.at_us, np.diff(sends.offsets))
    recent = to_us(as_of) - RECENT_US
    if len(of_item) and (of_item >= recent).sum() < ENOUGH_ITEMS:
        recent = int(np.quantile(of_item, 0.7, method="lower"))
    after = of_item >= recent
    kinds = len(np.unique(sends.item[after]))
    if after.sum() < FEWEST_ITEMS or kinds < FEWEST_KINDS or sends.item_clicked[after].sum() < FEWEST_CLICKS:
        return None
    return datetime.fromtimestamp(0, UTC).replace(tzinfo=None) + timedelta(microseconds=int(recent))


@dataclass(frozen=True)
class Shelf:
    """What could have been sent since some moment. eligible: (n_channels, n_items of the model). exclude_seen: per channel."""

    eligible: npt.NDArray[np.bool_]
    exclude_seen: tuple[bool, ...]


def read_shelf(
    connection: duckdb.DuckDBPyConnection, model: Model, facts: Facts, exclude_seen: tuple[bool, ...], since: datetime, as_of: datetime
) -> Shelf:
    """Items that were live on a channel at some moment of [since, as_of)."""
    eligible = np.ones((len(facts.channels), len(model.item_codes)), np.bool_)
    for at, name in enumerate(facts.channels):
        shut = connection.execute(SHUT, {"since": since, "as_of": as_of, "channel": name}).fetchnumpy()["item"]
        eligible[at] = ~np.isin(model.item_codes, np.asarray(shut, np.int64))
    return Shelf(eligible, exclude_seen)


def rank_sends(
    connection: duckdb.DuckDBPyConnection, model: Model, facts: Facts, shelf: Shelf, since: datetime, sends: SendOutcomes
) -> SendOutcomes:
    """`sends` with the rank of each item sent from `since` on, among all that its user could have been sent, and the own hours of
    the user.

    model: fitted at `since`; taste and hours are as of then too, so that they know nothing of the sends or of what came of them.
    """
    late = sends.at_us >= to_us(since)
    users, shared = np.unique(sends.user[late]), read_shared(connection, facts, since)
    rank, hours_row = sends.item_rank.copy(), sends.hours_row.copy()
    own_hours: list[npt.NDArray[np.float32]] = []
    lookup = model.item_rows(1 + max(int(sends.item.max(initial=-1)), int(model.item_codes.max(initial=-1))))
    for span in bucket_spans(connection):
        past = read_past(connection, span, facts, users)
        nobody = np.zeros((len(past.users), len(facts.channels)), np.bool_)
        batch = make_rows(past, nobody, facts, to_us(since), shared)
        found = unpack_users(batch, lookup, len(facts.channels), len(facts.audiences))
        mine, row = _sends_of(sends, late, found)
        hours_row[mine] = sum(map(len, own_hours)) + row
        own_hours.append(found.hours)
        for channel, name in enumerate(facts.channels):
            items, row = _items_of(sends, late & (sends.channel == channel), found)
            exclude = Lists(found.seen_start, found.seen_item) if shelf.exclude_seen[channel] else None
            asked = lookup[sends.item[items]]
            rank[items] = rank_of(model, model.channels[name], found, row, asked, shelf.eligible[channel], exclude)
        if (rank != NOT_RANKED).sum() >= MOST_RANKED:
            break
    return replace(sends, item_rank=rank, hours_row=hours_row, own_hours=np.concatenate(own_hours))


def _items_of(sends: SendOutcomes, wanted: npt.NDArray[np.bool_], users: Users) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of the items of the wanted sends to `users`, and the row of the user of each."""
    mine, row = _sends_of(sends, wanted, users)
    sizes = np.diff(sends.offsets)
    return ragged(sends.offsets[:-1], sizes, mine), np.repeat(row, sizes[mine])


def _sends_of(sends: SendOutcomes, wanted: npt.NDArray[np.bool_], users: Users) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The places of the wanted sends to `users`, and the row of the user of each."""
    row_of = np.full(1 + max(int(sends.user.max(initial=-1)), int(users.user.max(initial=-1))), -1, np.int64)
    row_of[users.user] = np.arange(users.n)
    mine = np.flatnonzero(wanted & (row_of[sends.user] >= 0))
    return mine, row_of[sends.user[mine]]


def rank_of(
    model: Model,
    channel: ChannelModel,
    users: Users,
    row: npt.NDArray[np.int64],
    item_index: npt.NDArray[np.int32],
    eligible: npt.NDArray[np.bool_],
    exclude: Lists | None,
) -> npt.NDArray[np.int32]:
    """The place from 0 of each item in the list of its user (a row of `users`), DEPTH where it comes later; NOT_RANKED where the list
    could not hold it: the model did not know it yet, it was not for the channel, or the user had it. None of these is a bad rank.

    The very retrieval that planning makes, so that a rank means the same in both; exact, as that is.
    """
    if not len(row):
        return np.zeros(0, np.int32)
    asked, place = np.unique(row, return_inverse=True)
    found = retrieve(
        channel,
        taste_of_rows(users.taste, asked),
        model.rows_of_users(users.user[asked]),
        DEPTH,
        eligible=eligible,
        exclude=None if exclude is None else _lists_of(exclude, asked),
        segment=users.segment[asked],
    ).item_index
    rank = np.empty(len(row), np.int32)
    for start in range(0, len(row), 65_536):
        part = slice(start, start + 65_536)
        hits = found[place[part]] == item_index[part, None]
        rank[part] = np.where(hits.any(axis=1), hits.argmax(axis=1), DEPTH)
    off = (item_index < 0) | ~eligible[item_index]
    if exclude is not None:
        off |= _holds(exclude, row, item_index)
    rank[off] = NOT_RANKED
    return rank


def _lists_of(lists: Lists, rows: npt.NDArray[np.int64]) -> Lists:
    sizes = np.diff(lists.offsets)
    offsets = np.concatenate(([0], np.cumsum(sizes[rows]))).astype(np.int64)
    return Lists(offsets, lists.item[ragged(lists.offsets[:-1], sizes, rows)])


def _holds(lists: Lists, row: npt.NDArray[np.int64], item: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
    """Whether each row's list holds an item; lists are sorted."""
    of = np.repeat(np.arange(len(lists.offsets) - 1), np.diff(lists.offsets))
    held, asked = (of << 32) + lists.item, (row << 32) + item
    place = np.minimum(np.searchsorted(held, asked), max(len(held) - 1, 0))
    same: npt.NDArray[np.bool_] = held[place] == asked if len(held) else np.zeros(len(asked), np.bool_)
    return same
