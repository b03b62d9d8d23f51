"""One writer at a time: an flock, which the kernel frees however the holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from notif_rec.errors import TryAgainError
from notif_rec.store.files import PRIVATE_FILE


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds the lock for the block; TryAgainError at once, naming the holder, where another process has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TryAgainError(f"{path}: held by {_holder(handle)}", "wait for it to end, then run the same command again") from None
        os.fchmod(handle, PRIVATE_FILE)
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        yield
    finally:
        os.close(handle)


def _holder(handle: int) -> str:
    """Who wrote the lock file; its time of writing is when the holder started."""
    try:
        holder = json.loads(os.pread(handle, 1000, 0))
    except ValueError:  # it is just being written
        return "another run"
    start = datetime.fromtimestamp(os.fstat(handle).st_mtime, UTC)
    return f"process {holder['pid']} on {holder['host']} since {start:%Y-%m-%dT%H:%M:%SZ}"
