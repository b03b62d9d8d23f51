"""Groups of users whose taste differs: the attributes that best foretell what the other half of the users likes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.models.model import Segments

MIN_USERS = 30  # a smaller group speaks with everybody's voice
MAX_SEGMENTS = 64
MAX_ATTRIBUTES = 12
TOP_ITEMS = 2000
SIGMAS = 3.0  # what segments add must be this far from what chance adds
PRIORS = (300.0, 1e3, 3e3, 1e4, 3e4, 1e5)  # pairs that everybody's taste may be worth in a group

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Attributes:
    """Texts of users' attributes: `value[name]` has one entry a user, '' where it is missing."""

    names: tuple[str, ...]
    value: dict[str, npt.NDArray[np.str_]]


def read_attributes(con: duckdb.DuckDBPyConnection, users: npt.NDArray[np.int32]) -> Attributes:
    """Attributes of users (codes of the store), those with at most MAX_SEGMENTS values of MIN_USERS users or more."""
    con.register("segment_users", pa.table({"user": pa.array(users), "place": pa.array(np.arange(len(users)))}))
    names = [row[0] for row in con.execute(_USEFUL, [MIN_USERS, MAX_SEGMENTS, MAX_ATTRIBUTES]).fetchall()]
    value = {name: _column(con, name) for name in names}
    con.unregister("segment_users")
    return Attributes(tuple(names), value)


def segments_of(con: duckdb.DuckDBPyConnection, segments: Segments, users: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """(n_users,) row of `segments` of each user code of the store, -1 where none fits."""
    if not len(segments) or not len(users):
        return np.full(len(users), -1, dtype=np.int32)
    con.register("segment_users", pa.table({"user": pa.array(users), "place": pa.array(np.arange(len(users)))}))
    columns = np.stack([_column(con, name) for name in segments.attributes], axis=1)
    con.unregister("segment_users")
    texts, place = np.unique(columns, axis=0, return_inverse=True)
    known = {values: row for row, values in enumerate(segments.values)}
    rows = np.array([known.get(tuple(str(value) for value in text), -1) for text in texts], dtype=np.int32)
    found: npt.NDArray[np.int32] = rows[place.ravel()]
    return found


_USEFUL = """
WITH entries AS (
    SELECT unnest(map_entries(u.attributes), recursive := true) FROM users u WHERE u."user" IN (SELECT "user" FROM segment_users)
), groups AS (SELECT key, value, count(*) AS n FROM entries WHERE value <> '' GROUP BY key, value)
SELECT key FROM groups WHERE n >= ? GROUP BY key HAVING count(*) BETWEEN 2 AND ? ORDER BY sum(n) DESC, key LIMIT ?
"""


def _column(con: duckdb.DuckDBPyConnection, name: str) -> npt.NDArray[np.str_]:
    query = "SELECT coalesce(u.attributes[?], '') AS value FROM segment_users s LEFT JOIN users u USING (\"user\") ORDER BY s.place"
    column = con.execute(query, [name]).fetchall()
    return np.array([row[0] for row in column], dtype=np.str_)


def choose_segments(attributes: Attributes, user: Ints, item: Ints, n_items: int) -> tuple[Segments, npt.NDArray[np.int32]]:
    """The segments, and each user's row in them (-1 = none).

    user, item: the (user, item) pairs with taste. Of each attribute and each pair of them, half of the users say how likely
    the other half's items become; the best wins, where it says more than nothing.
    """
    popular = np.argsort(-np.bincount(item, minlength=n_items), kind="stable")[:TOP_ITEMS]
    place = np.full(n_items, -1, dtype=np.int64)
    place[popular] = np.arange(len(popular))
    inside = place[item] >= 0
    best, best_gain, best_rows = Segments(), 0.0, np.full(_n_users(attributes), -1, dtype=np.int32)
    for names in _candidates(attributes.names):
        segments, rows = _group(attributes, names)
        if len(segments) < 2:
            continue
        gain, prior = _gain(rows, len(segments), user[inside], place[item[inside]], len(popular))
        if gain > best_gain:
            best, best_gain, best_rows = replace(segments, prior=prior), gain, rows
    return best, best_rows


def _candidates(names: Sequence[str]) -> list[tuple[str, ...]]:
    return [(name,) for name in names] + list(combinations(names, 2))


def _n_users(attributes: Attributes) -> int:
    return len(next(iter(attributes.value.values()))) if attributes.value else 0


def _group(attributes: Attributes, names: tuple[str, ...]) -> tuple[Segments, npt.NDArray[np.int32]]:
    """The largest combinations of values, in the order of their texts."""
    columns = np.stack([attributes.value[name] for name in names], axis=1)
    texts, row, count = np.unique(columns, axis=0, return_inverse=True, return_counts=True)
    big = np.flatnonzero((count >= MIN_USERS) & (texts != "").all(axis=1))
    big = np.sort(big[np.argsort(-count[big], kind="stable")[:MAX_SEGMENTS]])
    number = np.full(len(texts), -1, dtype=np.int32)
    number[big] = np.arange(len(big), dtype=np.int32)
    return Segments(names, tuple(tuple(str(v) for v in texts[t]) for t in big)), number[row.ravel()]


def _gain(rows: npt.NDArray[np.int32], n_segments: int, user: Ints, item: Ints, n_items: int) -> tuple[float, float]:
    """Log-likelihood that the segments add for users of odd rows when fitted on those of even rows, less what chance may add, and the prior
    that adds most."""
    segment = rows[user].astype(np.int64)
    fitted = user % 2 == 0
    base = (np.bincount(item[fitted], minlength=n_items) + 0.5) / (fitted.sum() + 0.5 * n_items)
    own = fitted & (segment >= 0)
    counts = np.bincount(segment[own] * n_items + item[own], minlength=n_segments * n_items).reshape(n_segments, n_items)
    told = ~fitted & (segment >= 0)
    total, inside = counts.sum(axis=1)[segment[told]], counts[segment[told], item[told]]
    even = base[item[told]]
    gains = [np.bincount(user[told], weights=np.log((inside + prior * even) / (total + prior) / even)) for prior in PRIORS]
    best = int(np.argmax([gain.sum() for gain in gains]))
    by_chance = SIGMAS * float(np.sqrt(np.square(gains[best]).sum()))
    return float(gains[best].sum()) - by_chance, PRIORS[best]
