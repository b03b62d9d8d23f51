"""The wall clock of many zones at once, against zoneinfo one moment at a time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.errors import BugError
from notif_rec.policy.local_time import DAY_US, day_of, known_zone, month_of, period_of, week_of, zone_codes, zone_names, zone_table
from tests.policy.zones import ZONES, us

EPOCH = datetime(1970, 1, 1)
SPAN = (us(datetime(2009, 1, 1)), us(datetime(2038, 1, 1)))


def offset_us(zone: str, moment: int) -> int:
    found = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=moment)).astimezone(ZoneInfo(zone)).utcoffset()
    assert found is not None
    return found // timedelta(microseconds=1)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(ZONES) - 1), st.integers(SPAN[0], SPAN[1] - 1)), min_size=1, max_size=40))
def test_wall_clock_is_that_of_zoneinfo(pairs: list[tuple[int, int]]) -> None:
    zones, moments = np.array([z for z, _ in pairs]), np.array([t for _, t in pairs])
    found = zone_table(ZONES, *SPAN).wall_us(zones, moments)
    assert found.tolist() == [t + offset_us(ZONES[z], t) for z, t in pairs]


def test_every_transition_is_found_to_the_microsecond() -> None:
    table = zone_table(ZONES, *SPAN)
    for z, zone in enumerate(ZONES):
        rows = range(table.zone_start[z] + 1, table.zone_start[z + 1])
        for row in rows:
            moment = int(table.transition_us[row])
            assert offset_us(zone, moment) == table.offset_us[row]
            assert offset_us(zone, moment - 1_000_000) == table.offset_us[row - 1] != table.offset_us[row]
            assert table.wall_us(np.array([z]), np.array([moment - 1]))[0] == moment - 1 + table.offset_us[row - 1]
    assert table.zone_start[-1] > 20 * 30  # two a year where clocks are set


@pytest.mark.parametrize("zone", ["America/New_York", "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca", "Asia/Kathmandu"])
def test_readings_so_far_and_to_come_are_those_of_a_slow_walk(zone: str) -> None:
    """Around each change of the clock: the highest reading up to each minute, and the lowest from it on."""
    table = zone_table((zone,), *SPAN)
    for at in table.transition_us[1:].tolist()[:30]:
        minutes = np.arange(at - DAY_US - DAY_US // 8, at + DAY_US + DAY_US // 8, 60_000_000)
        shown = np.array([t + offset_us(zone, t) for t in minutes.tolist()])
        rows = table.rows(np.array(0), minutes)
        wall = minutes + table.offset_us[rows]
        lowest = np.minimum.accumulate(shown[::-1])[::-1]
        middle = slice(180, -180)
        assert np.array_equal(np.minimum(wall, table.trough_us[rows])[middle], lowest[middle])
        # between two minutes the clock ran on for 59.999999 s before it was set back
        before_set_back = np.where(np.diff(shown, prepend=shown[0] - 60_000_000) < 0, np.roll(shown, 1) + 59_999_999, shown)
        assert np.array_equal(
            np.maximum(wall, table.peak_us[rows])[middle], np.maximum.accumulate(np.maximum(shown, before_set_back))[middle]
        )


def test_a_time_outside_the_span_is_a_bug_not_a_guess() -> None:
    table = zone_table(("UTC",), 0, DAY_US)
    with pytest.raises(BugError, match="outside the span of the zone table"):
        table.wall_us(np.array([0]), np.array([DAY_US]))
    with pytest.raises(BugError, match="outside the span"):
        table.wall_us(np.array([0]), np.array([-1]))
    with pytest.raises(BugError, match="empty zone table"):
        zone_table((), 0, DAY_US)


@settings(max_examples=500, deadline=None)
@given(st.datetimes(min_value=datetime(1, 1, 1), max_value=datetime(9999, 1, 1)))
def test_periods_are_those_of_the_calendar(wall: datetime) -> None:
    moment = (wall - EPOCH) // timedelta(microseconds=1)
    assert day_of(moment) == (wall.date() - date(1970, 1, 1)).days
    monday = wall.date() - timedelta(days=wall.weekday())
    assert week_of(moment) * 7 == (monday - date(1969, 12, 29)).days
    assert month_of(moment) == (wall.year - 1970) * 12 + wall.month - 1


def test_periods_of_an_array_are_those_of_its_elements() -> None:
    walls = np.random.default_rng(3).integers(-(10**17), 10**17, size=500)
    for per, function in (("calendar_day", day_of), ("calendar_week", week_of), ("calendar_month", month_of)):
        assert period_of(per, walls).tolist() == [function(w) for w in walls.tolist()]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+12"])
def test_known_zones(zone: str) -> None:
    assert known_zone(zone)
    assert zone in zone_names()


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "America", "right/UTC", "posix/UTC", "../etc/passwd", "/etc/localtime", "posixrules", "a\0b", "Factory"]
)
def test_no_zones(zone: str) -> None:
    assert not known_zone(zone)


def test_zone_codes_name_the_default_for_users_without_one() -> None:
    names, codes, known = zone_codes(["Europe/Rome", None, "Asia/Tokyo", "Europe/Rome"], "UTC")
    assert names == ("Asia/Tokyo", "Europe/Rome", "UTC")
    assert codes.tolist() == [1, 2, 0, 1]
    assert known.tolist() == [True, False, True, True]
    assert zone_codes([], "UTC")[0] == ()
