"""The door to an engine that has fewer types than Arrow: unsigned numbers pass as signed ones of the same bits, and back."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.errors import DataError

SIGNED = {pa.uint8(): pa.int8(), pa.uint16(): pa.int16(), pa.uint32(): pa.int32(), pa.uint64(): pa.int64()}
LARGE = {pa.large_string(): pa.string(), pa.string_view(): pa.string()}
FIX = "the engine changed it on the way; report it with the versions that `notif-rec doctor` prints"


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The signed twin of a type, inside lists too."""
    return pa.list_(plain_type(kind.value_type)) if pa.types.is_list(kind) else SIGNED.get(kind, kind)


def plain_schema(schema: pa.Schema) -> pa.Schema:
    """`schema` in types that every engine has."""
    return pa.schema([pa.field(field.name, plain_type(field.type)) for field in schema])


def to_plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch as it goes out of the door."""
    schema = plain_schema(batch.schema)
    return pa.RecordBatch.from_arrays([_turned(c, field.type) for c, field in zip(batch.columns, schema, strict=True)], schema=schema)


def conform(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The batch as it comes in: columns by name, in the types of `schema`; DataError where one is missing or of another type."""
    columns = []
    for field in schema:
        place = batch.schema.get_field_index(field.name)
        if place < 0:
            raise DataError(f"rows of users came without the column '{field.name}': {', '.join(batch.schema.names)}", FIX)
        column = batch.column(place)
        if not _alike(column.type, field.type):
            raise DataError(f"column '{field.name}' came as {column.type}, it was declared {field.type}", FIX)
        columns.append(_turned(column, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a column only needs its bits or its offsets read otherwise: a number is never parsed out of a text, nor rounded."""
    if pa.types.is_list(wanted):
        return (pa.types.is_list(found) or pa.types.is_large_list(found)) and _alike(found.value_type, wanted.value_type)
    return wanted in (found, LARGE.get(found)) or SIGNED.get(wanted) == found or SIGNED.get(found) == wanted


def _turned(column: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_list(wanted):
        whole = column.cast(pa.list_(column.type.value_type)) if pa.types.is_large_list(column.type) else column
        mask = whole.is_null() if whole.null_count else None
        return pa.ListArray.from_arrays(_offsets(whole), _turned(_values(whole), wanted.value_type), type=wanted, mask=mask)
    return column.view(wanted) if SIGNED.get(wanted) == column.type or SIGNED.get(column.type) == wanted else column.cast(wanted)


def _offsets(lists: pa.ListArray) -> pa.Array:
    """Where each list starts among `_values`, which begin with the first."""
    first = lists.offsets[0]
    return lists.offsets if not first.as_py() else pc.subtract(lists.offsets, first)


def _values(lists: pa.ListArray) -> pa.Array:
    first, last = lists.offsets[0].as_py(), lists.offsets[-1].as_py()
    return lists.values.slice(first, last - first)
