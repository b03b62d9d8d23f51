"""Taste, seen items and own hours, where a random world seldom goes."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from notif_rec.errors import ConfigError, DataError
from notif_rec.planning.audience import parse_audience
from notif_rec.planning.facts import Facts
from tests.planning.test_prepare import prepared
from tests.planning.world import AS_OF, expected, user_ids

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
Row = dict[str, Any]


def event(name: str, at: Any, channel: str = "", item: int = -1, **more: Any) -> Row:
    return {"user": 0, "event": name, "channel": channel, "timestamp": at, "item": item, "seq": 1, **more}


def one(events: list[Row], **users: Any) -> Row:
    (found,) = prepared({"user_ids": user_ids(["u"]), "events": events, "users": [{"user": 0, **users}]})
    return found


def test_an_hour_of_the_clock_counts_once_however_much_was_done_in_it() -> None:
    at = AS_OF - 5 * HOUR
    once = one([event("view", at)])["hours"]
    assert one([event("view", at + minute * MINUTE) for minute in range(0, 60, 7)])["hours"] == once
    assert sum(hour > 0 for hour in one([event("view", at), event("view", at + 60 * MINUTE)])["hours"]) == 2


def test_hours_are_the_users_own_clock() -> None:
    visit = event("view", AS_OF.replace(hour=1, minute=20))
    found = [one([visit], timezone=zone)["hours"] for zone in (None, "Asia/Kathmandu", "America/New_York")]
    tuesday = 24  # New York is in summer time by then, and in Monday still
    assert [max(range(168), key=hours.__getitem__) for hours in found] == [tuesday + 1, tuesday + 7, 21]


def test_a_sum_has_the_same_bits_in_any_order() -> None:
    rng = random.Random(1)
    events = [event("view", AS_OF - rng.random() * 99 * HOUR, item=2, value=rng.random() * 10 ** rng.randrange(-3, 4)) for _ in range(200)]
    first = one(events)["taste_weight"]
    for _ in range(5):
        rng.shuffle(events)
        assert one(events)["taste_weight"] == first
    assert first == pytest.approx(expected({"user_ids": user_ids(["u"]), "events": events})[0]["taste_weight"])


def test_worthless_events_show_no_liking_but_were_seen() -> None:
    values = [0.0, -3.0, float("nan"), float("inf"), 1e9]
    found = one([event("view", AS_OF - HOUR, item=item, value=value) for item, value in enumerate(values)])
    assert found["seen_item"] == found["taste_item"] == [0, 1, 2, 3, 4]
    assert found["taste_weight"][:4] == [0, 0, 0, 0] and 9e5 < found["taste_weight"][4] <= 1e6


def test_other_channels_than_the_configs_count_as_none() -> None:
    found = one([event("save", AS_OF - HOUR, "fax", 1), event("save", AS_OF - HOUR, "", 1), event("view", AS_OF - HOUR, "email", 1)])
    assert (found["taste_item"], found["taste_channel"]) == ([1, 1], [-1, 1])


def test_an_audience_that_cannot_be_read_is_named() -> None:
    assert parse_audience(" country = DE | AT ;; tier=gold") == (("country", ("DE", "AT")), ("tier", ("gold",)))
    with pytest.raises(DataError, match=r"audience 'country=DE;tier': 'tier' is not attribute=value"):
        parse_audience("country=DE;tier")


def test_more_categories_than_bits_are_refused() -> None:
    with pytest.raises(ConfigError, match="name 65 categories, at most 64"):
        Facts(channels=("push",), consent=("yes",), categories=tuple(f"c{number}" for number in range(65)))
