from __future__ import annotations

import pyarrow as pa
import pytest

from notif_rec.store.segments import DISTINCT
from notif_rec.store.store import Store
from notif_rec.tables import EVENTS
from tests.store.rows import event, table

TEXTS = [field.name for field in EVENTS if pa.types.is_string(field.type)]


@pytest.mark.parametrize("column", TEXTS)
@pytest.mark.parametrize("values", [["k", None], [None, "k"], ["k", "k", None], ["k", None, "j"], [None], ["k"]])
def test_a_column_of_one_text_and_nulls_is_asked_for_nulls(store: Store, column: str, values: list[str | None]) -> None:
    """DuckDB 2.0 takes the statistics of such a column for every row, unless it is written with a dictionary or without statistics."""
    rows = [{**event("a", 0, n), column: value} for n, value in enumerate(values)]
    store.commit("ingest", {"events": table("events", rows)})
    with store.connect() as duck:
        found = duck.sql(f"SELECT count(*) FROM events WHERE {column} IS NULL").fetchall()
        empty = duck.sql(f"SELECT count(*) FROM events WHERE coalesce({column}, '') = ''").fetchall()
    assert found == empty == [(values.count(None),)]


def test_event_columns_without_a_dictionary_are_covered() -> None:
    assert {"confirms", "send_key", "event_id"} <= set(DISTINCT) & set(TEXTS)
