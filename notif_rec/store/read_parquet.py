"""Parquet with the same columns, typed or text, as blocks of text columns: from there it is read as CSV is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec.errors import DataError
from notif_rec.store.blocks import Block, OpenFile
from notif_rec.store.columns import TableColumns
from notif_rec.store.header import Layout, ReadOptions, match_columns
from notif_rec.store.preflight import Source
from notif_rec.store.rejects import REJECTS

ROWS = 1 << 18  # rows of a block
UNREADABLE = (pa.ArrowException, OSError, ValueError)
IDS = frozenset({"user_id", "item_id", "event_id", "send_key"})


def open_parquet(source: Source, columns: TableColumns, options: ReadOptions) -> OpenFile:
    """The file's layout and blocks; DataError where it is damaged or a column has a type that is no text, number or time."""
    try:
        file = pq.ParquetFile(str(source.path), page_checksum_verification=True)
    except UNREADABLE as error:
        raise _damaged(source, error) from None
    schema = file.schema_arrow
    layout = match_columns(source.path, [name.strip() for name in schema.names], columns, options)
    for column, index in layout.place.items():
        _refuse_type(source, column, schema.field(index))
    return OpenFile(layout, _blocks(source, file, layout, columns))


def _damaged(source: Source, error: Exception) -> DataError:
    return DataError(f"{source.path}: the Parquet file is cut short or damaged ({error})", "write or copy it again; nothing was taken in")


def _refuse_type(source: Source, column: str, field: Any) -> None:
    kind = field.type
    if column in IDS and pa.types.is_floating(kind):
        raise DataError(f"{source.path}: column '{field.name}' holds ids as floating numbers", "write ids as text or integers")
    if pa.types.is_nested(kind) and not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise DataError(f"{source.path}: column '{field.name}' has the type {kind}", "write it as text, a number or a time")


def _blocks(source: Source, file: Any, layout: Layout, columns: TableColumns) -> Iterator[Block]:
    schema, line = file.schema_arrow, 1
    extras = {name: i for name, i in layout.extras.items() if not pa.types.is_nested(schema.types[i])} if columns.keeps_extras else {}
    used = sorted({*layout.place.values(), *extras.values()})
    try:
        for batch in file.iter_batches(batch_size=ROWS, columns=[schema.names[i] for i in used]):
            text = {i: _text(source, batch.column(at), schema.field(i).name) for at, i in enumerate(used)}
            yield Block(
                columns={name: text[i] for name, i in layout.place.items()},
                extras={name: text[i] for name, i in extras.items()},
                line=np.arange(line, line + batch.num_rows, dtype=np.int64),
                rejects=REJECTS.empty_table(),
                records=batch.num_rows,
                blank=0,
                size=batch.nbytes,
            )
            line += batch.num_rows
    except UNREADABLE as error:
        raise _damaged(source, error) from None


def _text(source: Source, column: Any, name: str) -> Any:
    """The column as CSV would have it: '' for null, times in UTC with Z, lists joined by '|'."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        lists = pc.cast(column, pa.list_(pa.string()))
        column = pc.binary_join(pa.ListArray.from_arrays(lists.offsets, pc.fill_null(lists.values, "")), "|")
    if pa.types.is_timestamp(column.type):
        column = pc.cast(column, pa.timestamp("us", column.type.tz and "UTC"), safe=False)
    try:
        text = pc.fill_null(pc.cast(column, pa.string()), "")
        text.validate(full=True)  # Parquet may hold bytes that are not UTF-8 where it promises text
        return text
    except pa.ArrowException as error:
        raise DataError(
            f"{source.path}: column '{name}' cannot be read as text ({error})", "write it as text, a number or a time"
        ) from None
