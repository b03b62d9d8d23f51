"""Words of quotas that the store has never heard: such a quota would bind nothing, and nobody would notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import duckdb

from notif_rec.config import Config
from notif_rec.errors import ConfigError, did_you_mean
from notif_rec.planning.audience import parse_audience
from notif_rec.planning.cells import ANY
from notif_rec.strict_yaml import Problem

MOST, NEAR = 20, 5  # problems told at once; known words that are looked at for the nearest one
FIX = "mend the name, ingest what it names first, or leave the quota out"
CATEGORIES = "SELECT DISTINCT category AS word FROM items WHERE category IS NOT NULL"
ITEMS = "SELECT item_id AS word FROM item_ids"
ATTRIBUTES = "SELECT DISTINCT unnest(map_keys(attributes)) AS word FROM users"
VALUES = "SELECT DISTINCT attributes[$attribute] AS word FROM users WHERE attributes[$attribute] IS NOT NULL"


def check_quota_words(connection: duckdb.DuckDBPyConnection, config: Config) -> None:
    """Raises ConfigError where a quota names an item, a category or a segment that the store of `connection` does not know."""
    said = [f"{'.'.join(str(step) for step in place)}: {message}" for place, message in unknown_words(connection, config)]
    if said:
        raise ConfigError("\n".join(said), FIX)


def unknown_words(connection: duckdb.DuckDBPyConnection, config: Config) -> list[Problem]:
    """What no item, and no user, has: the first 20, each with its place in the config and the nearest word that is known."""
    return list(islice(_unknown(_Known(connection), config), MOST))


def half_known_segments(connection: duckdb.DuckDBPyConnection, config: Config) -> list[str]:
    """Remarks on segments of which some value is nobody's: `country=DE|ATT`."""
    known, told = _Known(connection), []
    for number, quota in enumerate(config.quotas):
        for attribute, values in parse_audience(quota.segment or ""):
            had = known.of(VALUES, values, attribute)
            told += [
                f"quotas.{number}.segment: nobody has {attribute}={value}{known.nearest(VALUES, value, attribute)}"
                for value in values
                if had and value not in had
            ]
    return told


def _unknown(known: _Known, config: Config) -> Iterator[Problem]:
    named = {q.category for q in config.quotas if q.category}, {q.item for q in config.quotas if q.item not in (None, ANY)}
    categories, items = (known.of(query, sorted(words)) for query, words in zip((CATEGORIES, ITEMS), named, strict=True))
    for number, quota in enumerate(config.quotas):
        if quota.category and quota.category not in categories:
            yield ("quotas", number, "category"), f"no item has the category '{quota.category}'{known.nearest(CATEGORIES, quota.category)}"
        if quota.item not in (None, ANY) and quota.item not in items:
            yield ("quotas", number, "item"), f"no item '{quota.item}' in the store{known.nearest(ITEMS, quota.item)}"
        for attribute, values in parse_audience(quota.segment or ""):
            if not known.of(ATTRIBUTES, [attribute]):
                yield ("quotas", number, "segment"), f"no user has an attribute '{attribute}'{known.nearest(ATTRIBUTES, attribute)}"
            elif not known.of(VALUES, values, attribute):
                some = known.nearest(VALUES, values[0], attribute)
                yield ("quotas", number, "segment"), f"nobody has {attribute}={'|'.join(values)}{some}"


class _Known:
    """The words of one version of a store. Queries give a column `word`."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def of(self, query: str, words: Sequence[str], attribute: str = "") -> frozenset[str]:
        """Those of `words` that it knows."""
        if not words:
            return frozenset()
        asked = f"SELECT word FROM ({query}) WHERE word IN (SELECT unnest($words))"
        return self._words(asked, {"words": list(words)}, attribute)

    def nearest(self, query: str, word: str | None, attribute: str = "") -> str:
        """As did_you_mean, of all words that it knows; some of them where none is near."""
        asked = f"SELECT word FROM ({query}) ORDER BY levenshtein(word, $near), word LIMIT {NEAR}"
        known = self._words(asked, {"near": word}, attribute)
        return did_you_mean(word or "", known) or (f"; there are {', '.join(sorted(known))}" if known else "; there are none at all")

    def _words(self, query: str, given: dict[str, object], attribute: str) -> frozenset[str]:
        about = {"attribute": attribute} if attribute else {}
        return frozenset(word for (word,) in self.connection.execute(query, {**given, **about}).fetchall())
