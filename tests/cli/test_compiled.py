"""A program installed for all and run by a user without a home keeps its compiled code in the store."""

from __future__ import annotations

import atexit
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from notif_rec.cli import compiled


@pytest.fixture
def locked_away(monkeypatch: pytest.MonkeyPatch) -> list[Callable[..., object]]:
    registered: list[Callable[..., object]] = []
    allows = os.access
    monkeypatch.setattr(compiled.os, "access", lambda path, mode: path != compiled.PACKAGE and allows(path, mode))
    monkeypatch.setattr(atexit, "register", lambda function, *args, **kwargs: registered.append(lambda: function(*args, **kwargs)))
    monkeypatch.setenv(compiled.VARIABLE, "")
    return registered


def test_a_writable_package_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(compiled.VARIABLE, raising=False)
    compiled.keep_compiled_code(tmp_path)
    assert compiled.VARIABLE not in os.environ


def test_a_folder_that_was_named_stays(locked_away: list[Callable[..., object]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(compiled.VARIABLE, "mine")
    compiled.keep_compiled_code(tmp_path)
    assert os.environ[compiled.VARIABLE] == "mine"


def test_it_goes_into_the_store(locked_away: list[Callable[..., object]], tmp_path: Path) -> None:
    compiled.keep_compiled_code(tmp_path)
    assert os.environ[compiled.VARIABLE] == str(tmp_path / "compiled")
    assert list(tmp_path.iterdir()) == []


def test_before_there_is_a_store_it_goes_into_a_private_folder_that_goes_again(
    locked_away: list[Callable[..., object]], tmp_path: Path
) -> None:
    compiled.keep_compiled_code(tmp_path / "none")
    folder = Path(os.environ[compiled.VARIABLE])
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not (tmp_path / "none").exists()
    locked_away[0]()
    assert not folder.exists()
