"""The catalogue: one SQLite file that says which segments make up the store. Only the parent process opens it."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notif_rec.errors import BugError, ConfigError, TryAgainError
from notif_rec.store.files import PRIVATE_FILE
from notif_rec.store.rows import CatalogueRow, FileRow, PlanRow, ResumeRow, Row, columns, decoded, encoded

APPLICATION = 0x4E524543  # "NREC", in the header of the file
WAIT_S = 30.0  # for another process's short transaction
RESTORE = "restore a backup, or move the store away and ingest the sources again"

# one entry a version of the schema: a store of an older one takes the steps that it lacks when it is opened
SCHEMA = (
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE commits (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, ledger INTEGER NOT NULL, detail TEXT NOT NULL);
CREATE TABLE segments (
    id TEXT PRIMARY KEY, tbl TEXT NOT NULL, path TEXT NOT NULL UNIQUE, rows INTEGER NOT NULL, min_us INTEGER, max_us INTEGER,
    event_ids INTEGER NOT NULL, min_seq INTEGER NOT NULL, sha256 TEXT NOT NULL, added_seq INTEGER NOT NULL, retired_seq INTEGER
) WITHOUT ROWID;
CREATE TABLE files (
    "table" TEXT NOT NULL, path TEXT NOT NULL, source TEXT NOT NULL, sha256 TEXT NOT NULL, size INTEGER NOT NULL,
    counts TEXT NOT NULL, newest TEXT, seq INTEGER NOT NULL
);
CREATE INDEX files_by_content ON files ("table", sha256);
CREATE TABLE models (
    model_id TEXT PRIMARY KEY, as_of TEXT NOT NULL, config_hash TEXT NOT NULL, model_config_hash TEXT NOT NULL, path TEXT NOT NULL,
    seq INTEGER NOT NULL
);
CREATE TABLE plans (
    plan_id TEXT PRIMARY KEY, as_of TEXT NOT NULL, config_hash TEXT NOT NULL, model_id TEXT NOT NULL, seq INTEGER NOT NULL,
    ledger INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('planned', 'applied', 'released')), manifest TEXT NOT NULL,
    applied_seq INTEGER, added_seq INTEGER NOT NULL
);
CREATE TABLE publications (
    plan_id TEXT NOT NULL, directory TEXT NOT NULL, state TEXT NOT NULL CHECK (state IN ('intended', 'published', 'withdrawn')),
    PRIMARY KEY (plan_id, directory)
);
CREATE TABLE pauses (channel TEXT PRIMARY KEY, since TEXT NOT NULL);
INSERT INTO meta VALUES ('seq', 0), ('ledger', 0), ('user_ids', 0), ('item_ids', 0)
""",
    """
CREATE TABLE forgotten (hash TEXT PRIMARY KEY, code INTEGER, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE positions (source TEXT PRIMARY KEY, upto INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('salt', random() & 9223372036854775807)
""",
)


@dataclass(frozen=True)
class Segment:
    """An immutable Parquet file of one stored table. `path` is relative to the store; times in µs since 1970, UTC."""

    id: str
    tbl: str
    path: str
    rows: int
    min_us: int | None
    max_us: int | None
    event_ids: int  # how many hashes stand in the file beside it
    min_seq: int  # the smallest seq of its rows
    sha256: str
    added_seq: int
    retired_seq: int | None = None


SEGMENT_COLUMNS = tuple(Segment.__dataclass_fields__)


class Catalogue:
    """Short, whole transactions over `<store>/catalogue.sqlite`; no connection outlives a call, so none crosses a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Makes an empty catalogue; one that is there, or half made by a crash, is kept or finished."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, PRIVATE_FILE))
        self._upgrade()
        self.path.chmod(PRIVATE_FILE)

    def check(self) -> None:
        """Nothing, or ConfigError: no catalogue, a damaged one, or one of a newer program. One of an older program is upgraded."""
        with self.reading() as connection:
            version = _pragma(connection, "user_version")
        if version < len(SCHEMA):
            self._upgrade()

    def _upgrade(self) -> None:
        with self._connected() as connection, _transaction(connection):
            for step in SCHEMA[_pragma(connection, "user_version") :]:
                for statement in step.split(";\n"):
                    connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION}")
            connection.execute(f"PRAGMA user_version = {len(SCHEMA)}")

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one version for as long as the block lasts: keep it short, writers wait."""
        if not self.path.is_file() or not self.path.stat().st_size:
            raise ConfigError(f"{self.path}: no store here", "ingest something first, or name another folder with --store")
        with self._connected() as connection:
            _check_schema(connection, self.path)
            with _transaction(connection, "DEFERRED"):
                yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A connection inside one transaction: committed at the end of the block, or nothing at all."""
        with self._connected() as connection:
            _check_schema(connection, self.path)
            with _transaction(connection):
                yield connection

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        with _clear(self.path), closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as connection:
            mode = connection.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
            connection.execute("PRAGMA synchronous = EXTRA")
            if (mode, _pragma(connection, "synchronous")) != ("delete", 3):
                raise ConfigError(f"{self.path}: SQLite refuses a durable journal (mode {mode})", "put the store on an ordinary local disk")
            yield connection


def meta(connection: sqlite3.Connection, name: str) -> int:
    """A counter: 'seq', 'ledger', or the next free code of 'user_ids' and 'item_ids'."""
    return int(connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()[0])


def set_meta(connection: sqlite3.Connection, name: str, value: int) -> None:
    """Sets a counter."""
    connection.execute("UPDATE meta SET value = ? WHERE name = ?", (value, name))


def live_segments(connection: sqlite3.Connection, tables: Sequence[str] = ()) -> list[Segment]:
    """The segments that make up the store now (of some tables), oldest first."""
    found = read_segments(connection, "retired_seq IS NULL")
    return [s for s in found if not tables or s.tbl in tables]


def read_segments(connection: sqlite3.Connection, where: str = "1") -> list[Segment]:
    """Segments that meet a condition, in the order in which they came."""
    names = ", ".join(SEGMENT_COLUMNS)
    rows = connection.execute(f"SELECT {names} FROM segments WHERE {where} ORDER BY added_seq, tbl, id")
    return [Segment(*row) for row in rows]


def add_segment(connection: sqlite3.Connection, segment: Segment) -> None:
    """Registers a segment whose file is already durable."""
    marks = ", ".join("?" * len(SEGMENT_COLUMNS))
    values = tuple(getattr(segment, name) for name in SEGMENT_COLUMNS)
    connection.execute(f"INSERT INTO segments ({', '.join(SEGMENT_COLUMNS)}) VALUES ({marks})", values)


def retire_segment(connection: sqlite3.Connection, segment_id: str, seq: int) -> None:
    """Takes a live segment out of the store; BugError where it is not live."""
    done = connection.execute("UPDATE segments SET retired_seq = ? WHERE id = ? AND retired_seq IS NULL", (seq, segment_id))
    if done.rowcount != 1:
        raise BugError(f"segment {segment_id} is replaced, but it is not live")


def forget_segment(connection: sqlite3.Connection, segment_id: str) -> None:
    """Removes the row of a retired segment whose file is about to go."""
    connection.execute("DELETE FROM segments WHERE id = ? AND retired_seq IS NOT NULL", (segment_id,))


def add_commit(connection: sqlite3.Connection, seq: int, kind: str, ledger: int, detail: Mapping[str, Any]) -> None:
    """Records a commit."""
    connection.execute("INSERT INTO commits VALUES (?, ?, ?, ?)", (seq, kind, ledger, json.dumps(detail, sort_keys=True)))


def write_row(connection: sqlite3.Connection, row: CatalogueRow, seq: int) -> None:
    """Writes a catalogue row as part of commit `seq`; a row of the same key is replaced."""
    if isinstance(row, ResumeRow):
        connection.execute("DELETE FROM pauses WHERE channel = ?", (row.channel,))
        return
    values = encoded(row)
    if isinstance(row, PlanRow):
        _stamp_plan(values, seq)
    elif "seq" in values and (values["seq"] is None or isinstance(row, FileRow)):
        values["seq"] = seq
    names = ", ".join(f'"{name}"' for name in values)
    connection.execute(f"INSERT OR REPLACE INTO {row.TABLE} ({names}) VALUES ({', '.join('?' * len(values))})", tuple(values.values()))


def _stamp_plan(values: dict[str, Any], seq: int) -> None:
    if values["added_seq"] is None:
        values["added_seq"] = seq
    if values["state"] == "applied" and values["applied_seq"] is None:
        values["applied_seq"] = seq


def read_rows(connection: sqlite3.Connection, kind: type[Row], order: str) -> list[Row]:
    """All rows of a kind."""
    names = columns(kind)
    listed = ", ".join(f'"{name}"' for name in names)
    rows = connection.execute(f"SELECT {listed} FROM {kind.TABLE} ORDER BY {order}").fetchall()
    return [decoded(kind, dict(zip(names, row, strict=True))) for row in rows]


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _check_schema(connection: sqlite3.Connection, path: Path) -> None:
    version = _pragma(connection, "user_version")
    if version > len(SCHEMA) and _pragma(connection, "application_id") == APPLICATION:
        known = f"schema {version}, this one knows {len(SCHEMA)}"
        raise ConfigError(f"{path}: the store is of a newer notif-rec ({known})", "update notif-rec")
    if _pragma(connection, "application_id") != APPLICATION:
        raise ConfigError(f"{path}: not a catalogue of notif-rec", RESTORE)


@contextmanager
def _transaction(connection: sqlite3.Connection, kind: str = "IMMEDIATE") -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


@contextmanager
def _clear(path: Path) -> Iterator[None]:
    """SQLite's own words become ours: busy → 75, damaged → 78; a full disk is left to the caller."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise TryAgainError(f"{path}: another run is writing to the store", "run the same command again") from error
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise ConfigError(f"{path}: the catalogue is damaged ({error})", RESTORE) from error
        if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            raise ConfigError(f"{path}: cannot be opened ({error})", "make the store's folder writable for this user") from error
        raise
