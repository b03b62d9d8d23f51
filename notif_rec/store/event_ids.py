"""Hashes of event ids beside each segment, sorted, so that a day's ids are held against years of them in no time."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.errors import ConfigError
from notif_rec.store.files import whole_file
from notif_rec.store.ids import user_hash_sql

Hashes = npt.NDArray[np.uint64]


def hashes_path(segment: Path) -> Path:
    """The file beside a segment that holds the hashes of its event ids."""
    return segment.with_name(segment.stem + ".ids.npy")


def hashes_of(texts: pa.ChunkedArray) -> Hashes:
    """The hash of each text (first 8 bytes of its md5, little-endian), in the order given; none may be null."""
    with duckdb.connect() as connection:
        connection.register("texts", pa.table({"text": texts}))
        return connection.sql(f"SELECT {user_hash_sql('text')} AS hash FROM texts").to_arrow_table().column("hash").to_numpy()


def write_hashes(path: Path, event_ids: pa.ChunkedArray) -> int:
    """How many ids (null ones left out) were written to `path`; no file where there are none."""
    known = event_ids.drop_null()
    if len(known):
        hashes = np.sort(hashes_of(known))
        with whole_file(path) as draft, draft.open("wb") as stream:
            np.save(stream, hashes, allow_pickle=False)
    return len(known)


def read_hashes(path: Path, count: int) -> Hashes:
    """The sorted hashes, mapped, not read; ConfigError where the file is not the one that was written."""
    try:
        hashes: Hashes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if hashes.shape != (count,) or hashes.dtype != np.uint64:
        raise _damaged(path)
    return hashes


def contained(hashes: Hashes, wanted: Hashes) -> npt.NDArray[np.bool_]:
    """Which of `wanted` stand in the sorted `hashes`."""
    if not len(hashes):
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
    found: npt.NDArray[np.bool_] = hashes[places] == wanted
    return found


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path}: missing or damaged", "restore a backup of the store")
