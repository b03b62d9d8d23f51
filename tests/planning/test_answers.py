"""Runs of ignored sends and the attribution of outcomes, at their boundaries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from notif_rec.planning.answers import Oddities, active_channels, attribute_outcomes
from notif_rec.planning.bucket import read_past, to_us
from notif_rec.planning.prepare import read_shared
from notif_rec.planning.sends import gather_sends
from notif_rec.scoring.features import FEATURES
from tests.planning.test_prepare import prepared
from tests.planning.world import AS_OF, BUCKET, FACTS, connect, user_ids

HOUR, TICK = timedelta(hours=1), timedelta(microseconds=1)
Row = dict[str, Any]


def event(name: str, at: datetime, channel: str = "push", item: int = -1, **more: Any) -> Row:
    return {"user": 0, "event": name, "channel": channel, "timestamp": at, "item": item, "seq": 1, **more}


def one(events: list[Row], ledger: list[Row] | None = None) -> Row:
    (found,) = prepared({"user_ids": user_ids(["u"]), "events": events, "ledger": ledger or []})
    return found


def counted(found: Row, channel: int) -> dict[str, float]:
    names = [feature.name for feature in FEATURES]
    row = found["features"][channel * len(names) : (channel + 1) * len(names)]
    return {name: row[names.index(name)] for name in ("sends", "opens", "clicks", "items")}


def oddities(events: list[Row]) -> Oddities:
    with connect({"user_ids": user_ids(["u"]), "events": events}) as connection:
        past, shared = read_past(connection, (BUCKET, BUCKET), FACTS), read_shared(connection, FACTS, AS_OF)
    return attribute_outcomes(past.events, gather_sends(past, shared.item_log), FACTS, to_us(AS_OF), 1).oddities


@pytest.mark.parametrize(
    ("age", "answers", "run"),
    [
        ([24], [], 1),
        ([24 - 1 / 60], [], 0),  # not judged yet
        ([72, 48, 24], [], 3),
        ([72, 48, 2], [("opened", "push", 71)], 1),
        ([72, 48], [("clicked", "push", 47)], 0),
        ([72, 48], [("opened", "push", 1)], 0),  # long after a day: the run ends all the same
        ([72, 48], [("view", "", 60)], 1),
        ([72, 48], [("opened", "", 60)], 1),
        ([72, 48], [("opened", "email", 47)], 2),  # another channel
        ([72, 48], [("view", "push", 47)], 2),  # neither open, click nor visit
        ([72, 48], [("delivered", "", 47)], 2),
        ([72, 48], [("opened", "push", 48)], 0),  # at the very moment of the send
        ([72, 48], [("opened", "push", 0)], 2),  # at as-of: not known by then
    ],
)
def test_a_run_of_ignored_sends(age: list[float], answers: list[tuple[str, str, float]], run: int) -> None:
    sends = [event("sent", AS_OF - hours * HOUR) for hours in age]
    heard = [event(name, AS_OF - hours * HOUR, channel) for name, channel, hours in answers]
    found = one(sends + heard)
    assert found["ignored"] == [run, 0]
    last = max((AS_OF - hours * HOUR for hours in age if hours >= 24), default=AS_OF)
    assert found["ignored_us"] == [to_us(last) if run else 0, 0]


def test_ignored_sends_of_long_ago_still_count() -> None:
    found = one([event("sent", AS_OF - days * 24 * HOUR) for days in (400, 300, 200)])
    assert found["ignored"] == [3, 0] and found["send_us"] == []


SENT = AS_OF - 96 * HOUR  # attribution is two days


@pytest.mark.parametrize(
    ("outcome", "opens", "clicks"),
    [
        (event("opened", SENT, item=1), 1, 0),
        (event("opened", SENT - TICK, item=1), 0, 0),  # an open before its send
        (event("opened", SENT + 48 * HOUR - TICK, item=1), 1, 0),
        (event("opened", SENT + 48 * HOUR, item=1), 0, 0),
        (event("opened", SENT + HOUR), 1, 0),  # of whatever item
        (event("opened", SENT + HOUR, item=3), 0, 0),  # of an item that was not in it
        (event("opened", SENT + HOUR, "email", item=1), 0, 0),
        (event("opened", SENT + HOUR, "email", item=3, send_key="k"), 1, 0),  # its key says more
        (event("opened", SENT + HOUR, send_key="other"), 1, 0),  # a key that names no send says nothing
        (event("opened", SENT + HOUR, ""), 0, 0),
        (event("clicked", SENT + HOUR, item=1), 1, 1),
        (event("clicked", SENT + HOUR), 1, 1),  # half of each of its two items
        (event("dismissed", SENT + HOUR, item=1), 0, 0),
    ],
)
def test_an_outcome_belongs_to_the_send_that_caused_it(outcome: Row, opens: int, clicks: int) -> None:
    found = one([event("sent", SENT, item=1, send_key="k"), event("sent", SENT + HOUR, item=2, send_key="k"), outcome])
    assert counted(found, 0) == {"sends": 1, "opens": opens, "clicks": clicks, "items": 2} and len(found["send_us"]) == 1
    assert set(counted(found, 1).values()) == {0}


def test_the_newest_of_two_sends_is_meant_and_each_counts_once() -> None:
    sends = [event("sent", SENT, item=1), event("sent", SENT + 2 * HOUR, item=1)]
    opens = [event("opened", SENT + 3 * HOUR, item=1), event("opened", SENT + 4 * HOUR, item=1), event("clicked", SENT + 5 * HOUR, item=1)]
    found = one(sends + opens)
    assert counted(found, 0) == {"sends": 2, "opens": 1, "clicks": 1, "items": 2}


def test_a_send_counts_in_rates_once_a_day_has_passed_or_it_was_answered() -> None:
    young = AS_OF - 24 * HOUR
    assert counted(one([event("sent", young)]), 0)["sends"] == 1
    assert counted(one([event("sent", young + TICK)]), 0)["sends"] == 0
    assert counted(one([event("sent", young + HOUR), event("opened", young + 2 * HOUR)]), 0)["sends"] == 1


def test_outcomes_that_are_not_as_they_should_be_are_counted() -> None:
    sends = [event("sent", SENT, item=1), event("sent", SENT + 30 * HOUR, item=2)]
    odd = [
        event("opened", SENT - HOUR / 2, item=1),  # before its send: a clock is behind
        event("opened", SENT - 20 * HOUR, item=1),  # no send near
        event("clicked", SENT + HOUR, item=1),
        event("clicked", SENT + 2 * HOUR, item=1),  # the same click again
    ]
    assert oddities(sends + odd) == Oddities(unattributed=2, early=1, doubled=1, machine=0)


@pytest.mark.parametrize(
    ("channel", "delay", "opened", "machine"),
    [
        ("push", timedelta(seconds=3), [1] * 8, 4),  # four to be told by, then all of them
        ("push", timedelta(seconds=11), [1] * 8, 0),
        ("push", timedelta(0), [1] * 8, 0),  # times of whole minutes cannot tell
        ("push", timedelta(seconds=3), [1, 1, 1, 0, 1, 0, 1, 1], 0),  # not every mail
    ],
)
def test_opens_within_seconds_of_every_send_are_a_machines(channel: str, delay: timedelta, opened: list[int], machine: int) -> None:
    times = [SENT - 100 * HOUR + 24 * place * HOUR for place in range(8)]
    rows = [event("sent", at, channel, item=1) for at in times]
    rows += [event("opened", at + delay, channel, item=1) for at, yes in zip(times, opened, strict=True) if yes]
    assert oddities(rows).machine == machine
    if machine:
        found = counted(one(rows), 0)
        assert found["sends"] == found["opens"] == 3  # in the span of the features; nobody knows of the others


def test_our_own_send_that_was_confirmed_counts_once_at_its_actual_time() -> None:
    row = {"user": 0, "send_key": "k", "channel": "push", "item": 1, "item_class": "marketing", "category": "promo"}
    ledger = [row | {"actual_at": SENT, "released": True, "confirmed": True}]
    found = one([event("sent", SENT, item=1, send_key="k", confirms="k")], ledger)
    assert found["send_us"] == [to_us(SENT)] and found["send_ours"] == [True] and found["send_categories"] == [1]


def test_channels_with_an_answer_in_the_last_thirty_days() -> None:
    ages = {"push": 30, "email": 31, "fax": 1, "sms": 0, "": 2}
    events = [event("opened", AS_OF - timedelta(days=days), channel) for channel, days in ages.items()]
    events += [event("view", AS_OF - HOUR, "in_app"), event("clicked", AS_OF - HOUR, "web")]
    with connect({"events": events}) as connection:
        assert active_channels(connection, to_us(AS_OF)) == ("fax", "push", "web")
