"""Where compiled code is kept when the program's own folder cannot be written: in the store, and nowhere else."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

VARIABLE = "NUMBA_CACHE_DIR"
PACKAGE = Path(__file__).parents[1]


def keep_compiled_code(store: Path) -> None:
    """Names a folder to the compiler, before it is imported: without one it would refuse to start for a user without a home.

    Before there is a store, a private folder that lasts as long as the process.
    """
    if os.environ.get(VARIABLE) or os.access(PACKAGE, os.W_OK):
        return
    if store.is_dir() and os.access(store, os.W_OK):
        os.environ[VARIABLE] = str(store.absolute() / "compiled")
        return
    folder = tempfile.mkdtemp(prefix="notif-rec-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ[VARIABLE] = folder
