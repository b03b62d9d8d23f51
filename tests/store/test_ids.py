from __future__ import annotations

import hashlib
import struct

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.store.ids import bucket_of, bucket_sql, user_hash, user_hash_sql

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@settings(max_examples=40, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=20))
def test_python_and_sql_agree(texts: list[str]) -> None:
    with duckdb.connect() as connection:
        query = f"SELECT {user_hash_sql('t')}, {bucket_sql('t')}, typeof({bucket_sql('t')}) FROM (SELECT unnest($1) AS t)"
        rows = connection.execute(query, [texts]).fetchall()
    assert rows == [(user_hash(t), bucket_of(t), "UTINYINT") for t in texts]


def test_the_hash_is_what_the_format_says() -> None:
    digest = hashlib.md5("käse".encode()).digest()
    assert user_hash("käse") == struct.unpack("<QQ", digest)[0]
    assert bucket_of("käse") == struct.unpack("<QQ", digest)[0] % 64


def test_a_known_value_never_changes() -> None:
    assert user_hash("u1") == 9673584256429619172  # a change would move every user to another bucket and another fate
