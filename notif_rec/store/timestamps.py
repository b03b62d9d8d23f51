"""Times as people write them, as UTC microseconds: one declared format, never a guess, never an offset dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import UsageError, did_you_mean
from notif_rec.store.zones import NEVER, TWICE, known_zones, wall_to_utc

FINE, UNREADABLE, NAIVE, NUMBER, AMBIGUOUS, GAP, FOLD = range(7)
REASONS = {
    UNREADABLE: "not a time in the declared format",
    NAIVE: "a time without Z or an offset; give --timezone",
    NUMBER: "a number, not ISO 8601; give --timestamps epoch_s, epoch_ms or epoch_us",
    AMBIGUOUS: "day and month could be either way round",
    GAP: "a wall-clock time that was skipped when the clock went forward",
    FOLD: "a wall-clock time that came twice when the clock went back",
}
EPOCHS = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}

_CLOCK = r"([01]\d|2[0-3])(:[0-5]\d(:[0-5]\d([.,]\d{1,9})?)?)?"
_ISO_AWARE = rf"\d{{4}}-\d\d-\d\d[Tt ]{_CLOCK} ?([Zz]|[+-]([01]\d|2[0-3])(:?[0-5]\d)?)"
_ISO_NAIVE = rf"\d{{4}}-\d\d-\d\d([Tt ]{_CLOCK})?"
_DAY_MONTH = r"\d{1,2}[/.-]\d{1,2}[/.-](\d{4}|\d\d)(\D.*)?"

# What the two patterns above let through, in the one spelling that casts read: a blank, full stops, seconds' fraction of 6 digits.
_SPELLED = r"""
    regexp_replace(regexp_replace(regexp_replace(regexp_replace(replace(upper(text), ',', '.'),
        '^(.{10})T', '\1 '), ' (Z|[+-])', '\1'), '(\.\d{6})\d+', '\1'), '^(\S{10} \d\d)((?:Z|[+-].*)?)$', '\1:00\2')
"""
_ISO_SQL = f"""
    WITH spelled AS (
        SELECT text, {_SPELLED} AS time, regexp_full_match(text, '{_ISO_AWARE}') AS aware, regexp_full_match(text, '{_ISO_NAIVE}') AS naive
        FROM texts),
    read AS (
        SELECT *, CASE WHEN aware THEN epoch_us(TRY_CAST(time AS TIMESTAMPTZ))
                       WHEN naive THEN epoch_us(TRY_CAST(time AS TIMESTAMP)) END AS us
        FROM spelled)
    SELECT coalesce(us, 0)::BIGINT AS us, (CASE
        WHEN us IS NOT NULL AND aware THEN {FINE} WHEN us IS NOT NULL THEN {NAIVE}
        WHEN regexp_full_match(text, '-?\\d+(\\.\\d*)?') THEN {NUMBER}
        WHEN regexp_full_match(text, '{_DAY_MONTH}') THEN {AMBIGUOUS} ELSE {UNREADABLE} END)::TINYINT AS problem
    FROM read
"""
_EPOCH_SQL = f"""
    SELECT coalesce(us, 0)::BIGINT AS us, (CASE WHEN us IS NULL THEN {UNREADABLE} ELSE {FINE} END)::TINYINT AS problem
    FROM (SELECT CASE WHEN regexp_full_match(text, '-?\\d{{1,17}}(\\.\\d*)?')
                 THEN TRY_CAST(trunc(TRY_CAST(text AS DECIMAL(26, 8)) * $unit) AS BIGINT) END AS us FROM texts)
"""
_PATTERN_SQL = f"""
    SELECT coalesce(us, 0)::BIGINT AS us, (CASE WHEN us IS NULL THEN {UNREADABLE} ELSE $kind END)::TINYINT AS problem
    FROM (SELECT epoch_us(try_strptime(CASE WHEN $zulu THEN regexp_replace(text, '[Zz]$', '+00:00') ELSE text END, $pattern)) AS us
          FROM texts)
"""


@dataclass(frozen=True)
class TimeFormat:
    """How times are written. kind: iso8601, epoch_s, epoch_ms, epoch_us or a strftime pattern; zone: of times without an offset."""

    kind: str = "iso8601"
    zone: str | None = None


ISO_8601 = TimeFormat()


@dataclass(frozen=True)
class Times:
    """us: UTC microseconds since 1970 (0 where unreadable); problem: a code above. One entry a text."""

    us: npt.NDArray[np.int64]
    problem: npt.NDArray[np.int8]


def time_format(kind: str, zone: str | None) -> TimeFormat:
    """The format that a person declared; UsageError where it cannot be used."""
    if zone is not None and zone not in known_zones():
        raise UsageError(
            f"--timezone {zone}: no such time zone{did_you_mean(zone, known_zones())}", "give an IANA name, e.g. Europe/Berlin"
        )
    if kind == "iso8601" or kind in EPOCHS:
        return TimeFormat(kind, zone)
    if "%" not in kind:
        raise UsageError(
            f"--timestamps {kind}: no such format{did_you_mean(kind, ['iso8601', *EPOCHS])}",
            "iso8601, epoch_s, epoch_ms, epoch_us or a pattern such as '%d/%m/%Y %H:%M'",
        )
    if "%Z" in kind:
        raise UsageError(f"--timestamps {kind}: names of zones (%Z) are ambiguous", "use offsets (%z), or --timezone for all rows")
    try:
        _run(_PATTERN_SQL, pa.array([""]), {"kind": FINE, "zulu": False, "pattern": kind})
    except duckdb.Error as error:
        raise UsageError(f"--timestamps {kind}: not a strftime pattern ({str(error).splitlines()[0]})", "e.g. '%d/%m/%Y %H:%M'") from None
    if "%z" not in kind and zone is None:
        raise UsageError(f"--timestamps {kind}: the pattern has no offset (%z)", "add --timezone, e.g. --timezone UTC")
    return TimeFormat(kind, zone)


def read_times(text: Any, how: TimeFormat) -> Times:
    """The times that `text`, an Arrow array of non-empty texts, says."""
    if how.kind == "iso8601":
        return _read_iso(text, how.zone)
    if how.kind in EPOCHS:
        return _run(_EPOCH_SQL, text, {"unit": EPOCHS[how.kind]})
    aware = "%z" in how.kind
    given = {"kind": FINE if aware else NAIVE, "zulu": how.kind.endswith("%z"), "pattern": how.kind}
    return _in_zone(_run(_PATTERN_SQL, text, given), how.zone)


def _read_iso(text: Any, zone: str | None) -> Times:
    """Arrow reads a whole sound column at once; the same texts go through SQL, row by row, where it refuses one of them."""
    for kind in (pa.timestamp("us", "UTC"), *((pa.timestamp("us"),) if zone else ())):
        try:
            us = pc.cast(pc.cast(text, kind), pa.int64()).to_numpy(zero_copy_only=False)
        except pa.ArrowInvalid:
            continue
        return _in_zone(Times(us, np.full(us.size, FINE if kind.tz else NAIVE, np.int8)), zone)
    return _in_zone(_run(_ISO_SQL, text, {}), zone)


def _in_zone(times: Times, zone: str | None) -> Times:
    """Naive times as UTC, where a zone was declared."""
    naive = times.problem == NAIVE
    if zone is None or not naive.any():
        return times
    us, problem = times.us.copy(), times.problem.copy()
    us[naive], passes = wall_to_utc(times.us[naive], zone)
    problem[naive] = np.select([passes == NEVER, passes == TWICE], [GAP, FOLD], FINE)
    return Times(us, problem)


def _run(sql: str, text: Any, parameters: dict[str, object]) -> Times:
    with duckdb.connect(config={"threads": 1, "autoinstall_known_extensions": "false"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("texts", pa.table({"text": text}))
        found = connection.execute(sql, parameters).fetchnumpy()
    return Times(np.asarray(found["us"], np.int64), np.asarray(found["problem"], np.int8))
