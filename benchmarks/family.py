"""Processor seconds of a command and of everything that it starts, also of what outlives its parent: a JVM and its workers.

Spark's worker daemon ignores the end of its children, so that no parent is ever told what they used: all are watched while they run.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
EVERY = 0.1  # seconds between two looks: what a process uses after the last one is lost


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
    seen: dict[tuple[int, str], float] = {}
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(seen, ended), daemon=True)
    watch.start()
    output = process.stdout.read() if process.stdout else ""
    _, status, own = os.wait4(process.pid, 0)
    wall, peak = time.perf_counter() - started, own.ru_maxrss
    if status:
        sys.exit(f"error: {' '.join(command)} ended with {os.waitstatus_to_exitcode(status)}")
    for left in _reaped():
        peak = max(peak, left.ru_maxrss)
    ended.set()
    watch.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Spent(wall, max(told, sum(seen.values())), peak / 1024, output)


def _watch(seen: dict[tuple[int, str], float], ended: threading.Event) -> None:
    """Keeps in `seen` what each descendant, by number and time of birth, has used so far."""
    while not ended.wait(EVERY):
        running = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                told = path.read_text().rsplit(")", 1)[1].split()
                running[int(path.parent.name)] = int(told[1]), told[19], (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")
        ours = {os.getpid()}
        for pid in sorted(running, key=lambda pid: (int(running[pid][1]), pid)):  # the oldest first: parents before children
            parent, born, used = running[pid]
            if parent in ours:
                ours.add(pid)
                seen[pid, born] = used


def _reaped() -> Iterator[resource.struct_rusage]:
    """What each orphan used, when it has ended."""
    with contextlib.suppress(ChildProcessError):
        while True:
            yield os.wait4(-1, 0)[2]
