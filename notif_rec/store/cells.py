"""One column of text → one column of values; what cannot be read is a fault of its row, with the reason."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import did_you_mean
from notif_rec.store.faults import Bools, Faults
from notif_rec.store.timestamps import AMBIGUOUS, EPOCHS, REASONS, TimeFormat, read_times
from notif_rec.tables import TIME

ID_BYTES = 512
HINTS = 50  # unknown words of a block that get a nearest name; the search is slow
EPOCH = datetime(1970, 1, 1)
EARLIEST = datetime(1990, 1, 1)  # what epoch_s read as epoch_ms gives lies before it, the oldest logs that people keep do not
OLDEST, NEWEST = datetime(1800, 1, 1), datetime(9999, 12, 31, 23, 59, 59)  # of dates that may lie far away
AHEAD = timedelta(hours=24)
LATER = "after "  # how the reason starts where a time lies too far ahead
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"


def mask(found: Any) -> Bools:
    """An Arrow array of booleans, null as false, for numpy."""
    bools: Bools = pc.fill_null(found, False).to_numpy(zero_copy_only=False)
    return bools


def read_ids(text: Any, column: str, faults: Faults, required: bool = True) -> Any:
    """The ids as a dictionary array ('' where empty and not required): each distinct id is looked at once."""
    ids = text.dictionary_encode()
    words = ids.dictionary
    at = ids.indices.to_numpy(zero_copy_only=False)
    checks = (
        (pc.equal(words, "") if required else pa.nulls(len(words), pa.bool_()), "empty"),
        (pc.match_substring(words, "\0"), "holds NUL"),
        (pc.match_substring_regex(words, r"[\r\n]"), "holds a line break"),
        (pc.greater(pc.binary_length(words), ID_BYTES), f"longer than {ID_BYTES} bytes"),
        (pc.not_equal(words, pc.utf8_trim_whitespace(words)), "spaces before or after it"),
    )
    for found, reason in checks:
        faults.add(mask(found)[at], column, text, reason)
    return ids


def read_optional_ids(text: Any, column: str, faults: Faults) -> Any:
    """Ids that a row may lack, as text: null where empty."""
    ids = read_ids(text, column, faults, required=False)
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), pc.cast(ids, pa.string()))


def read_words(text: Any, column: str, known: Collection[str], faults: Faults, what: str, empty: bool = False, hint: bool = True) -> Any:
    """The words as a dictionary array; one that is not `known` is a fault. empty: whether '' may stand. hint: name the nearest."""
    words = text.dictionary_encode()
    at = words.indices.to_numpy(zero_copy_only=False)
    allowed = pa.array([*known, *([""] if empty else [])], pa.string())
    bad = ~mask(pc.is_in(words.dictionary, value_set=allowed))
    for word in np.flatnonzero(bad)[: HINTS if hint else 0]:
        name = words.dictionary[int(word)].as_py()
        faults.add(at == word, column, text, f"{what}{did_you_mean(name[:64].strip().casefold(), known)}" if name else "empty")
    faults.add(bad[at], column, text, what)
    return words


def read_numbers(text: Any, column: str, faults: Faults, default: float) -> Any:
    """Numbers ≥ 0 as float64, `default` where empty."""
    empty = pc.equal(text, "")
    if pc.all(empty).as_py():
        return pa.repeat(pa.scalar(default), len(text))
    sound = pc.or_(empty, pc.match_substring_regex(text, _NUMBER))
    faults.add(~mask(sound), column, text, "not a number")
    plain = pc.if_else(pc.and_(sound, pc.invert(empty)), text, pa.scalar(None, pa.string()))
    numbers = pc.cast(plain, pa.float64())
    faults.add(mask(pc.less(numbers, 0)), column, text, "below 0")
    faults.add(mask(pc.equal(numbers, math.inf)), column, text, "not a finite number")
    return pc.fill_null(numbers, default)


def read_moments(text: Any, column: str, how: TimeFormat, faults: Faults, span: tuple[datetime, datetime], required: bool = False) -> Any:
    """Times as naive UTC, null where empty; outside of `span` is a fault. DataError where day and month could be either way round."""
    empty = mask(pc.equal(text, ""))
    if required:
        faults.add(empty, column, text, "empty")
    given = np.flatnonzero(~empty)
    times = read_times(text if given.size == len(text) else text.take(pa.array(given)), how)
    us, problem = np.zeros(len(text), np.int64), np.zeros(len(text), np.int8)
    us[given], problem[given] = times.us, times.problem
    faults.refuse_file(
        problem == AMBIGUOUS, column, text, REASONS[AMBIGUOUS], "say which, e.g. --timestamps '%d/%m/%Y %H:%M' --timezone UTC"
    )
    for code, reason in REASONS.items():
        faults.add(problem == code, column, text, reason)
    low, high = (int((moment - EPOCH) / timedelta(microseconds=1)) for moment in span)
    hint = f"; is it {how.kind}?" if how.kind in EPOCHS else ""
    read = ~empty & (problem == 0)
    faults.add(read & (us < low), column, text, f"before {span[0]:%Y-%m-%d}{hint}")
    faults.add(read & (us > high), column, text, f"{LATER}{span[1].isoformat(timespec='minutes')}Z{hint}")
    return pa.array(us, pa.int64(), mask=empty).cast(TIME)


def read_lists(text: Any) -> Any:
    """Lists of the parts between `|`, without spaces around them and without empty ones."""
    parts = pc.split_pattern(text, "|")
    values = pc.utf8_trim_whitespace(parts.flatten())
    kept = mask(pc.not_equal(values, ""))
    ends = np.concatenate(([0], np.cumsum(kept)))[parts.offsets.to_numpy() - parts.offsets[0].as_py()]
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), values.filter(pa.array(kept)))


def check_distinct(text: Any, column: str, faults: Faults, problem: Callable[[str], str]) -> None:
    """Each distinct text that has a `problem` ('' = none) is a fault of its rows."""
    words = text.dictionary_encode()
    at = words.indices.to_numpy(zero_copy_only=False)
    found = [problem(word) for word in words.dictionary.to_pylist()]  # distinct texts, not rows
    for reason in sorted({*found} - {""}):
        faults.add(np.array([f == reason for f in found])[at], column, text, reason)


def optional_text(text: Any) -> Any:
    """The text, null where empty."""
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
