"""The same result for a person, a pipe and a program."""

from __future__ import annotations

import json
import sys
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notif_rec.cli import render
from notif_rec.cli.options import Settings
from notif_rec.cli.render import Table, note, progress, show

TABLE = Table(
    ("user", "sends", "share", "at", "paused", "note"),
    [("u1", 12345, 0.25, datetime(2026, 11, 22, 9), True, "a\tb\nc"), ("[b]u2", 7, 1.0, None, False, "")],
)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "_is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "100")


def test_a_pipe_gets_raw_tab_separated_values(capsys: pytest.CaptureFixture[str]) -> None:
    show(Settings(), {}, text="two rows", tables=[TABLE], next_command="notif-rec plan")
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "two rows",
        "user\tsends\tshare\tat\tpaused\tnote",
        "u1\t12345\t0.25\t2026-11-22T09:00:00Z\tyes\ta b c",
        "[b]u2\t7\t1.0\t\tno\t",
    ]
    assert err == ""  # what to type next is for people


def test_a_person_gets_grouped_numbers_and_the_next_command(terminal: None, capsys: pytest.CaptureFixture[str]) -> None:
    show(Settings(color=False), {}, tables=[TABLE], next_command="notif-rec plan")
    out, err = capsys.readouterr()
    assert "12,345" in out and "0.250" in out
    assert "[b]u2" in out  # ids are never read as markup
    assert "\x1b" not in out
    assert err == "Next: notif-rec plan\n"


def test_a_narrow_terminal_folds_and_never_cuts(
    terminal: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    name = "story-with-a-very-long-identifier-0123456789-0123456789"
    show(Settings(), {}, tables=[Table(("item", "n"), [(name, 1)])])
    out = capsys.readouterr().out
    assert "…" not in out
    letters = "".join(line.strip().split(" ")[0] for line in out.splitlines()[3:])
    assert letters == name


def test_json_is_one_object_and_quiet_does_not_silence_it(capsys: pytest.CaptureFixture[str]) -> None:
    result: dict[str, Any] = {
        "at": datetime(2026, 11, 22),
        "day": date(2026, 11, 22),
        "path": Path("a/b"),
        "n": np.int64(3),
        "title": "Crème",
    }
    show(Settings(json=True, quiet=True), result, text="never", tables=[TABLE])
    out = capsys.readouterr().out
    assert json.loads(out) == {"at": "2026-11-22T00:00:00Z", "day": "2026-11-22", "path": "a/b", "n": 3, "title": "Crème"}
    assert out.count("\n") == 1


def test_json_refuses_what_json_has_not() -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        show(Settings(json=True), {"value": float("nan")})
    with pytest.raises(TypeError, match="object has no place in JSON"):
        show(Settings(json=True), {"value": object()})


def test_quiet_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show(Settings(quiet=True), {}, text="x", tables=[TABLE])
    note(Settings(quiet=True), "x")
    assert capsys.readouterr() == ("", "")


def test_remarks_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note(Settings(), "mind this")
    assert capsys.readouterr() == ("", "mind this\n")


def test_progress_is_silent_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(Settings()) as advance:
        advance("plan", 1, 2)
    assert capsys.readouterr() == ("", "")


def test_progress_moves_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(render, "_is_terminal", lambda stream: stream is sys.stderr)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress(Settings()) as advance:
        advance("plan", 1, 64)
        advance("plan", 64, 64)
    out, err = capsys.readouterr()
    assert out == ""
    assert "plan" in err and "64/64" in err
