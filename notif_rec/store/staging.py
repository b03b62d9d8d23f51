"""A whole file as typed rows: read in blocks, rejects streamed away, every record accounted for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import DataError
from notif_rec.store.cells import LATER
from notif_rec.store.columns import columns_of
from notif_rec.store.header import ReadOptions
from notif_rec.store.preflight import Source, refuse_change
from notif_rec.store.read_csv import open_csv
from notif_rec.store.read_parquet import open_parquet
from notif_rec.store.rejects import RejectsFile, TakesRejects
from notif_rec.store.typed import FORGOTTEN, Vocabulary, read_block

Advance = Callable[[int], None]  # told of bytes read, or rows where the bytes of a row are not known


@dataclass(frozen=True)
class StagedFile:
    """The sound rows of a file (ids as text) and what became of the others. present: our columns and extras that the file speaks of.

    forgotten: how many of the rejected are of forgotten users. ahead: whether rows were rejected because they lie in the future.
    """

    source: Source
    rows: pa.Table
    present: frozenset[str]
    records: int
    rejected: int
    blank: int
    forgotten: int
    ahead: bool
    warnings: tuple[str, ...]


def stage_file(table: str, source: Source, options: ReadOptions, words: Vocabulary, rejects: TakesRejects, advance: Advance) -> StagedFile:
    """Reads `source` as a file of `table`; DataError where the file as a whole cannot be taken in."""
    columns = columns_of(table, words.channels)
    file = open_parquet(source, columns, options) if source.kind == "parquet" else open_csv(source, columns, options)
    parts: list[pa.Table] = []
    odd: Counter[str] = Counter()
    records = rejected = blank = forgotten = 0
    ahead = False
    for block in file.blocks:
        typed = read_block(table, source.path, block, options.constants, words)
        rejects.add(source.path, words.forgotten.veiled(pa.concat_tables([block.rejects, typed.rejects]).sort_by("line")))
        parts.append(typed.rows)
        records += block.records
        rejected += block.rejects.num_rows + typed.rejects.num_rows
        blank += block.blank
        forgotten += pc.sum(pc.equal(typed.rejects.column("reason"), FORGOTTEN[1])).as_py() or 0
        odd += typed.warnings
        ahead |= pc.any(pc.starts_with(typed.rejects.column("reason"), LATER)).as_py() or False
        advance(block.size)
    refuse_change(source)
    extras = file.layout.extras if columns.keeps_extras else ()
    present = frozenset((*file.layout.place, *options.constants, *extras))
    warnings = (*file.layout.warnings, *(f"{source.path}: {n} rows: {what}" for what, n in sorted(odd.items())))
    rows = pa.concat_tables(parts) if parts else pa.table({})
    return StagedFile(source, rows, present, records, rejected, blank, forgotten, ahead, warnings)


@dataclass(frozen=True)
class Limit:
    """How many rejects of a file are too many: `rows`, or a `share` of its records; never fewer than `free`."""

    rows: int | None
    share: float | None
    free: int = 0

    def exceeded(self, rejected: int, records: int) -> bool:
        """Whether `rejected` of `records` are too many."""
        most = self.rows if self.rows is not None else int((self.share or 0.0) * records)
        return rejected > max(most, self.free) or (rejected > 0 and self.free > 0 and rejected == records)

    def __str__(self) -> str:
        return f"{self.rows}" if self.rows is not None else f"{100 * (self.share or 0.0):g}%"


DEFAULT_LIMIT = Limit(None, 0.05, free=20)


def refuse_rejects(staged: StagedFile, limit: Limit, rejects: RejectsFile) -> None:
    """DataError, with the reasons, where too many rows of the file were rejected; those of forgotten users are no fault of it."""
    bad, sound = staged.rejected - staged.forgotten, staged.records - staged.blank - staged.forgotten
    if not limit.exceeded(bad, sound):
        return
    share = bad / max(1, sound)
    reasons = "\n".join(f"  {n:,} × {reason} (first: {rejects.examples[reason][0]})" for reason, n in rejects.reasons.most_common(5))
    told = f"{bad:,} of {staged.records - staged.forgotten:,} records rejected ({share:.1%}; the limit is {limit})"
    raise DataError(
        f"{staged.source.path}: {told}\n{reasons}",
        f"mend them (all are in {rejects.path}), or raise --max-rejects; nothing was taken in",
    )
