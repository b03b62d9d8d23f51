"""Care of a store: is every file the one that was written, and a copy to fall back on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from notif_rec.errors import ConfigError, UsageError
from notif_rec.store.event_ids import hashes_path, read_hashes
from notif_rec.store.files import PRIVATE_FILE, remove_folder, sha256, sync
from notif_rec.store.place import full_disk_is_clear, private_folder
from notif_rec.store.store import FOLDERS, Segment, Store

COPIED = ("models", "plans")  # beside the segments and the catalogue


@dataclass(frozen=True)
class Damage:
    """A file of the store that is not as it was written; `path` is relative to the store."""

    path: str
    problem: str


def verify(store: Store) -> list[Damage]:
    """What is damaged among the live segments and the catalogue, by digest and SQLite's own check; empty where all is well."""
    found = [Damage("catalogue.sqlite", said) for said in _complaints(store.root / "catalogue.sqlite")]
    return found + [damage for segment in store.segments() for damage in _damages(store.root, segment)]


def backup(store: Store, target: Path) -> Path:
    """`target`, a store of its own with the data, models and plans of `store` at this moment; it appears whole or not at all.

    Writers wait (75) while it is made. To restore, put it in the store's place. UsageError where `target` exists.
    """
    if target.exists():
        raise UsageError(f"{target}: is there already", "name a folder that does not exist yet")
    draft = target.with_name(f".{target.name}.tmp")
    with store.lock(), full_disk_is_clear(target):
        remove_folder(draft)
        try:
            _copy(store, draft)
            draft.rename(target)
            sync(target.parent)
        finally:
            remove_folder(draft)
    return target


def _damages(root: Path, segment: Segment) -> list[Damage]:
    path = root / segment.path
    if not path.is_file():
        return [Damage(segment.path, "is missing")]
    if sha256(path) != segment.sha256:
        return [Damage(segment.path, "is not the file that was written")]
    hashes = hashes_path(path)
    if segment.event_ids and not _readable(hashes, segment.event_ids):
        return [Damage(str(hashes.relative_to(root)), "is missing or damaged")]
    return []


def _readable(hashes: Path, count: int) -> bool:
    """Whether the hashes are there, as many as there should be and in order."""
    try:
        values = read_hashes(hashes, count)
    except ConfigError:
        return False
    return bool((values[1:] >= values[:-1]).all())


def _complaints(catalogue: Path) -> list[str]:
    with closing(sqlite3.connect(f"{catalogue.as_uri()}?mode=ro", uri=True)) as connection:
        try:
            said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(10)")]
        except sqlite3.DatabaseError as error:
            said = [str(error)]
    return [] if said == ["ok"] else said


def _copy(store: Store, draft: Path) -> None:
    for name in FOLDERS:
        private_folder(draft / name)
    for segment in store.segments():
        for path in (store.root / segment.path, hashes_path(store.root / segment.path)):
            if path.is_file():
                private_folder(draft / path.parent.relative_to(store.root))
                _copy_file(path, draft / path.relative_to(store.root))
    for path in (path for name in COPIED for path in sorted((store.root / name).rglob("*"))):
        copy = draft / path.relative_to(store.root)
        private_folder(copy) if path.is_dir() else _copy_file(path, copy)
    _copy_catalogue(store.root / "catalogue.sqlite", draft / "catalogue.sqlite")


def _copy_file(path: Path, copy: Path) -> None:
    shutil.copyfile(path, copy)
    copy.chmod(PRIVATE_FILE)
    sync(copy)


def _copy_catalogue(path: Path, copy: Path) -> None:
    """By SQLite itself: opening its file by other means would drop this process's locks on it."""
    copy.touch(PRIVATE_FILE)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as goal:
        source.backup(goal)
    copy.chmod(PRIVATE_FILE)
    sync(copy)
