"""Merging: many small segments become one, as an ordinary commit, so that years of nightly runs stay a few files.

Every row and its `seq` is kept, so older versions read as before. Files that a merge replaces stay on disk until the
next run that merges something, for readers that still hold their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.store.catalogue import Segment
from notif_rec.store.segments import TIME_OF, bucket_of_group
from notif_rec.store.store import Store
from notif_rec.tables import STORED

MANY = 16  # small segments that may wait where no month is finished
LONGEST = timedelta(days=62)  # a segment of a longer span belongs to no month
OPEN = ""  # the group of segments that no finished month holds


def compact(store: Store, as_of: datetime) -> int:
    """How many segments were merged away: of months that ended before `as_of`'s, and wherever many small ones have come."""
    with store.lock():
        groups = [group for table in STORED for group in _groups(store.segments(table), as_of)]
        if groups:
            store.drop_retired()
        for group in groups:
            _merge(store, group)
    return sum(len(group) - 1 for group in groups)


def _groups(segments: Sequence[Segment], as_of: datetime) -> list[list[Segment]]:
    """Segments of one table to be merged with each other."""
    months: dict[str, list[Segment]] = {}
    for segment in segments:
        months.setdefault(_month(segment, as_of), []).append(segment)
    small = {month: _small(group) for month, group in sorted(months.items())}
    return [group for month, group in small.items() if len(group) > (MANY if month == OPEN else 1)]


def _month(segment: Segment, as_of: datetime) -> str:
    """The finished month that the segment's newest row lies in, or OPEN."""
    if segment.tbl not in TIME_OF or segment.min_us is None or segment.max_us is None:
        return OPEN
    month = f"{_moment(segment.max_us):%Y-%m}"
    wide = segment.max_us - segment.min_us > LONGEST / timedelta(microseconds=1)
    return OPEN if wide or month >= f"{as_of:%Y-%m}" else month


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=us)


def _small(group: Sequence[Segment]) -> list[Segment]:
    """The group without its largest segment where that outweighs the rest: rewriting it each time would cost too much."""
    largest = max(group, key=lambda segment: (segment.rows, segment.id))
    rest = [segment for segment in group if segment is not largest]
    return rest if largest.rows > sum(segment.rows for segment in rest) else list(group)


def _merge(store: Store, group: Sequence[Segment]) -> None:
    rows = _rows([store.root / segment.path for segment in group])
    store.commit("compact", {group[0].tbl: rows}, replaces=[segment.id for segment in group])


def _rows(paths: Sequence[Path]) -> Iterator[pa.Table]:
    """The rows of the files, a bucket at a time, of each bucket the oldest file first."""
    with ExitStack() as opened:
        files = [opened.enter_context(pq.ParquetFile(path)) for path in paths]
        groups: dict[int, list[tuple[Any, int]]] = {}
        for file in files:
            for number in range(file.num_row_groups):
                groups.setdefault(bucket_of_group(file.metadata, number), []).append((file, number))
        for bucket in sorted(groups):
            yield pa.concat_tables([file.read_row_group(number) for file, number in groups[bucket]])
