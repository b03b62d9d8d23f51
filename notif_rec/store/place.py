"""The store's folder: private, on a local disk, and clear words where it cannot be written."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from notif_rec.errors import ConfigError, NotifRecError
from notif_rec.store.files import PRIVATE_DIR, sync

MOUNTS = Path("/proc/mounts")
NETWORK = frozenset(
    {"nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "afs", "ceph", "lustre", "glusterfs", "beegfs", "gpfs", "coda", "davfs"}
    | {f"fuse.{kind}" for kind in ("sshfs", "s3fs", "rclone", "gcsfuse", "goofys", "glusterfs", "ceph", "davfs2", "blobfuse", "nfs")}
)
FULL = (errno.ENOSPC, errno.EDQUOT)


def private_folder(folder: Path) -> None:
    """Makes `folder`, readable by its owner alone whatever the umask, and its name durable."""
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=PRIVATE_DIR, exist_ok=True)
    folder.chmod(PRIVATE_DIR)
    sync(folder.parent)


def refuse_network_disk(root: Path, mounts: str | None = None) -> None:
    """Nothing, or ConfigError where `root` lies on a network file system, whose locks and fsync cannot be relied upon."""
    text = mounts if mounts is not None else _mounts()
    kind = _file_system(root.resolve(), text)
    if kind in NETWORK:
        fix = "put it on a local disk: --store DIR, or NOTIF_REC_STORE"
        raise ConfigError(f"{root}: the store lies on a network file system ({kind})", fix)


def _mounts() -> str:
    return MOUNTS.read_text(encoding="utf-8", errors="replace") if MOUNTS.exists() else ""


def _file_system(path: Path, mounts: str) -> str:
    """The type of the innermost mount that holds `path`; of two on one place the later hides the earlier."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        point = Path(_unescaped(fields[1])) if len(fields) > 2 else None
        if point is not None and path.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), fields[2]
    return kind


def _unescaped(text: str) -> str:
    """The kernel writes blanks of a mount point in octal."""
    for code, character in ((r"\040", " "), (r"\011", "\t"), (r"\012", "\n"), (r"\134", "\\")):
        text = text.replace(code, character)
    return text


@contextmanager
def full_disk_is_clear(place: Path, state: str = "nothing was changed", fix: str = "run the same command again") -> Iterator[None]:
    """Turns a full disk, met by a file, SQLite or DuckDB, into a failure with a fix; the caller leaves nothing half done."""
    try:
        yield
    except (OSError, sqlite3.OperationalError, duckdb.IOException) as error:
        if not _says_full(error):
            raise
        raise NotifRecError(f"{place}: no space left on the disk: {state}", f"free some space and {fix}") from error


def _says_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    if isinstance(error, sqlite3.OperationalError):
        return error.sqlite_errorcode == sqlite3.SQLITE_FULL
    return any(os.strerror(code) in str(error) for code in FULL)
