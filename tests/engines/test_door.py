"""Through the door and back: the same rows, whatever an engine made of the types in between; what it broke is told."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from notif_rec.engines.door import conform, plain_schema, to_plain
from notif_rec.errors import DataError
from notif_rec.tables import PLANNING_INPUT

MOST = 2**64 - 1
SCHEMA = pa.schema(
    [("id", pa.string()), ("hash", pa.uint64()), ("bits", pa.list_(pa.uint64())), ("n", pa.list_(pa.int32())), ("b", pa.uint8())]
)
ROWS: list[dict[str, Any]] = [
    {"id": "a", "hash": MOST, "bits": [0, 2**63, MOST], "n": [1], "b": 255},
    {"id": "", "hash": 0, "bits": [], "n": [], "b": None},
    {"id": None, "hash": None, "bits": None, "n": None, "b": 0},
    {"id": "ü", "hash": 2**63, "bits": [None, 7], "n": [3, None], "b": 128},
]


def batch(rows: list[dict[str, Any]] = ROWS) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, SCHEMA)


@pytest.mark.parametrize("part", [slice(0, 4), slice(1, 4), slice(3, 4), slice(2, 2)])
def test_what_goes_out_comes_back_also_where_it_was_cut(part: slice) -> None:
    cut = batch().slice(part.start, part.stop - part.start)
    out = to_plain(cut)
    assert out.schema == plain_schema(SCHEMA)
    assert not any(pa.types.is_unsigned_integer(t) for t in out.schema.types)
    back = conform(out, SCHEMA)
    back.validate(full=True)
    assert back.to_pylist() == ROWS[part] and back.schema == SCHEMA


def test_the_table_of_users_has_a_plain_twin() -> None:
    assert "uint" not in str(plain_schema(PLANNING_INPUT))
    assert plain_schema(PLANNING_INPUT).names == PLANNING_INPUT.names


def test_other_spellings_of_a_type_and_another_order_are_taken() -> None:
    out = to_plain(batch())
    columns = {name: out.column(name) for name in reversed(out.schema.names)}
    columns["id"] = columns["id"].cast(pa.large_string())
    columns["n"] = columns["n"].cast(pa.large_list(pa.field("element", pa.int32(), nullable=True)))
    assert conform(pa.RecordBatch.from_pydict(columns), SCHEMA).to_pylist() == ROWS


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [("id", pa.int64(), "column 'id' came as int64, it was declared string"), ("n", pa.list_(pa.float64()), "column 'n' came as list"),
     ("hash", pa.string(), "column 'hash' came as string, it was declared uint64"), ("n", pa.int32(), "column 'n' came as int32"),
     ("b", pa.timestamp("us", "America/New_York"), "column 'b' came as timestamp")],
)  # fmt: skip
def test_a_column_of_another_type_is_an_error_and_never_parsed(name: str, kind: pa.DataType, said: str) -> None:
    out = to_plain(batch())
    place = out.schema.get_field_index(name)
    with pytest.raises(DataError, match=said):
        conform(out.set_column(place, name, pa.nulls(out.num_rows, kind)), SCHEMA)


def test_a_missing_column_is_an_error() -> None:
    with pytest.raises(DataError, match="without the column 'hash'"):
        conform(to_plain(batch()).drop_columns("hash"), SCHEMA)
