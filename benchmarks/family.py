"""Processor seconds of a command and of everything that it starts, also of what outlives its parent: a JVM and its workers."""

from __future__ import annotations

import ctypes
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass

PR_SET_CHILD_SUBREAPER = 36


@dataclass(frozen=True)
class Spent:
    """wall and core (user and system) in seconds, and what the command printed."""

    wall: float
    core: float
    output: str


def spent(command: list[str], **environment: str) -> Spent:
    """Runs the command to its end and to that of all its descendants, who fall to this process."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, env={**os.environ, **environment})
    wall = time.perf_counter() - started
    if done.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {done.returncode}")
    while _reap():
        pass
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout)


def _reap() -> bool:
    try:
        os.waitpid(-1, 0)
    except ChildProcessError:
        return False
    return True
