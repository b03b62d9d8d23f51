"""What every test may rely on."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def log_level_left_alone() -> Iterator[None]:
    """A command run inside a test sets the level of the whole package; the next test starts afresh."""
    log = logging.getLogger("notif_rec")
    before = log.level
    yield
    log.setLevel(before)
