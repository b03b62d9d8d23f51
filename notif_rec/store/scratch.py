"""Folders that a process keeps for itself while it works, and which of them outlived theirs."""

from __future__ import annotations

import errno
import os
import re
import uuid
from pathlib import Path

NAME = re.compile(r"[a-z]+-(\d+)-[0-9a-f]+")


def scratch(root: Path, purpose: str, name: str = "") -> Path:
    """A path below the store's `tmp` that is this process's own; `name`: of hex digits, so that it is found again.

    Where `tmp` is a link the path is what it leads to, which workers on other machines see too.
    """
    return (root / "tmp").resolve() / f"{purpose}-{os.getpid()}-{name or uuid.uuid4().hex}"


def outlived(root: Path) -> list[Path]:
    """Scratch folders of processes that are gone."""
    return [path for path in (root / "tmp").glob("*-*") if (found := NAME.fullmatch(path.name)) and not _alive(int(found[1]))]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True
