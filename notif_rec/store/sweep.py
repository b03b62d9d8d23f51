"""What a crash leaves behind, and how it goes: files that no commit knows, and spill folders of dead processes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from notif_rec.store.catalogue import Catalogue, read_segments
from notif_rec.store.event_ids import hashes_path
from notif_rec.store.segments import FOLDER

SPILL = re.compile(r"duckdb-(\d+)-[0-9a-f]+")


def sweep(root: Path, catalogue: Catalogue) -> None:
    """Deletes leftovers; only the holder of the lock may, since a writer's new files look like them."""
    with catalogue.reading() as connection:
        known = {root / segment.path for segment in read_segments(connection)}
    kept = known | {hashes_path(path) for path in known}
    for path in (root / FOLDER).glob("*/*"):
        if path not in kept:
            path.unlink(missing_ok=True)
    for folder in (root / "tmp").glob("duckdb-*"):
        match = SPILL.fullmatch(folder.name)
        if match and not Path("/proc", match[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
