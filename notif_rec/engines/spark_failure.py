"""Failures across the border of a Spark worker: ours travel as text and arrive as themselves, others are put into plain words."""

from __future__ import annotations

import json
import re
from pathlib import Path

from notif_rec import errors
from notif_rec.errors import NotifRecError

LOST = ("exited unexpectedly", "ExecutorLostFailure", "Connection reset", "EOFException")
ENDED = re.compile(r"^(?!\s)(?!at )(?:[\w.]+(?:Error|Exception|Exit|Interrupt)\b.*)$", re.MULTILINE)


def told(error: NotifRecError) -> str:
    """The failure as JSON text."""
    return json.dumps([type(error).__name__, error.problem, error.fix])


def revived(text: str) -> NotifRecError:
    """The failure that `told` wrote, of the same kind."""
    kind, problem, fix = json.loads(text)
    made: NotifRecError = getattr(errors, kind, NotifRecError)(problem, fix)
    return made


def failure_of(text: str, stage: str, log: Path) -> NotifRecError:
    """What to tell of a job that Spark gave up, from the text of its exception."""
    fix = f"{log} has Spark's own words; run the same command again, nothing is half done"
    if any(word in text for word in LOST):
        why = "its worker process ended each time, killed or out of memory"
        return NotifRecError(
            f"{stage}: Spark gave up a task: {why}", f"give workers more memory (engine.settings), or fewer of them; {fix}"
        )
    found = ENDED.findall(text)
    return NotifRecError(f"{stage}: Spark gave up a task: {found[-1] if found else text.strip().splitlines()[0]}", fix)
