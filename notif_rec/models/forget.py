"""Takes users out of a model that is already made: their factors become zeros that nothing points to."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

from notif_rec.models.artifact import MANIFEST, read_manifest
from notif_rec.store.arrays import write_array
from notif_rec.store.files import sha256, whole_folder

ROWS, FACTORS = "user_row.npy", ".user_factors.npy"


def forget_users(folder: Path, codes: npt.NDArray[np.int32]) -> bool:
    """Rewrites the model in `folder` without the users, whole or not at all; whether it knew any of them.

    What the items learned from everybody stays, and is learned anew without them by the next `train`.
    """
    manifest = read_manifest(folder)
    row_of = np.load(folder / ROWS, allow_pickle=False)
    known = codes[codes < len(row_of)]
    rows = row_of[known][row_of[known] >= 0]
    if not len(rows):
        return False
    row_of[known] = -1
    changed = {ROWS: row_of}
    for name in (name for name in manifest["files"] if name.endswith(FACTORS)):
        changed[name] = np.load(folder / name, allow_pickle=False)
        changed[name][rows] = 0.0
    with whole_folder(folder) as draft:
        for path in folder.iterdir():
            if path.name not in changed and path.name != MANIFEST:
                (draft / path.name).hardlink_to(path)
        for name, array in changed.items():
            write_array(draft / name, array)
            manifest["files"][name] = {"bytes": (draft / name).stat().st_size, "sha256": sha256(draft / name)}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return True
