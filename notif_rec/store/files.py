"""Files that appear whole or not at all: written beside their place, made durable, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PRIVATE_FILE, PRIVATE_DIR = 0o600, 0o700


def sync(path: Path) -> None:
    """Makes a file, or the names in a folder, durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sha256(path: Path) -> str:
    """The file's digest in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path to write; on success it becomes `path`, durably; on failure nothing is left."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        draft.chmod(PRIVATE_FILE)
        sync(draft)
        draft.replace(path)
        sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A temporary folder to fill; on success it becomes `folder` (replacing one that is there), durably."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.tmp")
    remove_folder(draft)
    draft.mkdir(mode=PRIVATE_DIR)
    try:
        yield draft
        for path in sorted(draft.iterdir()):
            path.chmod(PRIVATE_FILE)
            sync(path)
        sync(draft)
        remove_folder(folder)
        draft.rename(folder)
        sync(folder.parent)
    finally:
        remove_folder(draft)


def remove_folder(folder: Path) -> None:
    """Takes `folder` away: out of sight in one step, then its files."""
    if not folder.exists():
        return
    gone = folder.with_name(f".{folder.name.lstrip('.')}.gone")
    shutil.rmtree(gone, ignore_errors=True)
    folder.rename(gone)
    shutil.rmtree(gone)
    sync(folder.parent)
