"""The store: a folder of immutable segments and the catalogue that says which of them count."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
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
from notif_rec.store.event_ids import contained, hashes_of, hashes_path, read_hashes
from notif_rec.store.lock import locked
from notif_rec.store.place import full_disk_is_clear, private_folder, refuse_network_disk
from notif_rec.store.rows import CatalogueRow, FileRow, ModelRow, PauseRow, PlanRow, PublicationRow, Row
from notif_rec.store.segments import FOLDER, conform, write_segment
from notif_rec.store.snapshot import Snapshot, Version, parquet, snapshot_of

__all__ = ["Segment", "Snapshot", "Store", "Version"]

FOLDERS = ("", FOLDER, "models", "plans", "rejects", "tmp")
CODES = {"user_ids": "user", "item_ids": "item"}


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
        if self._depth:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        with full_disk_is_clear(self.root), locked(self.root / "lock"):
            self._depth = 1
            try:
                self._sweep()
                yield
            finally:
                self._depth = 0

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
        tables: Mapping[str, pa.Table],
        *,
        ledger: bool = False,
        expect_ledger: int | None = None,
        rows: Sequence[CatalogueRow] = (),
        replaces: Sequence[str] = (),
        detail: Mapping[str, Any] | None = None,
    ) -> int:
        """The seq of the new version, all of which appears at once or, on any failure, not at all.

        `tables` are new rows by name of `tables.STORED`, their `seq` filled here; with `replaces` (ids of segments that
        leave the store) rows keep the seq that they carry. TryAgainError where the ledger version is not `expect_ledger`.
        """
        with self.lock():
            before = self.version()
            _expect(before.ledger, expect_ledger)
            seq = before.seq + 1
            try:
                segments = self._write(tables, seq, keep_seq=bool(replaces))
                with self._catalogue.writing() as connection:
                    _expect(meta(connection, "ledger"), expect_ledger)
                    self._register(connection, kind, seq, before.ledger + ledger, segments, detail or {})
                    _advance_codes(connection, {} if replaces else tables)
                    for replaced in replaces:
                        retire_segment(connection, replaced, seq)
                    for row in rows:
                        write_row(connection, row, seq)
            except BaseException:
                with contextlib.suppress(NotifRecError, OSError, sqlite3.Error):  # the failure itself is what to tell
                    self._sweep()
                raise
        return seq

    def _write(self, tables: Mapping[str, pa.Table], seq: int, keep_seq: bool) -> list[Segment]:
        shaped = {name: conform(name, table, seq, keep_seq) for name, table in tables.items() if table.num_rows}
        return [write_segment(self.root, name, rows, seq) for name, rows in shaped.items()]

    @staticmethod
    def _register(
        connection: sqlite3.Connection, kind: str, seq: int, ledger: int, segments: Sequence[Segment], detail: Mapping[str, Any]
    ) -> None:
        if meta(connection, "seq") != seq - 1:
            raise BugError(f"commit {seq} does not follow {meta(connection, 'seq')}: someone wrote without the lock")
        for segment in segments:
            add_segment(connection, segment)
        add_commit(connection, seq, kind, ledger, {**detail, "rows": {s.tbl: s.rows for s in segments}})
        set_meta(connection, "seq", seq)
        set_meta(connection, "ledger", ledger)

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
        known = np.zeros(len(ids), dtype=np.bool_)
        given = np.flatnonzero(ids.is_valid().to_numpy(zero_copy_only=False))
        texts = ids.take(pa.array(given))
        hashes = hashes_of(texts)
        hits = np.zeros(len(texts), dtype=np.bool_)
        files = []
        for segment in self.segments("events"):
            path = self.root / segment.path
            met = contained(read_hashes(hashes_path(path), segment.event_ids), hashes) if segment.event_ids else np.False_
            if np.any(met):
                hits |= met
                files.append(path)
        if files:
            known[given[hits]] = self._confirmed(texts.filter(pa.array(hits)), files)
        return pa.array(known)

    def _confirmed(self, texts: pa.Array, files: Sequence[Path]) -> Any:
        with self.snapshot().connect(tables=["events"]) as duck:
            duck.register("wanted", pa.table({"text": texts, "place": pa.array(np.arange(len(texts)))}))
            query = f"SELECT DISTINCT w.place FROM {parquet(files)} e JOIN wanted w ON e.event_id = w.text"
            places = duck.sql(query).to_arrow_table().column("place").to_numpy()
        found = np.zeros(len(texts), dtype=np.bool_)
        found[places] = True
        return found

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

    def _rows(self, kind: type[Row], order: str) -> list[Row]:
        with self._catalogue.reading() as connection:
            return read_rows(connection, kind, order)

    def drop_retired(self, before: int | None = None) -> int:
        """How many files of retired segments were deleted: those retired before commit `before`, or all of them.

        A reader that still holds an older snapshot would miss them; after an erasure that is wanted at once.
        """
        with self.lock():
            with self._catalogue.writing() as connection:
                limit = before if before is not None else meta(connection, "seq") + 1
                gone = read_segments(connection, "retired_seq < ?", [limit])
                for segment in gone:
                    forget_segment(connection, segment.id)
            self._sweep()
        return len(gone)

    def _sweep(self) -> None:
        """Deletes what a crash left behind: files that no commit knows, and spill folders of dead processes."""
        with self._catalogue.reading() as connection:
            known = {self.root / s.path for s in read_segments(connection)}
        kept = known | {hashes_path(path) for path in known}
        for path in (self.root / FOLDER).glob("*/*"):
            if path not in kept:
                path.unlink(missing_ok=True)
        for folder in (self.root / "tmp").glob("duckdb-*-*"):
            if not _alive(int(folder.name.split("-")[1])):
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)
                folder.rmdir()


def _version(connection: sqlite3.Connection) -> Version:
    return Version(meta(connection, "seq"), meta(connection, "ledger"))


def _expect(ledger: int, expected: int | None) -> None:
    if expected is not None and ledger != expected:
        raise TryAgainError(f"the ledger is at version {ledger}, not {expected}: another apply or release came first", "make a new plan")


def _advance_codes(connection: sqlite3.Connection, tables: Mapping[str, pa.Table]) -> None:
    """Moves the next free code; BugError where new rows do not take exactly the codes that were free."""
    for name, column in CODES.items():
        if name in tables and tables[name].num_rows:
            first = meta(connection, name)
            codes = np.sort(tables[name].column(column).to_numpy())
            if not np.array_equal(codes, np.arange(first, first + len(codes))):
                raise BugError(f"{name}: new codes do not start at {first} or leave a gap: they were not given under this lock")
            set_meta(connection, name, first + len(codes))


def _alive(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")  # noqa: PTH110
