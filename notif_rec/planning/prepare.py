"""Store and model facts → PLANNING_INPUT: one row per user, one Arrow file per bucket of users, or for several small ones."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.answers import attribute_outcomes, ignored_runs
from notif_rec.planning.audience import in_audience
from notif_rec.planning.bucket import Array, Events, Past, Span, Users, read_past, to_us
from notif_rec.planning.consent import consent, suppressed
from notif_rec.planning.facts import Facts
from notif_rec.planning.history import features_now, history_of, signs_of_taste
from notif_rec.planning.hours import HALF_LIVES, local_hours
from notif_rec.planning.item_counts import ItemIndex, read_item_index
from notif_rec.planning.sends import ItemLog, Sends, gather_sends, read_item_log
from notif_rec.planning.taste import Tastes, tastes, zone_rows
from notif_rec.policy.local_time import ZoneTable, known_zone, zone_table
from notif_rec.store.store import Snapshot, Store, Version
from notif_rec.tables import BUCKETS, PLANNING_INPUT

SMALL_BATCH = 8192  # users
Progress = Callable[[str, int, int], None]
Columns = dict[str, pa.Array]
Parts = list[tuple[Path, int]]  # files and their rows
Each = Callable[[Callable[[Span], Parts], Sequence[Span], str, Progress], Iterator[Parts]]  # an engine's `each`
ROWS_AT_ONCE = 1_000_000


@dataclass(frozen=True)
class Shared:
    """What all buckets read alike: what items were when they were sent, and the zones of all users."""

    item_log: ItemLog
    zones: ZoneTable
    index: ItemIndex


@dataclass(frozen=True)
class Prepared:
    """The files, by their first bucket, that hold all users; each is one record batch of PLANNING_INPUT."""

    files: tuple[Path, ...]
    users: int


def read_shared(connection: duckdb.DuckDBPyConnection, facts: Facts, as_of: datetime) -> Shared:
    """Reads what `prepare_bucket` needs beside its bucket; once for all buckets."""
    found = connection.execute("SELECT DISTINCT timezone FROM users WHERE timezone IS NOT NULL").fetchall()
    names = {str(name) for (name,) in found if known_zone(str(name))} | {facts.timezone}
    now, span = to_us(as_of), max(HALF_LIVES * facts.hours_half_life_us, facts.learn_us)
    zones = zone_table(tuple(sorted(names)), now - span, now + 1)
    return Shared(read_item_log(connection, facts), zones, read_item_index(connection))


@dataclass(frozen=True)
class Preparing:
    """Prepares spans of buckets; can be sent to another process, which reads the store's files by path and opens no catalogue."""

    snapshot: Snapshot
    facts: Facts
    as_of: datetime
    directory: Path
    users: npt.NDArray[np.int32] | None

    def __call__(self, buckets: Span) -> Parts:
        """Writes the files of a span. Holds about ROWS_AT_ONCE rows in memory, or one bucket where that is more."""
        with self._connection.cursor() as cursor:
            found = prepare_buckets(cursor, buckets, self.facts, self.as_of, shared=self._shared, only=self.users)
            return _write(found, self.directory)

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        """One for all spans that a process prepares."""
        connection = self.snapshot.connect()
        connection.execute("SET parquet_metadata_cache = true")  # segments never change
        return connection

    @cached_property
    def _shared(self) -> Shared:
        return read_shared(self._connection, self.facts, self.as_of)


def in_turn(work: Callable[[Span], Parts], spans: Sequence[Span], stage: str, progress: Progress) -> Iterator[Parts]:
    """Each span after the other, here."""
    for done, span in enumerate(spans, start=1):
        yield work(span)
        progress(stage, done, len(spans))


def prepare(
    store: Store,
    version: Version,
    facts: Facts,
    as_of: datetime,
    directory: Path,
    users: npt.NDArray[np.int32] | None = None,
    progress: Progress = lambda stage, done, total: None,
    each: Each = in_turn,
) -> Prepared:
    """Writes `directory/bucket-NN.arrow` for every bucket, or run of small buckets from NN on, that holds a user.

    users: codes to limit it to. each: does the spans, as Engine.each.
    """
    snapshot = store.snapshot(version)
    with snapshot.connect() as connection:
        spans = bucket_spans(connection)
    found = each(Preparing(snapshot, facts, as_of, directory, users), spans, "prepare", progress)
    written = [part for parts in found for part in parts]
    return Prepared(tuple(path for path, _ in written), sum(rows for _, rows in written))


def bucket_spans(connection: duckdb.DuckDBPyConnection) -> list[Span]:
    """All buckets, as many together as make about ROWS_AT_ONCE rows: each read opens every segment, so that one by one costs small
    stores dearly."""
    counted = connection.execute("SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM sends) + (SELECT count(*) FROM user_ids)")
    rows = int(counted.fetchall()[0][0])
    width = min(max(BUCKETS * ROWS_AT_ONCE // max(rows, 1), 1), BUCKETS)
    return [(first, min(first + width, BUCKETS) - 1) for first in range(0, BUCKETS, width)]


def _write(batches: dict[int, pa.RecordBatch], directory: Path) -> Parts:
    """A file a bucket, or one for all of them where they are small: every batch that is planned has its own fixed cost."""
    rows = sum(batch.num_rows for batch in batches.values())
    if len(batches) > 1 and rows <= SMALL_BATCH:
        batches = {min(batches): pa.concat_batches(batches.values())}
    written = []
    for bucket, batch in batches.items():
        path = directory / f"bucket-{bucket:02d}.arrow"
        write_batch(batch, path)
        written.append((path, batch.num_rows))
    return written


def write_batch(batch: pa.RecordBatch, path: Path) -> None:
    """Writes one record batch as an Arrow IPC file that can be memory-mapped; appears whole or not at all."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}")  # of this try alone: another may be under way
    with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    part.replace(path)


def prepare_bucket(
    connection: duckdb.DuckDBPyConnection,
    bucket: int,
    facts: Facts,
    as_of: datetime,
    *,
    shared: Shared | None = None,
    only: npt.NDArray[np.int32] | None = None,
) -> pa.RecordBatch:
    """PLANNING_INPUT of the users of a bucket (of those in `only`, codes, where given), ordered by user_id text."""
    shared = shared or read_shared(connection, facts, as_of)
    found = prepare_buckets(connection, (bucket, bucket), facts, as_of, shared=shared, only=only)
    return found.get(bucket, pa.RecordBatch.from_pylist([], PLANNING_INPUT))


def prepare_buckets(
    connection: duckdb.DuckDBPyConnection,
    buckets: Span,
    facts: Facts,
    as_of: datetime,
    *,
    shared: Shared,
    only: npt.NDArray[np.int32] | None = None,
) -> dict[int, pa.RecordBatch]:
    """PLANNING_INPUT by bucket, for those that hold a user."""
    past = read_past(connection, buckets, facts, only)
    batch = make_rows(past, suppressed(connection, buckets, past.users, facts), facts, to_us(as_of), shared)
    held, starts, sizes = np.unique(past.users.bucket, return_index=True, return_counts=True)
    return {bucket: batch.slice(*part) for bucket, *part in zip(held.tolist(), starts.tolist(), sizes.tolist(), strict=True)}


def make_rows(past: Past, barred: Array, facts: Facts, now: int, shared: Shared) -> pa.RecordBatch:
    """PLANNING_INPUT of all users of `past`, in their order. barred: (n_users, n_channels) suppressions. now: as-of, µs."""
    users, events, n, n_channels = past.users, past.events, len(past.users), len(facts.channels)
    sends = gather_sends(past, shared.item_log)
    answers = attribute_outcomes(events, sends, facts, now, n)
    ignored, ignored_us = ignored_runs(events, sends, now, n, n_channels)
    zone = zone_rows(users.timezone, shared.zones.names, facts.timezone)
    columns = _user_columns(users, facts) | _send_columns(sends, now - facts.lookback_us, n) | _taste_columns(tastes(events, facts, now), n)
    columns |= {
        "consent": _fixed(consent(users, events, facts)),
        "suppressed": _fixed(barred),
        "ignored": _fixed(ignored),
        "ignored_us": _fixed(ignored_us),
        "features": _fixed(features_now(history_of(past, sends, answers, facts), facts, now)),
        **_liked_columns(events, shared.index, facts, now, n),
        "hours": _fixed(local_hours(events, zone, shared.zones, facts, now)),
    }
    return pa.RecordBatch.from_arrays([columns[field.name].cast(field.type) for field in PLANNING_INPUT], schema=PLANNING_INPUT)


def _user_columns(users: Users, facts: Facts) -> Columns:
    return {
        "user": pa.array(users.user),
        "user_id": users.user_id,
        "user_hash": pa.array(users.user_hash),
        "timezone": _known_zones(users.timezone),
        "audience": _fixed(in_audience(facts.parsed_audiences, users.attributes, len(users))),
        "segment": pa.array(segments_of(users, facts)),
    }


def _known_zones(timezone: pa.DictionaryArray) -> pa.Array:
    known = [name if name is not None and known_zone(name) else None for name in timezone.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(timezone.indices)


def segments_of(users: Users, facts: Facts) -> npt.NDArray[np.int32]:
    """The model's segment of each user, -1 = none; looks each distinct combination of attributes up once."""
    if not facts.segments.rows:
        return np.full(len(users), -1, np.int32)
    combination, texts = np.zeros(len(users), np.int64), [()]
    for name in facts.segments.attributes:
        column = users.attributes[name]
        values = [*(value or "" for value in column.dictionary.to_pylist()), ""]
        codes = column.indices.fill_null(len(values) - 1).to_numpy(zero_copy_only=False)
        pairs, combination = np.unique(combination * len(values) + codes, return_inverse=True)
        texts = [(*texts[pair // len(values)], values[pair % len(values)]) for pair in pairs.tolist()]
    return np.array([facts.segments.rows.get(text, -1) for text in texts] or [-1], np.int32)[combination]


def _send_columns(sends: Sends, oldest_us: int, n: int) -> Columns:
    """Sends and their items from `oldest_us` on, by user, in order of time."""
    recent = sends.at_us >= oldest_us
    of_item = sends.of_item()
    recent_item = recent[of_item]
    starts, of_item = _offsets(sends.row[recent], n), of_item[recent_item]
    item_starts = _offsets(sends.row[of_item], n)
    place = np.cumsum(recent) - 1 - starts.to_numpy()[sends.row]
    return {
        "send_us": _lists(starts, sends.at_us[recent]),
        "send_channel": _lists(starts, sends.channel[recent]),
        "send_class": _lists(starts, sends.item_class[recent]),
        "send_categories": _lists(starts, sends.categories[recent]),
        "send_ours": _lists(starts, sends.ours[recent]),
        "send_day": _lists(starts, sends.day[recent]),
        "sent_item": _lists(item_starts, sends.item[recent_item]),
        "sent_item_us": _lists(item_starts, sends.at_us[of_item]),
        "sent_item_channel": _lists(item_starts, sends.channel[of_item]),
        "sent_item_class": _lists(item_starts, sends.class_of_item[recent_item]),
        "sent_item_send": _lists(item_starts, place[of_item]),
    }


def _taste_columns(taste: Tastes, n: int) -> Columns:
    starts = _offsets(taste.row, n)
    return {
        "seen_item": _lists(_offsets(taste.seen_row, n), taste.seen_item),
        "taste_item": _lists(starts, taste.item),
        "taste_channel": _lists(starts, taste.channel),
        "taste_weight": _lists(starts, taste.weight),
    }


def _liked_columns(events: Events, index: ItemIndex, facts: Facts, now: int, n: int) -> Columns:
    signs = signs_of_taste(events, index, facts, n)
    row = np.repeat(np.arange(n), np.diff(signs.start))
    known = (signs.category >= 0) & (signs.us < now) & (signs.us >= now - facts.response_us)
    pairs, count = np.unique(row[known] << 32 | signs.category[known], return_counts=True)
    starts = _offsets(pairs >> 32, n)
    return {"liked_category": _lists(starts, pairs & 0xFFFFFFFF), "liked_count": _lists(starts, count.astype(np.float32))}


def _offsets(row: Array, n: int) -> pa.Array:
    """Where each user's entries begin; `row` ascends."""
    return pa.array(np.searchsorted(row, np.arange(n + 1)).astype(np.int32))


def _lists(offsets: pa.Array, values: Array) -> pa.Array:
    return pa.ListArray.from_arrays(offsets, pa.array(values))


def _fixed(table: Array) -> pa.Array:
    """(n_users, width) as lists of one length."""
    n, width = table.shape
    return pa.ListArray.from_arrays(pa.array(np.arange(n + 1, dtype=np.int32) * width), pa.array(np.ascontiguousarray(table).ravel()))
