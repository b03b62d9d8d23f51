"""Which files an ingest need not read again: their rows are in the store, and nothing was learned that would read them otherwise."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notif_rec.store.header import ReadOptions
from notif_rec.store.preflight import Source, examine
from notif_rec.store.rows import FileRow
from notif_rec.store.staging import StagedFile
from notif_rec.store.store import Store
from notif_rec.store.typed import Vocabulary

MODIFIED, WORDS = "modified_ns", "words"  # beside the counts of a file's row
PLAIN = ReadOptions()


@dataclass(frozen=True)
class Look:
    """A file that is to be ingested. key: its bytes and how they are read. row: its earlier ingest, if any. source: None where that
    earlier ingest stands and the file need not be read."""

    path: Path
    key: str
    row: FileRow | None
    source: Source | None


def look_at(store: Store, table: str, paths: Sequence[Path], options: ReadOptions, words: Vocabulary) -> list[Look]:
    """What is known of each file. Events stay known for ever; of other tables, the files that the last ingest of the table took in,
    where these come first and in the same order, since what came later might have been overwritten otherwise."""
    rows = store.files(table)
    if table != "events" and rows:
        rows = [row for row in rows if row.seq == rows[-1].seq]
    by_key = {row.sha256: row for row in rows}
    by_stat = {(row.path, row.size, row.counts[MODIFIED]): row for row in rows if MODIFIED in row.counts} if plain(options) else {}
    looks = [_look(path, by_key, by_stat, options, words_of(words)) for path in paths]
    if table == "events" or [look.key for look in looks[: len(rows)]] == [row.sha256 for row in rows]:
        settled = len(looks) if table == "events" else next((i for i, look in enumerate(looks) if look.source), len(looks))
    else:
        settled = 0
    return [look if i < settled or look.source else _again(look) for i, look in enumerate(looks)]


def _look(
    path: Path, by_key: Mapping[str, FileRow], by_stat: Mapping[tuple[str, int, int], FileRow], options: ReadOptions, words: int
) -> Look:
    """A file of the same place, size and time of change is not even hashed."""
    status = path.stat() if path.is_file() else None
    row = by_stat.get((str(path), status.st_size, status.st_mtime_ns)) if status else None
    if row is not None and _stands(row, words):
        return Look(path, row.sha256, row, None)
    source = examine(path)
    key = reading_key(source, options)
    row = by_key.get(key)
    return Look(path, key, row, None if row is not None and _stands(row, words) else source)


def _stands(row: FileRow, words: int) -> bool:
    """Whether reading the file again would find the same: nothing was rejected, or by the same words."""
    return row.counts["rejected"] == 0 or row.counts.get(WORDS) == words


def _again(look: Look) -> Look:
    return Look(look.path, look.key, None, examine(look.path))


def plain(options: ReadOptions) -> bool:
    """Whether the key of a file is the digest of its bytes alone."""
    return _how(options) == _how(PLAIN)


def _how(options: ReadOptions) -> list[object]:
    return [sorted(options.mapping.items()), sorted(options.constants.items()), options.timestamps, options.timezone]


def reading_key(source: Source, options: ReadOptions) -> str:
    """64 hex digits of the file's bytes and of how they are read: the same again brings nothing new."""
    if plain(options):
        return source.digest
    return hashlib.sha256(f"{source.digest}{json.dumps(_how(options))}".encode()).hexdigest()


def words_of(words: Vocabulary) -> int:
    """A number that changes with the channels and events that a file may name."""
    text = json.dumps([list(words.channels), sorted(words.events)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big")


def remembered(file: StagedFile, options: ReadOptions, words: Vocabulary) -> dict[str, int]:
    """What to keep beside the counts of a file's row. Rows that lay too far ahead may be right tomorrow: such a file is read again."""
    kept = {} if file.ahead else {WORDS: words_of(words)}
    return {**kept, MODIFIED: file.source.modified_ns} if plain(options) else kept
