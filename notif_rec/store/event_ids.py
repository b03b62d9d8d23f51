"""Hashes of event ids beside each segment, sorted, so that a day's ids are held against years of them in no time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.errors import ConfigError
from notif_rec.store.arrays import write_array
from notif_rec.store.catalogue import Segment
from notif_rec.store.files import whole_file
from notif_rec.store.ids import user_hash_sql
from notif_rec.store.snapshot import parquet

AT_ONCE = 1_000_000  # texts
Hashes = npt.NDArray[np.uint64]
Flags = npt.NDArray[np.bool_]


def hashes_path(segment: Path) -> Path:
    """The file beside a segment that holds the hashes of its event ids."""
    return segment.with_name(segment.stem + ".ids.npy")


def hashes_of(connection: duckdb.DuckDBPyConnection, texts: pa.ChunkedArray) -> Hashes:
    """The hash of each text (first 8 bytes of its md5, little-endian), in the order given; none may be null."""
    if not len(texts):
        return np.empty(0, dtype=np.uint64)
    connection.register("texts", pa.table({"text": texts}))
    table = connection.sql(f"SELECT {user_hash_sql('text')} AS hash FROM texts").to_arrow_table()
    connection.unregister("texts")
    hashes: Hashes = table.column("hash").to_numpy()
    return hashes


class Hasher:
    """Gathers the ids of a segment that is being written; texts are turned into hashes now and then, to bound memory."""

    def __init__(self) -> None:
        self._waiting: list[pa.ChunkedArray] = []
        self._hashes: list[Hashes] = []

    def add(self, texts: pa.ChunkedArray) -> None:
        """Takes more ids, none of them null."""
        self._waiting.append(texts)
        if sum(len(waiting) for waiting in self._waiting) > AT_ONCE:
            self._hash()

    def write(self, path: Path) -> int:
        """How many hashes were written to `path`, sorted; no file where there are none."""
        self._hash()
        hashes = np.sort(np.concatenate(self._hashes)) if self._hashes else np.empty(0, dtype=np.uint64)
        if len(hashes):
            with whole_file(path) as draft:
                write_array(draft, hashes)
        return len(hashes)

    def _hash(self) -> None:
        texts = pa.chunked_array([chunk for waiting in self._waiting for chunk in waiting.chunks], pa.string())
        self._waiting = []
        if len(texts):
            with duckdb.connect(config={"threads": 1}) as connection:
                self._hashes.append(hashes_of(connection, texts))


def read_hashes(path: Path, count: int) -> Hashes:
    """The sorted hashes, mapped, not read; ConfigError where the file is not the one that was written."""
    try:
        hashes: Hashes = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if hashes.shape != (count,) or hashes.dtype != np.uint64:
        raise _damaged(path)
    return hashes


def known_ids(root: Path, segments: Sequence[Segment], ids: pa.Array, connection: duckdb.DuckDBPyConnection) -> Flags:
    """Which ids (null ones: false) stand in the segments; rows are read only where hashes meet."""
    chunked = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    given = np.flatnonzero(chunked.is_valid().to_numpy())
    texts = chunked.drop_null()
    hashes = hashes_of(connection, texts)
    hits = np.zeros(len(texts), dtype=np.bool_)
    files = []
    for segment in segments:
        met = _contained(root, segment, hashes)
        if met.any():
            hits |= met
            files.append(root / segment.path)
    known = np.zeros(len(chunked), dtype=np.bool_)
    if files:
        known[given[hits]] = _confirmed(connection, texts.filter(pa.array(hits)), files)
    return known


def _contained(root: Path, segment: Segment, wanted: Hashes) -> Flags:
    if not segment.event_ids:
        return np.zeros(len(wanted), dtype=np.bool_)
    hashes = read_hashes(hashes_path(root / segment.path), segment.event_ids)
    places = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
    found: Flags = hashes[places] == wanted
    return found


def _confirmed(connection: duckdb.DuckDBPyConnection, texts: pa.ChunkedArray, files: Sequence[Path]) -> Flags:
    """Which texts are really there: two ids may share a hash."""
    connection.register("wanted", pa.table({"text": texts, "place": pa.array(np.arange(len(texts)))}))
    query = f"SELECT DISTINCT w.place FROM {parquet(files)} e JOIN wanted w ON e.event_id = w.text"
    places = connection.sql(query).to_arrow_table().column("place").to_numpy()
    found = np.zeros(len(texts), dtype=np.bool_)
    found[places] = True
    return found


def _damaged(path: Path) -> ConfigError:
    return ConfigError(f"{path}: missing or damaged", "restore a backup of the store")
