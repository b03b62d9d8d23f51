"""Values that a config may hold: read back as written, and nothing else taken for them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from notif_rec.errors import ConfigError
from notif_rec.strict_yaml import (
    Duration,
    Percent,
    StrictModel,
    TimeOfDay,
    format_duration,
    load_yaml,
    microseconds,
    parse_duration,
    read_yaml,
    validate,
    write_yaml,
)


class Values(StrictModel):
    duration: Duration = timedelta(0)
    percent: Percent = 0.0
    time: TimeOfDay = 0
    number: float = 0
    words: tuple[str, ...] = ()


@given(st.integers(0, 999_999), st.sampled_from("mhdw"))
def test_durations_read_back(number: int, unit: str) -> None:
    wanted = timedelta(**{{"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}[unit]: number})
    if wanted > timedelta(days=36_500):
        with pytest.raises(ValueError, match="is longer than 100 years"):
            parse_duration(f"{number}{unit}")
        return
    value = parse_duration(f"{number}{unit}")
    assert value == wanted
    assert parse_duration(format_duration(value)) == value
    assert microseconds(value) == round(value.total_seconds() * 1e6)


@pytest.mark.parametrize("text", ["", "7", "d", "1.5h", "-1d", "1 d", "1D", "1d ", "1y", "1d12h", "٣d", "1234567m", 7, None, True, "1d\n"])
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration; write 30m, 12h, 7d or 2w"):
        parse_duration(text)


@given(st.integers(0, 999_999))
def test_percentages_read_back(hundredths: int) -> None:
    written = f"{hundredths / 100:.2f}%"
    value = Values.model_validate({"percent": written})
    assert value.percent == pytest.approx(hundredths / 10_000)
    assert Values.model_validate(value.model_dump(mode="json") | {"words": ()}) == value


@given(st.integers(0, 1439))
def test_times_of_day_read_back(minutes: int) -> None:
    written = f"{minutes // 60:02d}:{minutes % 60:02d}"
    value = Values.model_validate({"time": written})
    assert value.time == minutes
    assert value.model_dump(mode="json")["time"] == written


@pytest.mark.parametrize("text", ["24:00", "7:00", "07:60", "0700", "07:00:00", "٠٧:٠٠", 420, None])
def test_what_is_no_time_of_day(text: object) -> None:
    with pytest.raises(ValidationError, match="is not a time of day"):
        Values.model_validate({"time": text})


@pytest.mark.parametrize("text", ["50", "50 %", "%", "-5%", "5.123%", "100000%", 0.5, None])
def test_what_is_no_percentage(text: object) -> None:
    with pytest.raises(ValidationError, match="is not a percentage"):
        Values.model_validate({"percent": text})


TEXT = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"]), max_size=8)
NUMBER = st.integers(-(10**17), 10**17) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.recursive(
    st.none() | st.booleans() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


def tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(tuples(v) for v in value)
    return {k: tuples(v) for k, v in value.items()} if isinstance(value, dict) else value


@given(st.dictionaries(TEXT, plain, max_size=4))
def test_what_is_written_is_read_back(value: dict[str, Any]) -> None:
    try:
        document = read_yaml(write_yaml(value), "w.yml")
    except ConfigError as error:
        assert "does not belong in a text" in error.problem, error  # DEL has no place in YAML
        return
    assert document.problems == ()
    assert document.value == tuples(value)


def test_only_true_and_false_are_booleans_and_only_plain_numbers_numbers() -> None:
    text = "a: [yes, no, on, off, y, True, NULL, true, false, null, ~]\nb: [007, 0x1F, 1_000, +1, .5, 1., 12, -3, 0.5, 1e3, 2026-01-01]\n"
    value, lines = load_yaml(text, "w.yml")
    assert value["a"] == ("yes", "no", "on", "off", "y", "True", "NULL", True, False, None, None)
    assert value["b"] == ("007", "0x1F", "1_000", "+1", ".5", "1.", 12, -3, 0.5, 1000.0, "2026-01-01")
    assert (lines["a",], lines["b",], lines["b", 3]) == (1, 2, 2)


def test_unquoted_times_and_doubled_keys_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_yaml("a:\n  t: [21:00]\n  b: 1\n  b: 2\n", "w.yml")
    assert caught.value.problem.split("\n") == [
        'w.yml:2: a.t.0: the time of day 21:00 is not quoted; write "21:00"',
        "w.yml:4: a: 'b' stands twice (first on line 3); keep one of them",
    ]


def test_a_model_of_another_room_is_checked_alike() -> None:
    value, lines = load_yaml("words: a\nnumbr: 1\n", "w.yml")
    with pytest.raises(ConfigError) as caught:
        validate(Values, value, lines, "w.yml")
    assert caught.value.problem.split("\n") == [
        "w.yml:1: words: 'a' is not a list; write [a, b]",
        "w.yml:2: numbr: unknown key 'numbr'; did you mean 'number'?",
    ]
