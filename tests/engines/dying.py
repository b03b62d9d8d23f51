"""Work that fails in every way that work can, at the top of a module so that a worker finds it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from notif_rec.errors import DataError
from notif_rec.planning.context_file import load_context


def context_that_kills_once(folder: Path) -> Any:
    """The plan's context; the first worker that asks for it is killed."""
    once(folder / "killed")
    return load_context(folder)


def double_or_die_once(thing: tuple[int, Path]) -> int:
    """Twice the number; the first worker that gets to an odd one is killed."""
    number, folder = thing
    if number % 2:
        once(folder / f"killed-{number}")
    return 2 * number


def die(thing: object) -> None:
    """Never comes back."""
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)


def refuse(thing: object) -> None:
    """Fails for a reason of ours."""
    raise DataError(f"{thing}: not good", "mend it")


def stumble(thing: object) -> None:
    """Fails for another reason."""
    raise ZeroDivisionError("there is a hole here")


def once(marker: Path) -> None:
    """Kills this process unless it did so before."""
    if not marker.exists():
        marker.touch()
        die(marker)
