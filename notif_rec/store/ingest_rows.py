"""Staged files of users, items or suppressions → the rows of one commit: the newest row of an id wins, and only changes are stored.

A column that a file lacks keeps the value that it had: a file of tiers says nothing about consent. A column that is there and empty
empties it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from notif_rec.store.ids import bucket_sql
from notif_rec.store.ingest_events import Prepared
from notif_rec.store.staging import StagedFile
from notif_rec.store.store import Store
from notif_rec.tables import STORED


@dataclass(frozen=True)
class Upsert:
    """How a table is upserted. key: its code; plain: stored column -> column of the file; maps: stored column -> prefix of its columns
    in the file; extras: the map of all other columns."""

    table: str
    key: str
    id_column: str
    plain: dict[str, str]
    maps: tuple[str, ...]


_ITEM_COLUMNS = ("title", "text", "category", "tags", "channels", "created_at", "expires_at", "audience", "value")
USERS = Upsert("users", "user", "user_id", {c: c for c in ("timezone", "created_at")}, ("consent", "consent_at", "attributes"))
ITEMS = Upsert("items", "item", "item_id", {**{c: c for c in _ITEM_COLUMNS}, "item_class": "class"}, ("extra",))


def prepare_users(store: Store, files: Sequence[StagedFile], threads: int = 1) -> Prepared:
    """The users that `files` change. Call inside `store.lock()`."""
    return _prepare(store, USERS, files, threads)


def prepare_items(store: Store, files: Sequence[StagedFile], threads: int = 1) -> Prepared:
    """The items that `files` change. Call inside `store.lock()`."""
    return _prepare(store, ITEMS, files, threads)


def prepare_suppressions(store: Store, files: Sequence[StagedFile], threads: int = 1) -> Prepared:
    """The (user, channel) pairs that are not suppressed yet; '' = all channels. Call inside `store.lock()`."""
    rows, sizes = _joined(files)
    if rows is None:
        return Prepared({}, sizes)
    codes, new_users = store.user_codes(rows.column("user_id"), create=True)
    rows = rows.append_column("user", codes).append_column("place", pa.array(np.arange(rows.num_rows)))
    with store.connect(threads=threads) as duck:
        duck.register("rows", rows)
        fresh = duck.sql(f"""
            SELECT {bucket_sql("user_id")} AS bucket, "user", channel, min(place) AS place FROM rows
            ANTI JOIN suppressions USING ("user", channel) GROUP BY ALL ORDER BY place
        """).to_arrow_table()
    ends = np.cumsum([0, *sizes])
    accepted = tuple(int(n) for n in np.diff(np.searchsorted(fresh.column("place").to_numpy(), ends)))
    return Prepared({"suppressions": fresh.drop_columns("place"), "user_ids": new_users}, accepted)


def _joined(files: Sequence[StagedFile]) -> tuple[pa.Table | None, tuple[int, ...]]:
    sizes = tuple(file.rows.num_rows for file in files)
    return (pa.concat_tables([f.rows for f in files if f.rows.num_rows]) if sum(sizes) else None), sizes


def _prepare(store: Store, kind: Upsert, files: Sequence[StagedFile], threads: int) -> Prepared:
    """Each file in turn is laid over what is known after the one before it."""
    rows, sizes = _joined(files)
    if rows is None:
        return Prepared({}, sizes)
    give_codes = store.user_codes if kind is USERS else store.item_codes
    codes, new_ids = give_codes(rows.column(kind.id_column), create=True)
    ends = np.cumsum([0, *sizes])
    accepted = []
    with store.connect(threads=threads) as duck:
        _load_current(duck, kind, rows, codes)
        for file, start, stop in zip(files, ends[:-1], ends[1:], strict=True):
            part = file.rows.append_column(kind.key, codes[start:stop]) if stop > start else None
            accepted.append(_lay_over(duck, kind, file, part) if part is not None else 0)
        changed = _changed(duck, kind)
    return Prepared({kind.table: changed, "user_ids" if kind is USERS else "item_ids": new_ids}, tuple(accepted))


def _load_current(duck: duckdb.DuckDBPyConnection, kind: Upsert, rows: pa.Table, codes: Any) -> None:
    """Makes `stored`, the current rows of the ids at hand, and `now`, the same, to be changed."""
    duck.register("ids", pa.table({kind.key: codes, kind.id_column: rows.column(kind.id_column)}))
    bucket = f"{bucket_sql(kind.id_column)} AS bucket, " if kind is USERS else ""
    duck.execute(f'CREATE TABLE keys AS SELECT DISTINCT {bucket}"{kind.key}" FROM ids')
    columns = ", ".join(f'"{c}"' for c in (kind.key, *kind.plain, *kind.maps))
    duck.execute(f'CREATE TABLE stored AS SELECT {columns} FROM {kind.table} SEMI JOIN keys USING ("{kind.key}")')
    duck.execute("CREATE TABLE now AS FROM stored")


def _lay_over(duck: duckdb.DuckDBPyConnection, kind: Upsert, file: StagedFile, part: pa.Table) -> int:
    """How many rows of `now` the file changed or added; of rows of one id the last counts."""
    duck.register("part", part.append_column("place", pa.array(np.arange(part.num_rows))))
    merged = [f'n."{kind.key}"']
    merged += [_plain(kind, stored, column in file.present) for stored, column in kind.plain.items()]
    merged += [_merged(name, sorted(file.present)) for name in kind.maps]
    names = ", ".join(f'"{c}"' for c in (kind.key, *kind.plain, *kind.maps))
    duck.execute(f"""
        CREATE OR REPLACE TABLE laid AS
        WITH newest AS (SELECT * FROM part QUALIFY row_number() OVER (PARTITION BY "{kind.key}" ORDER BY place DESC) = 1)
        SELECT {", ".join(merged)} FROM newest n LEFT JOIN now c USING ("{kind.key}")
    """)
    duck.execute(f"CREATE OR REPLACE TABLE changed AS SELECT {names} FROM laid l WHERE NOT EXISTS ({_same(kind)})")
    duck.execute(f'DELETE FROM now WHERE "{kind.key}" IN (SELECT "{kind.key}" FROM changed)')
    duck.execute("INSERT INTO now FROM changed")
    return int(duck.execute("SELECT count(*) FROM changed").fetchall()[0][0])


def _plain(kind: Upsert, name: str, spoken_of: bool) -> str:
    """The file's value where it has the column or the id is new."""
    return f'n."{name}"' if spoken_of else f'CASE WHEN c."{kind.key}" IS NULL THEN n."{name}" ELSE c."{name}" END AS "{name}"'


def _merged(name: str, present: Sequence[str]) -> str:
    """The file's entries, and the old ones under names that the file does not speak of, by name. The date of a consent goes with it."""
    words = "[" + ", ".join("'" + column.replace("'", "''") + "'" for column in present) + "]"
    return f"""map_from_entries(list_sort(list_concat(
        list_filter(map_entries(coalesce(c."{name}", MAP {{}})), lambda e: NOT list_contains({words}, e.key)),
        map_entries(n."{name}")))) AS "{name}" """


def _same(kind: Upsert) -> str:
    """SQL: the row that `now` has already, column for column. Maps are compared as lists: their entries stand in order of name."""
    conditions = [f'o."{kind.key}" = l."{kind.key}"']
    conditions += [f'o."{name}" IS NOT DISTINCT FROM l."{name}"' for name in kind.plain]
    conditions += [f'map_entries(o."{name}") IS NOT DISTINCT FROM map_entries(l."{name}")' for name in kind.maps]
    return f"SELECT 1 FROM now o WHERE {' AND '.join(conditions)}"


def _changed(duck: duckdb.DuckDBPyConnection, kind: Upsert) -> pa.Table:
    """Rows of `now` that differ from the store's, as the stored table wants them."""
    names = ", ".join(f'l."{c}"' for c in STORED[kind.table].names if c not in ("seq", "bucket"))
    bucket = "k.bucket, " if kind is USERS else ""
    source = "now l" + (f' JOIN keys k USING ("{kind.key}")' if kind is USERS else "")
    old = _same(kind).replace("FROM now o", "FROM stored o")
    return duck.sql(f'SELECT {bucket}{names} FROM {source} WHERE NOT EXISTS ({old}) ORDER BY l."{kind.key}"').to_arrow_table()
