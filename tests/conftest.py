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
NO_SPARK = "Spark is not tested"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Two processes begin at either half of the list: one compiles what trains and the other what plans, and neither compiles both."""
    train = [item for item in items if "models" in item.path.parts or item.path.name == "test_train.py"]
    plan = [item for item in items if "planning" in item.path.parts]
    placed = {*train, *plan}
    others = [item for item in items if item not in placed]
    half = max(0, len(items) // 2 - len(train))
    items[:] = [*train, *others[:half], *plan, *others[half:]]


@pytest.fixture(autouse=True)
def log_level_left_alone() -> Iterator[None]:
    """A command run inside a test sets the level of the whole package; the next test starts afresh."""
    log = logging.getLogger("notif_rec")
    before = log.level
    yield
    log.setLevel(before)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line where Spark was passed over, so that nobody believes it was tested."""
    skipped = {str(report.longrepr[2]) for report in terminalreporter.stats.get("skipped", []) if isinstance(report.longrepr, tuple)}
    for reason in sorted(reason.removeprefix("Skipped: ") for reason in skipped if NO_SPARK in reason):
        terminalreporter.write_line(reason)
