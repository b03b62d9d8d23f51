"""Quiet hours minute by minute, around every change of the clock, against the contract's words in plain Python."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from notif_rec.policy.load import rule
from notif_rec.policy.local_time import zone_table
from notif_rec.policy.rule import Filter, Moments, UserBatch
from tests.oracles.caps import is_quiet
from tests.policy.zones import ZONES, naive, us

MINUTE = 60_000_000
SPAN = (us(datetime(2009, 1, 1)), us(datetime(2030, 1, 1)))
TABLE = zone_table(ZONES, *SPAN)
CHANGES = [
    (zone, int(at))
    for z, zone in enumerate(ZONES)
    for at in TABLE.transition_us[TABLE.zone_start[z] + 1 : TABLE.zone_start[z + 1]]
    if SPAN[0] + 4 * 1440 * MINUTE < at < SPAN[1] - 4 * 1440 * MINUTE
]
NOBODY = UserBatch((), np.zeros((1, 0), np.int8), np.zeros((1, 0), np.int32), np.zeros((1, 0), np.int64), np.zeros(0, np.bool_))


def clock(minutes: int) -> str:
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def moments(zone: str, utc: np.ndarray, known: bool = True) -> Moments:
    """The moments of one user; the first zone is there to be passed over."""
    return Moments(utc, np.array([1]), np.zeros((2, len(utc)), np.int64), ("Asia/Tokyo", zone), np.array([known]))


def quiet(zone: str, start: str, end: str, utc: np.ndarray) -> list[bool]:
    found = rule("quiet_hours", **{"from": start, "to": end})
    assert isinstance(found, Filter)
    allowed = found.allows(NOBODY, moments(zone, utc))
    assert allowed.shape == (1, 1, len(utc))
    return (~allowed[0, 0]).tolist()


def compare(zone: str, start: str, end: str, first: int, last: int) -> None:
    utc = np.arange(first, last, MINUTE)
    for at, ours in zip(utc.tolist(), quiet(zone, start, end, utc), strict=True):
        assert ours == is_quiet(naive(at), start, end, zone), f"{zone} {naive(at)}Z quiet {start}-{end}"


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(CHANGES), st.integers(0, 1439), st.integers(1, 1439))
@example(("Pacific/Apia", us(datetime(2011, 12, 30, 10))), 1260, 660)  # 30 December 2011 never was
def test_every_minute_around_a_change_of_the_clock(change: tuple[str, int], start: int, length: int) -> None:
    compare(change[0], clock(start), clock((start + length) % 1440), change[1] - 1440 * MINUTE, change[1] + 1440 * MINUTE)


@settings(max_examples=100, deadline=None)
@example(("Africa/Cairo", us(datetime(2009, 8, 20, 21))), 1, 0)  # `to` is the first minute that comes twice
@given(st.sampled_from(CHANGES), st.integers(-150, 150), st.integers(-150, 150))
def test_every_minute_where_quiet_hours_begin_or_end_near_the_change(change: tuple[str, int], start: int, end: int) -> None:
    zone, at = change
    minute = (at + int(TABLE.offset_us[TABLE.rows(np.array(ZONES.index(zone)), np.array(at))])) // MINUTE
    if (start - end) % 1440:
        compare(zone, clock((minute + start) % 1440), clock((minute + end) % 1440), at - 300 * MINUTE, at + 300 * MINUTE)


@pytest.mark.parametrize(
    ("zone", "start", "end", "at", "expected"),
    [
        # 8 March 2026, New York: 02:00 to 03:00 does not exist
        ("America/New_York", "02:30", "05:00", "2026-03-08T06:59", False),  # 01:59
        ("America/New_York", "02:30", "05:00", "2026-03-08T07:00", True),  # 03:00, the first time that exists
        ("America/New_York", "22:00", "02:30", "2026-03-08T06:59", True),  # 01:59
        ("America/New_York", "22:00", "02:30", "2026-03-08T07:00", False),  # 03:00: quiet ended with the gap
        ("America/New_York", "02:10", "02:50", "2026-03-08T07:00", False),  # all of it falls into the gap
        # 1 November 2026, New York: 01:00 to 02:00 comes twice
        ("America/New_York", "22:00", "01:30", "2026-11-01T05:45", True),  # first 01:45, before the second 01:30
        ("America/New_York", "22:00", "01:30", "2026-11-01T06:29", True),  # second 01:29
        ("America/New_York", "22:00", "01:30", "2026-11-01T06:30", False),  # second 01:30
        ("America/New_York", "01:30", "06:00", "2026-11-01T05:29", False),  # first 01:29
        ("America/New_York", "01:30", "06:00", "2026-11-01T06:05", True),  # second 01:05, after the first 01:30
        ("America/New_York", "22:00", "01:00", "2026-11-01T05:59", True),  # first 01:59, before the second 01:00
        ("America/New_York", "22:00", "01:00", "2026-11-01T06:00", False),
        ("America/New_York", "02:00", "06:00", "2026-11-01T06:59", False),  # second 01:59; 02:00 comes once
        # 5 April 2026, Lord Howe: half an hour comes twice
        ("Australia/Lord_Howe", "01:45", "03:00", "2026-04-04T15:05", True),  # second 01:35, after the first 01:45
        # on 18 October 2015 Sao Paulo had no midnight
        ("America/Sao_Paulo", "00:00", "07:00", "2015-10-18T02:59", False),  # 23:59 on Saturday
        ("America/Sao_Paulo", "00:00", "07:00", "2015-10-18T03:00", True),  # 01:00, the first time of that day
        # an ordinary day: the edges
        ("Asia/Kathmandu", "21:00", "08:00", "2026-05-05T15:14", False),
        ("Asia/Kathmandu", "21:00", "08:00", "2026-05-05T15:15", True),
        ("Asia/Kathmandu", "21:00", "08:00", "2026-05-06T02:14", True),
        ("Asia/Kathmandu", "21:00", "08:00", "2026-05-06T02:15", False),
    ],
)
def test_known_moments(zone: str, start: str, end: str, at: str, expected: bool) -> None:
    moment = datetime.fromisoformat(at)
    assert quiet(zone, start, end, np.array([us(moment)])) == [expected]
    assert is_quiet(moment, start, end, zone) == expected


def test_a_user_without_a_zone_is_sent_nothing_where_the_rule_says_block() -> None:
    utc = np.array([us(datetime(2026, 5, 5, 12))])
    for word, allowed in (("default", True), ("block", False)):
        found = rule("quiet_hours", **{"from": "21:00", "to": "08:00", "unknown_timezone": word})
        assert isinstance(found, Filter)
        assert found.allows(NOBODY, moments("UTC", utc, known=False)).tolist() == [[[allowed]]]
        assert found.allows(NOBODY, moments("UTC", utc, known=True)).tolist() == [[[True]]]


def test_a_change_of_the_clock_just_before_the_plan_is_not_forgotten() -> None:
    """The first pass of `from` lies before the first moment: the second pass is quiet all the same."""
    at = datetime(2026, 11, 1, 6, 5)
    assert quiet("America/New_York", "01:30", "06:00", np.array([us(at), us(at + timedelta(minutes=15))])) == [True, True]


def test_no_moments_and_no_zones() -> None:
    assert quiet("UTC", "21:00", "08:00", np.array([], dtype=np.int64)) == []
