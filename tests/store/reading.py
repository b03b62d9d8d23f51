"""Reads one file the way ingest does, without a store: what the reading tests look at."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notif_rec.store.header import ReadOptions
from notif_rec.store.preflight import examine
from notif_rec.store.rejects import RejectsFile
from notif_rec.store.staging import stage_file
from notif_rec.store.timestamps import time_format
from notif_rec.store.typed import Vocabulary

CHANNELS = ("push", "email", "in_app")
EVENTS = frozenset(("view", "save", "purchase", "sent", "opened", "clicked", "unsubscribed"))
LATEST = datetime(2026, 6, 1)


@dataclass(frozen=True)
class Reading:
    """rejects: (line, column, value, reason) as they stand in the rejects file."""

    rows: list[dict[str, Any]]
    rejects: list[tuple[int, str, str, str]]
    records: int
    blank: int
    warnings: tuple[str, ...]

    @property
    def rejected_lines(self) -> list[int]:
        return [line for line, _, _, _ in self.rejects]


def read(path: Path, table: str = "events", options: ReadOptions | None = None) -> Reading:
    """The file at `path` as rows of `table`."""
    options = options or ReadOptions()
    words = Vocabulary(CHANNELS, EVENTS, time_format(options.timestamps, options.timezone), LATEST)
    rejects = RejectsFile(path.parent / "rejects.csv")
    rejects.path.unlink(missing_ok=True)
    staged = stage_file(table, examine(path), options, words, rejects, lambda size: None)
    rejects.close()
    told = []
    if rejects.written:
        with rejects.path.open(encoding="utf-8", newline="") as stream:
            told = [(int(row["line"]), row["column"], row["value"], row["reason"]) for row in csv.DictReader(stream)]
    assert len(told) == staged.rejected
    assert staged.records == staged.rows.num_rows + staged.rejected + staged.blank
    return Reading(staged.rows.to_pylist(), told, staged.records, staged.blank, staged.warnings)
