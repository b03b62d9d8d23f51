"""What every test may rely on."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

# The same worlds each time, so that a red build is red for its change; NOTIF_REC_EXPLORE=1 looks for new ones.
settings.register_profile("house", deadline=None, derandomize=not os.environ.get("NOTIF_REC_EXPLORE"))
settings.load_profile("house")


@pytest.fixture(autouse=True)
def log_level_left_alone() -> Iterator[None]:
    """A command run inside a test sets the level of the whole package; the next test starts afresh."""
    log = logging.getLogger("notif_rec")
    before = log.level
    yield
    log.setLevel(before)
