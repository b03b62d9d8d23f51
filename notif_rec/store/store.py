"""The store: a folder of immutable segments and the catalogue that says which of them count."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from notif_rec.errors import BugError, NotifRecError, TryAgainError
from notif_rec.store import dictionary
from notif_rec.store.catalogue import (
    Catalogue,
    Segment,
    add_commit,
    add_segment,
    forget_segment,
    live_segments,
    meta,
    read_rows,
    read_segments,
    retire_segment,
    set_meta,
    write_row,
)
from notif_rec.store.event_ids import known_ids
from notif_rec.store.forgotten import Forgotten
from notif_rec.store.lock import locked
from notif_rec.store.place import full_disk_is_clear, private_folder, refuse_network_disk
from notif_rec.store.rows import CatalogueRow, FileRow, ForgottenRow, ModelRow, PauseRow, PlanRow, PositionRow, PublicationRow, Row
from notif_rec.store.segments import FOLDER, Rows, Written, write_segment
from notif_rec.store.snapshot import Snapshot, Version, open_duckdb, snapshot_of
from notif_rec.store.sweep import sweep

__all__ = ["Segment", "Snapshot", "Store", "Version"]

FOLDERS = ("", FOLDER, "models", "plans", "rejects", "tmp")


class Store:
    """One workspace's data. Opened by the parent process; workers get a `snapshot`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._catalogue = Catalogue(root / "catalogue.sqlite")
        self._depth = 0  # how many nested `lock` blocks of this object are open

    @classmethod
    def create(cls, root: Path) -> Store:
        """The store in `root`, made where it is missing or half made; ConfigError as `open`."""
        refuse_network_disk(root)
        store = cls(root.resolve())
        with full_disk_is_clear(store.root):
            for name in FOLDERS:
                private_folder(store.root / name)
            store._catalogue.create()
        return cls.open(root)

    @classmethod
    def open(cls, root: Path) -> Store:
        """The store in `root`; ConfigError where it is missing, damaged, newer than this program or on a network disk."""
        refuse_network_disk(root)
        store = cls(root.resolve())
        store._catalogue.check()
        return store

    def version(self) -> Version:
        """The last commit."""
        with self._catalogue.reading() as connection:
            return _version(connection)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Makes this process the one writer; may be nested. TryAgainError names the holder. Sweeps what a crash left."""
        with contextlib.ExitStack() as held:
            if not self._depth:
                with full_disk_is_clear(self.root):
                    held.enter_context(locked(self.root / "lock"))
                sweep(self.root, self._catalogue)
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1

    def snapshot(self, at: Version | None = None) -> Snapshot:
        """The files of a version (now, where none is named)."""
        with self._catalogue.reading() as connection:
            now, segments = _version(connection), live_segments(connection)
        if at is not None and at.seq > now.seq:
            raise BugError(f"version {at.seq} of the store is asked for, but {now.seq} is the last")
        return snapshot_of(self.root, at or now, segments)

    def connect(self, at: Version | None = None, threads: int = 1) -> duckdb.DuckDBPyConnection:
        """An in-memory DuckDB over a version: see `Snapshot.connect` for its views."""
        return self.snapshot(at).connect(threads)

    def commit(
        self,
        kind: str,
        tables: Mapping[str, Rows] | Sequence[tuple[str, Rows]],
        *,
        ledger: bool = False,
        expect_ledger: int | None = None,
        rows: Sequence[CatalogueRow] = (),
        replaces: Sequence[str] = (),
        erase: bool = False,
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """The seq of the new version, all of which appears at once or, on any failure, not at all.

        `tables` are new rows by name of `tables.STORED`, their `seq` filled here: whole, or in parts of one bucket each,
        buckets rising. With `replaces` (ids of segments that leave the store) rows keep the seq that they carry; `erase`: and every
        file that has left goes at once, whoever still reads it. TryAgainError where the ledger version is not `expect_ledger`.
        """
        with self.lock(), full_disk_is_clear(self.root):
            before = self.version()
            _expect(before.ledger, expect_ledger)
            seq = before.seq + 1
            try:
                pairs = tables.items() if isinstance(tables, Mapping) else tables
                attempts = [write_segment(self.root, name, parts, seq, bool(replaces)) for name, parts in pairs]
                written = [one for one in attempts if one is not None]
                with self._catalogue.writing() as connection:
                    _register(connection, kind, Version(seq, before.ledger + ledger), written, detail or {})
                    for replaced in replaces:
                        retire_segment(connection, replaced, seq)
                    if not replaces:
                        _advance_codes(connection, written)
                    for row in rows:
                        write_row(connection, row, seq)
                    if erase:
                        _forget_retired(connection)
            except BaseException:
                with contextlib.suppress(NotifRecError, OSError, sqlite3.Error):  # the failure itself is what to tell
                    sweep(self.root, self._catalogue)
                raise
            if erase:
                sweep(self.root, self._catalogue)
        return seq

    def user_codes(self, ids: pa.Array, *, create: bool) -> tuple[pa.Array, pa.Table]:
        """Codes (int32) of user ids, -1 for null or unknown ones; with `create` new codes and their `user_ids` rows.

        Those rows belong into the next commit, inside the same `lock` block; only one call per commit may create.
        """
        return self._codes(dictionary.USERS, ids, create)

    def item_codes(self, ids: pa.Array, *, create: bool) -> tuple[pa.Array, pa.Table]:
        """Codes (int32) of item ids, and new `item_ids` rows, as `user_codes`."""
        return self._codes(dictionary.ITEMS, ids, create)

    def _codes(self, kind: dictionary.Dictionary, ids: pa.Array, create: bool) -> tuple[pa.Array, pa.Table]:
        if create and not self._depth:
            raise BugError(f"new codes of {kind.table} are asked for outside of Store.lock()")
        with self._catalogue.reading() as connection:
            version, segments = _version(connection), live_segments(connection, [kind.table])
            first_free = meta(connection, kind.table) if create else None
        with snapshot_of(self.root, version, segments).connect(tables=[kind.table]) as duck:
            return dictionary.find_codes(duck, kind, ids, first_free)

    def segments(self, *tables: str) -> list[Segment]:
        """The live segments (of some tables), oldest first."""
        with self._catalogue.reading() as connection:
            return live_segments(connection, tables)

    def overlapping(self, table: str, min_us: int, max_us: int) -> list[Path]:
        """Files of live segments with rows in [min_us, max_us] (µs since 1970, UTC), or, for a table without time, all."""
        found = self.segments(table)
        return [self.root / s.path for s in found if s.min_us is None or s.max_us is None or (s.min_us <= max_us and s.max_us >= min_us)]

    def known_event_ids(self, ids: pa.Array) -> pa.Array:
        """Which event ids the store has already (bool; null ids: false). Reads rows only of segments where hashes meet."""
        with open_duckdb(self.root) as duck:
            return pa.array(known_ids(self.root, self.segments("events"), ids, duck))

    def files(self, table: str | None = None) -> list[FileRow]:
        """What was ingested (into one table), in order."""
        return [row for row in self._rows(FileRow, "rowid") if table in (None, row.table)]

    def models(self) -> list[ModelRow]:
        """All models, the newest commit last."""
        return self._rows(ModelRow, "seq, model_id")

    def plans(self) -> list[PlanRow]:
        """All plans, the newest last."""
        return self._rows(PlanRow, "added_seq, plan_id")

    def publications(self, plan_id: str | None = None) -> list[PublicationRow]:
        """Folders of lists (of one plan)."""
        return [row for row in self._rows(PublicationRow, "plan_id, directory") if plan_id in (None, row.plan_id)]

    def pauses(self) -> list[PauseRow]:
        """Paused channels, '' = all, by name."""
        return self._rows(PauseRow, "channel")

    def position(self, source: str) -> int:
        """The last commit that was acted upon of a stream of files; 0 where none was."""
        return next((row.upto for row in self._rows(PositionRow, "source") if row.source == source), 0)

    def forgotten(self) -> Forgotten:
        """Who was forgotten, by salted hashes."""
        with self._catalogue.reading() as connection:
            return Forgotten(meta(connection, "salt"), tuple(read_rows(connection, ForgottenRow, "hash")))

    def _rows(self, kind: type[Row], order: str) -> list[Row]:
        with self._catalogue.reading() as connection:
            return read_rows(connection, kind, order)

    def drop_retired(self) -> int:
        """How many files of segments that left the store were deleted.

        A reader that still holds an older snapshot would miss them; after an erasure that is wanted at once.
        """
        with self.lock():
            with self._catalogue.writing() as connection:
                gone = _forget_retired(connection)
            sweep(self.root, self._catalogue)
        return gone


def _forget_retired(connection: sqlite3.Connection) -> int:
    gone = read_segments(connection, "retired_seq IS NOT NULL")
    for segment in gone:
        forget_segment(connection, segment.id)
    return len(gone)


def _version(connection: sqlite3.Connection) -> Version:
    return Version(meta(connection, "seq"), meta(connection, "ledger"))


def _expect(ledger: int, expected: int | None) -> None:
    if expected is not None and ledger != expected:
        raise TryAgainError(f"the ledger is at version {ledger}, not {expected}: another apply or release came first", "make a new plan")


def _register(connection: sqlite3.Connection, kind: str, new: Version, written: Sequence[Written], detail: Mapping[str, Any]) -> None:
    if meta(connection, "seq") != new.seq - 1:
        raise BugError(f"commit {new.seq} does not follow {meta(connection, 'seq')}: someone wrote without the lock")
    for one in written:
        add_segment(connection, one.segment)
    add_commit(connection, new.seq, kind, new.ledger, {**detail, "rows": {one.segment.tbl: one.segment.rows for one in written}})
    set_meta(connection, "seq", new.seq)
    set_meta(connection, "ledger", new.ledger)


def _advance_codes(connection: sqlite3.Connection, written: Sequence[Written]) -> None:
    """Moves the next free code; BugError where new rows do not take exactly the codes that were free."""
    for one in written:
        if one.codes is not None:
            name, rows = one.segment.tbl, one.segment.rows
            first = meta(connection, name)
            if one.codes != (first, first + rows - 1):
                raise BugError(f"{name}: codes {one.codes} of {rows} rows do not follow {first - 1}: they were not given under this lock")
            set_meta(connection, name, first + rows)
