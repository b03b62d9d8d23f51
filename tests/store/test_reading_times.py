"""Times: the same moment as Python reads, or a reason; no offset dropped, no clock change guessed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.errors import DataError, UsageError
from notif_rec.store import timestamps as t
from notif_rec.store.header import ReadOptions
from notif_rec.store.zones import NEVER, ONCE, TWICE, wall_to_utc
from tests.store.reading import read

EPOCH = datetime(1970, 1, 1)
ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Sao_Paulo",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "UTC",
)


def us_of(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def one(text: str, zone: str | None = None, kind: str = "iso8601") -> tuple[str | None, int]:
    """(ISO text in UTC or None, problem), read alone and together with a text that Arrow refuses: the two ways must agree."""
    how = t.time_format(kind, zone)
    alone = t.read_times(pa.array([text]), how)
    together = t.read_times(pa.array(["x", text]), how)
    assert (alone.problem[0], alone.us[0] * (alone.problem[0] == 0)) == (together.problem[1], together.us[1] * (together.problem[1] == 0))
    problem = int(alone.problem[0])
    return (str(np.datetime64(int(alone.us[0]), "us")) if problem == t.FINE else None), problem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-03T10:00:00Z", "2026-01-03T10:00:00.000000"),
        ("2026-01-03 10:00:00+05:30", "2026-01-03T04:30:00.000000"),
        ("2026-01-03T10:00:00-0800", "2026-01-03T18:00:00.000000"),
        ("2026-01-03T10:00+05", "2026-01-03T05:00:00.000000"),
        ("2026-01-03T10Z", "2026-01-03T10:00:00.000000"),
        ("2026-01-03T10:00:00.123456789Z", "2026-01-03T10:00:00.123456"),
        ("2026-01-03T10:00:00,5Z", "2026-01-03T10:00:00.500000"),
        ("2026-01-03t10:00:00 z", "2026-01-03T10:00:00.000000"),
        ("2024-02-29T00:00:00-23:59", "2024-02-29T23:59:00.000000"),
    ],
)
def test_iso(text: str, expected: str) -> None:
    assert one(text) == (expected, t.FINE)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("2026-01-03T10:00:00", t.NAIVE),
        ("2026-01-03", t.NAIVE),
        ("2026-02-30T10:00:00Z", t.UNREADABLE),
        ("2026-01-03T24:00:00Z", t.UNREADABLE),
        ("2026-01-03T23:59:60Z", t.UNREADABLE),
        ("2026-01-03T10:00:00+24:00", t.UNREADABLE),
        ("2026-1-3T10:00:00Z", t.UNREADABLE),
        ("20260103T100000Z", t.UNREADABLE),
        ("2026-01-03T10:00:00 UTC", t.UNREADABLE),
        (" 2026-01-03T10:00:00Z", t.UNREADABLE),
        ("epoch", t.UNREADABLE),
        ("infinity", t.UNREADABLE),
        ("2026/01/03 10:00", t.UNREADABLE),
        ("1767434400", t.NUMBER),
        ("01/02/2026", t.AMBIGUOUS),
        ("1.2.26 10:00", t.AMBIGUOUS),
    ],
)
def test_no_iso(text: str, problem: int) -> None:
    assert one(text) == (None, problem)


OFFSETS = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.datetimes(datetime(2000, 1, 1), datetime(2099, 12, 31), timezones=OFFSETS), min_size=1, max_size=20), st.booleans())
def test_iso_is_what_python_reads(moments: list[datetime], spoil: bool) -> None:
    texts = [moment.isoformat(sep="T" if moment.minute % 2 else " ") for moment in moments]
    found = t.read_times(pa.array([*texts, *(["x"] if spoil else [])]), t.ISO_8601)
    assert found.us[: len(texts)].tolist() == [us_of(m.astimezone(UTC).replace(tzinfo=None)) for m in moments]
    assert not found.problem[: len(texts)].any()


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(ZONES), st.datetimes(datetime(1995, 1, 1), datetime(2090, 1, 1)))
def test_walls_are_what_zoneinfo_says(zone: str, wall: datetime) -> None:
    """Near a change of the clock, too: the wall is moved to the hours around one."""
    check_wall(zone, wall)


@pytest.mark.parametrize("zone", ZONES)
def test_every_quarter_hour_of_a_year(zone: str) -> None:
    start = datetime(2026, 1, 1) if zone != "Pacific/Apia" else datetime(2011, 6, 1)
    for wall in [start + timedelta(minutes=30 * n) for n in range(365 * 48)][:: 48 if zone == "UTC" else 7]:
        check_wall(zone, wall)


def check_wall(zone: str, wall: datetime) -> None:
    """The oracle: the UTC moments, of both folds, whose wall clock shows `wall`."""
    moments = {wall.replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC) for fold in (0, 1)}
    right = [m for m in moments if m.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0) == wall]
    us, passes = wall_to_utc(np.array([us_of(wall)]), zone)
    assert passes[0] == {0: NEVER, 1: ONCE, 2: TWICE}[len(right)]
    if len(right) == 1:
        assert us[0] == us_of(right[0].replace(tzinfo=None))


def test_clock_changes_are_rejected_and_never_guessed() -> None:
    assert one("2026-03-29T02:30:00", "Europe/Berlin") == (None, t.GAP)
    assert one("2026-10-25T02:30:00", "Europe/Berlin") == (None, t.FOLD)
    assert one("2026-10-25T02:30:00+02:00", "Europe/Berlin") == ("2026-10-25T00:30:00.000000", t.FINE)
    assert one("2026-10-25", "Europe/Berlin") == ("2026-10-24T22:00:00.000000", t.FINE)


@pytest.mark.parametrize(
    ("kind", "text", "expected"),
    [
        ("epoch_s", "1767434400", "2026-01-03T10:00:00.000000"),
        ("epoch_s", "1767434400.25", "2026-01-03T10:00:00.250000"),
        ("epoch_ms", "1767434400123", "2026-01-03T10:00:00.123000"),
        ("epoch_us", "1767434400123456", "2026-01-03T10:00:00.123456"),
        ("%Y-%m-%d %H:%M:%S%z", "2026-01-03 10:00:00+0530", "2026-01-03T04:30:00.000000"),
        ("%Y-%m-%d %H:%M:%S%z", "2026-01-03 10:00:00Z", "2026-01-03T10:00:00.000000"),
    ],
)
def test_declared_formats(kind: str, text: str, expected: str) -> None:
    assert one(text, kind=kind) == (expected, t.FINE)


@pytest.mark.parametrize(
    ("kind", "text"), [("epoch_s", "0x10"), ("epoch_s", "2026-01-03T10:00:00Z"), ("epoch_ms", "1e12"), ("epoch_us", "9" * 30)]
)
def test_declared_formats_refuse(kind: str, text: str) -> None:
    assert one(text, kind=kind) == (None, t.UNREADABLE)


def test_patterns() -> None:
    assert one("03/01/2026 10:00", "Europe/Berlin", "%d/%m/%Y %H:%M") == ("2026-01-03T09:00:00.000000", t.FINE)
    assert one("01/03/2026 10:00", "UTC", "%m/%d/%Y %H:%M") == ("2026-01-03T10:00:00.000000", t.FINE)
    assert one("31/02/2026 10:00", "UTC", "%d/%m/%Y %H:%M") == (None, t.UNREADABLE)
    assert one("03/01/2026 10:00 or so", "UTC", "%d/%m/%Y %H:%M") == (None, t.UNREADABLE)


@pytest.mark.parametrize(
    ("kind", "zone", "message"),
    [
        ("iso8601", "Europe/Berln", "--timezone Europe/Berln: no such time zone; did you mean 'Europe/Berlin'"),
        ("epoch", None, "--timestamps epoch: no such format; did you mean 'epoch_"),
        ("%d/%m/%Y", None, "the pattern has no offset"),
        ("%Y-%m-%d %Z", "UTC", "names of zones"),
        ("%Y-%q", "UTC", "not a strftime pattern"),
    ],
)
def test_formats_that_cannot_be_used(kind: str, zone: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        t.time_format(kind, zone)
    assert caught.value.fix


def events(times: list[str]) -> bytes:
    return b"user_id,item_id,channel,event,timestamp\n" + b"".join(b"u,i,push,view,%s\n" % text.encode() for text in times)


def test_a_file_in_a_zone(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(events(["2026-03-29 01:30", "2026-03-29 02:30", "2026-03-29 03:30", "2026-03-29T03:30:00+05:00"]))
    found = read(path, options=ReadOptions(timezone="Europe/Berlin"))
    assert [str(row["timestamp"]) for row in found.rows] == ["2026-03-29 00:30:00", "2026-03-29 01:30:00", "2026-03-28 22:30:00"]
    assert [(line, reason) for line, _, _, reason in found.rejects] == [(3, t.REASONS[t.GAP])]


def test_the_wrong_unit_is_told(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(events(["1767434400000", "1767434400"]))
    assert [(r[0], r[3]) for r in read(path, options=ReadOptions(timestamps="epoch_s")).rejects] == [
        (2, "after 2026-06-02T00:00Z; is it epoch_s?")
    ]
    assert [(r[0], r[3]) for r in read(path, options=ReadOptions(timestamps="epoch_ms")).rejects] == [
        (3, "before 1990-01-01; is it epoch_ms?")
    ]


def test_day_and_month_are_never_guessed(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(events(["2026-01-03T10:00:00Z", "01/02/2026", "02/02/2026"]))
    with pytest.raises(DataError, match=r"events.csv:3: column 'timestamp': '01/02/2026': day and month .*, and 1 more like it") as caught:
        read(path)
    assert "--timestamps '%d/%m/%Y" in caught.value.fix
