"""What items say of themselves, as vectors: words, category and tags → TF-IDF → the factors to expect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from notif_rec.models.blas import one_blas_thread

MAX_WORDS = 30_000
MAX_SHARE = 0.5  # a word that more items than this have tells none of them apart
RIDGE = 3.0
HALF_HEARD = 10.0  # typical pairs at which an item is heard half as loudly as one that everybody likes
LOUD = 40.0  # the same where lengths are compared: those of items that are often offered count
STEPS = 30
SMALL = 1e-30


@dataclass(frozen=True)
class Texts:
    """What items say of themselves. words: (n_items, n_words) TF-IDF. around: (n_items,) share of the past that the item was there."""

    words: sparse.csr_matrix
    around: npt.NDArray[np.float64]

    def known(self, evidence: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """Typical pairs that each item's record is worth; to have been around without being liked is evidence too."""
        liked = evidence[evidence > 0]
        return np.asarray(evidence + self.around * (liked.mean() if len(liked) else 0.0), dtype=np.float64)

    def new(self, evidence: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """(n_items,) how new each item is, 1 to 0; 0 where it says nothing of itself."""
        return np.where(np.diff(self.words.indptr) > 0, 1 / (1 + self.known(evidence)), 0.0)


def read_texts(
    con: duckdb.DuckDBPyConnection, item_codes: npt.NDArray[np.int32], created_us: npt.NDArray[np.float64], since: datetime, as_of: datetime
) -> Texts:
    """The texts of items (codes of the store, in that order), from a store connection; since: when the past begins.

    An item without `created_at` counts as new for as long as it has no events.
    """
    return Texts(read_words(con, item_codes), _around(created_us, since, as_of))


def _around(created_us: npt.NDArray[np.float64], since: datetime, as_of: datetime) -> npt.NDArray[np.float64]:
    start, end = (int(np.datetime64(moment, "us").astype(np.int64)) for moment in (since, as_of))
    return np.nan_to_num(np.clip((end - created_us) / max(end - start, 1), 0.0, 1.0))


def read_words(con: duckdb.DuckDBPyConnection, item_codes: npt.NDArray[np.int32]) -> sparse.csr_matrix:
    """(n_items, n_words) TF-IDF float64 with rows of length 1 (or 0 without text); rows in the order of `item_codes`.

    Words are runs of letters and digits in lower case of title, text, category and tags; a category and a tag is also one word
    as a whole. A word needs two items.
    """
    con.register("text_items", pa.table({"item": pa.array(item_codes), "place": pa.array(np.arange(len(item_codes), dtype=np.int32))}))
    counts = con.sql(_COUNTS, params=[MAX_SHARE * max(len(item_codes), 10), MAX_WORDS]).to_arrow_table()
    con.unregister("text_items")
    place, word, n = (counts[name].to_numpy() for name in ("place", "word", "n"))
    n_words = int(word.max(initial=-1)) + 1
    idf = np.log((1 + len(item_codes)) / (1 + np.bincount(word, minlength=n_words)))
    weight = (1 + np.log(n)) * idf[word]
    length = np.sqrt(np.bincount(place, weights=weight**2, minlength=len(item_codes)))
    return sparse.csr_matrix((weight / length[place], (place, word)), shape=(len(item_codes), n_words))


_COUNTS = r"""
WITH texts AS (
    SELECT t.place, i.category, coalesce(i.tags, []) AS tags,
        lower(concat_ws(' ', i.title, i.text, i.category, array_to_string(i.tags, ' '))) AS words
    FROM items i JOIN text_items t USING (item)
), words AS (
    SELECT place, unnest(regexp_extract_all(words, '[\p{L}\p{N}]+')) AS word FROM texts
    UNION ALL SELECT place, 'category:' || category FROM texts WHERE category <> ''
    UNION ALL SELECT place, 'tag:' || unnest(tags) FROM texts
), counts AS (SELECT place, word, count(*) AS n FROM words GROUP BY place, word),
vocabulary AS (
    SELECT word, row_number() OVER (ORDER BY word) - 1 AS number FROM (
        SELECT word FROM counts GROUP BY word HAVING count(*) BETWEEN 2 AND greatest(?, 2) ORDER BY count(*) DESC, word LIMIT ?
    )
)
SELECT c.place, v.number AS word, c.n FROM counts c JOIN vocabulary v USING (word) ORDER BY c.place, v.number
"""


def foretold(
    words: sparse.csr_matrix, items: npt.NDArray[np.float32], evidence: npt.NDArray[np.floating], *, ridge: float = RIDGE
) -> npt.NDArray[np.float32]:
    """(n_items, f) factors that each item's words let one expect, whether or not it has events itself.

    A ridge regression from words to the fitted factors; an item speaks as loudly as its evidence n: n / (n + HALF_HEARD).
    Solved by conjugate gradients for all factors at once.
    """
    heard = (evidence / (evidence + HALF_HEARD))[:, None]
    with one_blas_thread():
        weights = np.zeros((words.shape[1], items.shape[1]))
        rest = words.T @ (heard * items)
        way, size = rest.copy(), (rest**2).sum(axis=0)
        for _ in range(STEPS):
            image = words.T @ (heard * (words @ way)) + ridge * way
            step = size / np.maximum((way * image).sum(axis=0), SMALL)
            weights += step * way
            rest -= step * image
            left = (rest**2).sum(axis=0)
            way, size = rest + left / np.maximum(size, SMALL) * way, left
        found: npt.NDArray[np.float32] = (words @ weights).astype(np.float32)
    return found


def with_text(
    texts: Texts, items: npt.NDArray[np.float32], evidence: npt.NDArray[np.floating], worth: float
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Item factors between what events taught and what the text foretells, and (n_items,) how new each item is, 1 to 0.

    The text counts as `worth` typical pairs. Where an item is new, its factors are brought to the length of those that speak from evidence.
    """
    new = texts.new(evidence)
    share = np.where(new > 0, worth / (texts.known(evidence) + worth), 0.0)
    expected = foretold(texts.words, items, evidence)
    heard = (evidence / (evidence + LOUD))[:, None]
    size = float((heard * expected**2).sum())
    longer = max(float((heard * expected * items).sum()) / size, 1.0) if size > 0 else 1.0
    pulled = (1 + (longer - 1) * new)[:, None] * expected
    mixed = items + share[:, None] * (pulled - items)
    return np.ascontiguousarray(mixed, dtype=np.float32), new.astype(np.float32)
