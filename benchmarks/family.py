"""Processor seconds of a command and of everything that it starts, also of what outlives its parent: a JVM and its workers."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """wall and core (user and system) in seconds, the most MiB that its largest process held, and what the command printed."""

    wall: float
    core: float
    peak: float
    output: str


def spent(command: list[str], **environment: str) -> Spent:
    """Runs the command to its end and to that of all its descendants, who fall to this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment})
    output = process.stdout.read() if process.stdout else ""
    _, status, own = os.wait4(process.pid, 0)
    wall, peak = time.perf_counter() - started, own.ru_maxrss
    if status:
        sys.exit(f"error: {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    for left in _reaped():
        peak = max(peak, left.ru_maxrss)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak / 1024, output)


def _reaped() -> Iterator[resource.struct_rusage]:
    """What each orphan used, when it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            yield os.wait4(-1, 0)[2]
