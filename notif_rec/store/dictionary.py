"""Codes of users and items: small integers for texts, given once, in the order of the texts within a commit."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.store.ids import bucket_sql, user_hash_sql

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Dictionary:
    """A stored table of codes and texts, and the SQL of its further columns."""

    table: str
    code: str
    text: str
    row: str  # a select list over rows of (code, text)


USERS = Dictionary(
    "user_ids", "user", "user_id", f'{bucket_sql("text")} AS bucket, code AS "user", text AS user_id, {user_hash_sql("text")} AS user_hash'
)
ITEMS = Dictionary("item_ids", "item", "item_id", "code AS item, text AS item_id")


def find_codes(connection: duckdb.DuckDBPyConnection, kind: Dictionary, ids: pa.Array, first_free: int | None) -> tuple[pa.Array, pa.Table]:
    """The int32 code of each id (-1 where null, or unknown while `first_free` is None), and the rows of new codes.

    New codes run from `first_free` in the order of the new texts (by bytes), whatever the order of `ids`.
    """
    texts, places = _distinct(ids)
    codes = _known(connection, kind, texts)
    new = np.flatnonzero(codes < 0) if first_free is not None else np.empty(0, dtype=np.int64)
    fresh = texts.take(pa.array(new))
    order = pc.sort_indices(fresh).to_numpy()
    numbers = np.arange(first_free or 0, (first_free or 0) + len(new), dtype=np.int32)
    codes[new[order]] = numbers
    connection.register("fresh", pa.table({"code": pa.array(numbers), "text": fresh.take(pa.array(order))}))
    rows = connection.sql(f"SELECT {kind.row} FROM fresh ORDER BY code").to_arrow_table()
    connection.unregister("fresh")
    return pa.array(np.where(places < 0, np.int32(-1), np.append(codes, np.int32(-1))[places])), rows


def _distinct(ids: pa.Array) -> tuple[pa.Array, npt.NDArray[np.int64]]:
    """The distinct texts, and for each id its place among them (-1 where null)."""
    chunked = ids if isinstance(ids, pa.ChunkedArray) else pa.chunked_array([ids])
    encoded = chunked.cast(pa.string()).dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return pa.array([], pa.string()), np.empty(0, dtype=np.int64)
    places = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    return encoded.chunk(0).dictionary, np.concatenate(places).astype(np.int64)


def _known(connection: duckdb.DuckDBPyConnection, kind: Dictionary, texts: pa.Array) -> Codes:
    codes: Codes = np.full(len(texts), -1, dtype=np.int32)
    connection.register("wanted", pa.table({"place": pa.array(np.arange(len(texts))), "text": texts}))
    query = f'SELECT w.place, d."{kind.code}" AS code FROM {kind.table} d JOIN wanted w ON d.{kind.text} = w.text'
    found = connection.sql(query).to_arrow_table()
    connection.unregister("wanted")
    codes[found.column("place").to_numpy()] = found.column("code").to_numpy()
    return codes
