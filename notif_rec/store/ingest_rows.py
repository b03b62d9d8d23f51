"""Staged files of users, items or suppressions → the rows of one commit: the newest row of an id wins, and only changes are stored.

A column that a file lacks keeps the value that it had: a file of tiers says nothing about consent. A column that is there and empty
empties it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
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
    accepted = []
    with store.connect(threads=threads) as duck:
        _load_stored(duck, kind, rows, codes)
        for file, (start, stop) in zip(files, pairwise(np.cumsum([0, *sizes])), strict=True):
            part = codes[start:stop].to_numpy()
            accepted.append(_lay_over(duck, kind, file, part) if part.size else 0)
        names = ", ".join(f'"{c}"' for c in STORED[kind.table].names if c != "seq")
        changed = duck.sql(f'SELECT {names} FROM changed JOIN keys USING ("{kind.key}") ORDER BY "{kind.key}"').to_arrow_table()
    return Prepared({kind.table: changed, "user_ids" if kind is USERS else "item_ids": new_ids}, tuple(accepted))


def _load_stored(duck: duckdb.DuckDBPyConnection, kind: Upsert, rows: pa.Table, codes: Any) -> None:
    """Makes `stored`, the current rows of the ids at hand; `changed`, empty; and `now`, the one laid over the other."""
    duck.register("ids", pa.table({kind.key: codes, kind.id_column: rows.column(kind.id_column)}))
    bucket = f"{bucket_sql(kind.id_column)} AS bucket, " if kind is USERS else ""
    duck.execute(f'CREATE TABLE keys AS SELECT DISTINCT {bucket}"{kind.key}" FROM ids')
    duck.execute(f'CREATE TABLE stored AS SELECT {_names(kind)} FROM {kind.table} SEMI JOIN keys USING ("{kind.key}")')
    duck.execute("CREATE TABLE changed AS FROM stored LIMIT 0")
    duck.execute(f'CREATE VIEW now AS SELECT * FROM stored ANTI JOIN changed USING ("{kind.key}") UNION ALL FROM changed')


def _names(kind: Upsert, prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{c}"' for c in (kind.key, *kind.plain, *kind.maps))


def _lay_over(duck: duckdb.DuckDBPyConnection, kind: Upsert, file: StagedFile, codes: npt.NDArray[np.int32]) -> int:
    """How many rows of `now` the file changed or added; of rows of one id the last counts."""
    last = codes.size - 1 - np.unique(codes[::-1], return_index=True)[1]
    duck.register("part", file.rows.take(pa.array(last)).append_column(kind.key, pa.array(codes[last])))
    values = [f'n."{kind.key}"']
    values += [_plain(kind, stored, column in file.present) for stored, column in kind.plain.items()]
    values += [_merged(duck, name, file.present) for name in kind.maps]
    same = " AND ".join(f'o."{name}" IS NOT DISTINCT FROM l."{name}"' for name in (*kind.plain, *kind.maps))
    duck.execute(f"""
        CREATE OR REPLACE TABLE laid AS
        WITH laid AS (SELECT {", ".join(values)} FROM part n LEFT JOIN now c USING ("{kind.key}"))
        SELECT {_names(kind, "l.")} FROM laid l LEFT JOIN now o USING ("{kind.key}") WHERE o."{kind.key}" IS NULL OR NOT ({same})
    """)
    duck.execute(f'DELETE FROM changed WHERE "{kind.key}" IN (SELECT "{kind.key}" FROM laid)')
    duck.execute("INSERT INTO changed FROM laid")
    return int(duck.execute("SELECT count(*) FROM laid").fetchall()[0][0])


def _plain(kind: Upsert, name: str, spoken_of: bool) -> str:
    """The file's value where it has the column or the id is new."""
    return f'n."{name}"' if spoken_of else f'CASE WHEN c."{kind.key}" IS NULL THEN n."{name}" ELSE c."{name}" END AS "{name}"'


def _merged(duck: duckdb.DuckDBPyConnection, name: str, present: frozenset[str]) -> str:
    """The file's entries, and the old ones under names that the file does not speak of, by name. The date of a consent goes with it."""
    old = {row[0] for row in duck.execute(f'SELECT DISTINCT unnest(map_keys("{name}")) FROM now').fetchall()}
    if old <= present:
        return f'n."{name}"'
    words = "[" + ", ".join("'" + column.replace("'", "''") + "'" for column in sorted(old - present)) + "]"
    return f"""map_from_entries(list_sort(list_concat(
        list_filter(map_entries(coalesce(c."{name}", MAP {{}})), lambda e: list_contains({words}, e.key)),
        map_entries(n."{name}")))) AS "{name}" """
