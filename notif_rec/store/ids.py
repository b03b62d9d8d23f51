"""The number of a user: one definition for Python and one for SQL, which a test holds equal."""

from __future__ import annotations

import hashlib

from notif_rec.tables import BUCKETS


def user_hash(user_id: str) -> int:
    """The first 8 bytes of the id's md5, little-endian: 0 ≤ hash < 2^64. Seeds a user's chance and picks the bucket."""
    return int.from_bytes(hashlib.md5(user_id.encode(), usedforsecurity=False).digest()[:8], "little")


def bucket_of(user_id: str) -> int:
    """The user's shard, 0 ≤ bucket < BUCKETS."""
    return user_hash(user_id) % BUCKETS


def user_hash_sql(text: str) -> str:
    """A DuckDB expression (UBIGINT) equal to `user_hash` of the expression `text`."""
    return f"md5_number_upper({text})"  # DuckDB calls the first 8 bytes, read little-endian, "upper"


def bucket_sql(text: str) -> str:
    """A DuckDB expression (UTINYINT) equal to `bucket_of` of the expression `text`."""
    return f"({user_hash_sql(text)} % {BUCKETS})::UTINYINT"
