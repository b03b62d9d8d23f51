"""A version of the store as SQL: one typed view per table over an explicit list of files, and the views made of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from notif_rec.store.catalogue import Segment
from notif_rec.store.scratch import scratch
from notif_rec.tables import STORED

VIEW_OF = {"users": "users_log", "items": "items_log", "suppressions": "suppressions_log"}  # the others keep their name
CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))

USERS = """
CREATE VIEW users AS
SELECT l.* FROM users_log l
JOIN (SELECT bucket, "user", max(seq) AS seq FROM users_log GROUP BY bucket, "user") newest USING (bucket, "user", seq)
"""
ITEMS = """
CREATE VIEW items AS
SELECT l.item, i.item_id, l.* EXCLUDE (item) FROM items_log l
JOIN (SELECT item, max(seq) AS seq FROM items_log GROUP BY item) newest USING (item, seq)
JOIN item_ids i USING (item)
"""
SUPPRESSIONS = """
CREATE VIEW suppressions AS
SELECT bucket, "user", channel, min(seq) AS seq FROM suppressions_log GROUP BY bucket, "user", channel
"""
# A release takes back the reservations of its key that came before it. A key may be reserved again after a release:
# then a confirmation belongs to the newest reservation alone, so that one message is never counted twice.
LEDGER = """
CREATE VIEW ledger AS
WITH withdrawn AS NOT MATERIALIZED (SELECT bucket, send_key, max(seq) AS seq FROM releases GROUP BY bucket, send_key),
reserved_again AS (
    SELECT bucket, send_key, max(seq) AS seq FROM sends SEMI JOIN releases USING (bucket, send_key)
    WHERE kind = 'send' GROUP BY bucket, send_key
),
confirmations AS (
    SELECT bucket, confirms AS send_key, min("timestamp") AS at FROM events
    WHERE event = 'sent' AND confirms IS NOT NULL GROUP BY bucket, confirms
)
SELECT s.*, coalesce(w.seq > s.seq, false) AS released, c.at IS NOT NULL AND s.seq >= coalesce(a.seq, 0) AS confirmed,
       CASE WHEN s.seq >= coalesce(a.seq, 0) THEN coalesce(c.at, s.send_at) ELSE s.send_at END AS actual_at
FROM sends s
LEFT JOIN withdrawn w USING (bucket, send_key)
LEFT JOIN reserved_again a USING (bucket, send_key)
LEFT JOIN confirmations c USING (bucket, send_key)
WHERE s.kind = 'send'
"""


@dataclass(frozen=True)
class Version:
    """What a reader saw: `seq` is the last commit; `ledger` moves only with apply, release and erasure."""

    seq: int
    ledger: int


@dataclass(frozen=True)
class Snapshot:
    """The files of one version. It can be pickled, so that workers read the store without opening the catalogue."""

    root: Path
    version: Version
    whole: Mapping[str, tuple[Path, ...]]  # by table: files all of whose rows belong to the version
    mixed: Mapping[str, tuple[Path, ...]]  # files written later (merged ones) that hold newer rows too

    def connect(self, threads: int = 1, memory: str | None = None, tables: Sequence[str] | None = None) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB with the views; `tables` limits it to those stored tables and leaves out derived views."""
        connection = open_duckdb(self.root, threads, memory)
        for name in tables or STORED:
            self._create_view(connection, name)
        for view in () if tables else (USERS, ITEMS, SUPPRESSIONS, LEDGER):
            connection.execute(view)
        return connection

    def files(self, table: str) -> tuple[Path, ...]:
        """All files that hold rows of the table at this version; those in `mixed` need `seq <= version.seq` as well."""
        return (*self.whole.get(table, ()), *self.mixed.get(table, ()))

    def _create_view(self, connection: duckdb.DuckDBPyConnection, table: str) -> None:
        view, parts = VIEW_OF.get(table, table), []
        names = ", ".join(f'"{name}"' for name in STORED[table].names)
        if self.whole.get(table):
            parts.append(f"SELECT {names} FROM {parquet(self.whole[table])}")
        if self.mixed.get(table):
            parts.append(f"SELECT {names} FROM {parquet(self.mixed[table])} WHERE seq <= {self.version.seq}")
        if parts:
            connection.execute(f"CREATE VIEW {view} AS {' UNION ALL '.join(parts)}")
            return
        connection.register("nothing", STORED[table].empty_table())
        connection.execute(f"CREATE TABLE {view} AS FROM nothing")
        connection.unregister("nothing")


def open_duckdb(root: Path, threads: int = 1, memory: str | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB without views, in UTC, that loads nothing from elsewhere and spills into the store, where it sees it."""
    spill = scratch(root if (root / "tmp").is_dir() else Path(tempfile.gettempdir()), "duckdb")
    settings: dict[str, str | int] = {
        "threads": threads,
        "memory_limit": memory or default_memory(),
        "temp_directory": str(spill),  # its own, since DuckDB's file names would meet those of another process
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    connection = duckdb.connect(config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def snapshot_of(root: Path, version: Version, segments: Sequence[Segment]) -> Snapshot:
    """The files of `version` among the live segments: merging keeps every row and its seq, so older versions stay readable.

    Links are followed, so that a worker elsewhere needs to see the files alone and not the store's own folder.
    """
    folders = {folder: (root / folder).resolve() for folder in {Path(segment.path).parent for segment in segments}}
    whole: dict[str, list[Path]] = {}
    mixed: dict[str, list[Path]] = {}
    for segment in segments:
        if segment.min_seq <= version.seq:
            side = whole if segment.added_seq <= version.seq else mixed
            side.setdefault(segment.tbl, []).append(folders[(path := Path(segment.path)).parent] / path.name)
    return Snapshot(root, version, {k: tuple(v) for k, v in whole.items()}, {k: tuple(v) for k, v in mixed.items()})


def parquet(paths: Sequence[Path]) -> str:
    """SQL that reads exactly these files, whatever characters their folder has."""
    return f"read_parquet([{', '.join(_literal(path) for path in paths)}], hive_partitioning = false)"


def _literal(path: Path) -> str:
    plain = "".join(f"[{c}]" if c in "*?[" else c for c in str(path))  # no file pattern
    return "'" + plain.replace("'", "''") + "'"


def default_memory() -> str:
    """Half of the memory that this process may use, as DuckDB writes it."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    texts = [path.read_text(encoding="ascii").strip() for path in CGROUP_LIMITS if path.is_file()]
    sizes += [int(text) for text in texts if text.isdigit()]
    return f"{max(min(sizes) // 2 // 2**20, 256)}MiB"
