"""Care of the ledger: is every byte the one that was written, a copy to fall back on, and the whole of it as one table."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from notif_rec.errors import UsageError
from notif_rec.store.care import Damage, verify
from notif_rec.store.files import whole_file
from notif_rec.store.store import Store

EXPORT = """
SELECT l.send_key, l.plan_id, u.user_id, l.channel, {send_at} AS send_at, l.position, i.item_id, l.category, l.item_class, l.score,
       l.p_open, l.p_click, l.p_unsubscribe, l.value, l.propensity, l.reason, l.timezone, l.explored, l.released, l.confirmed,
       {actual_at} AS actual_at
FROM ledger l JOIN user_ids u USING ("user") JOIN item_ids i USING (item)
ORDER BY l.send_at, l.send_key, l.seq, l.position
"""
FORMATS = {".csv": "FORMAT csv, HEADER true", ".parquet": "FORMAT parquet, COMPRESSION zstd"}


@dataclass(frozen=True)
class Verified:
    """What was looked at, and what of it is not as it was written."""

    files: int
    rows: int
    damaged: tuple[Damage, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {"files": self.files, "rows": self.rows, "damaged": [asdict(one) for one in self.damaged]}


def verify_ledger(store: Store) -> Verified:
    """Every live file of the store against the digest that was taken when it was written, and the catalogue by SQLite's own check."""
    segments = store.segments()
    return Verified(len(segments), sum(segment.rows for segment in segments), tuple(verify(store)))


def export_ledger(store: Store, path: Path) -> int:
    """How many rows, one an item of a send, were written to `path` (.csv or .parquet), whole or not at all; released sends too."""
    if path.suffix not in FORMATS:
        raise UsageError(f"{path}: not a .csv or .parquet file", "name the file so that its ending says what it is")
    times = {
        name: f"strftime(l.{name}, '%Y-%m-%dT%H:%M:%SZ')" if path.suffix == ".csv" else f"l.{name}" for name in ("send_at", "actual_at")
    }
    with store.connect() as connection, whole_file(path) as draft:
        target = str(draft).replace("'", "''")
        return int(connection.execute(f"COPY ({EXPORT.format(**times)}) TO '{target}' ({FORMATS[path.suffix]})").fetchall()[0][0])
