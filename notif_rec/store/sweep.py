"""What a crash leaves behind, and how it goes: what no commit knows, and the scratch folders of dead processes."""

from __future__ import annotations

import shutil
from pathlib import Path

from notif_rec.store.catalogue import Catalogue, read_segments
from notif_rec.store.event_ids import hashes_path
from notif_rec.store.scratch import outlived
from notif_rec.store.segments import FOLDER

NAMED = {"models": "model_id", "plans": "plan_id"}  # folders by the id under which the catalogue knows them


def sweep(root: Path, catalogue: Catalogue) -> None:
    """Deletes leftovers; only the holder of the lock may, since a writer's new files look like them."""
    with catalogue.reading() as connection:
        known = {root / segment.path for segment in read_segments(connection)}
        named = {table: {row[0] for row in connection.execute(f"SELECT {key} FROM {table}")} for table, key in NAMED.items()}
    kept = known | {hashes_path(path) for path in known}
    for path in (root / FOLDER).glob("*/*"):
        if path not in kept:
            path.unlink(missing_ok=True)
    lost = [path for table, ids in named.items() for path in (root / table).glob("*") if path.name not in ids]
    for path in (*lost, *outlived(root)):
        shutil.rmtree(path, ignore_errors=True)
