"""Every known send of some users, past or reserved, ours or another system's; however many rows told of it."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.bucket import LEDGER_FIELDS, Array, BoolArray, LedgerItems, Past, code_sql
from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.tables import CLASSES, NO_ITEM

NO_CATEGORY = -1
MARKETING = CLASSES.index("marketing")


@dataclass(frozen=True)
class ItemLog:
    """The class and category that items had, from which commit on; ordered by (item, seq).

    key: item · 2³² + seq. category: place in Facts.categories or NO_CATEGORY.
    """

    key: npt.NDArray[np.int64]
    item_class: npt.NDArray[np.int8]
    category: npt.NDArray[np.int8]

    def at(self, item: npt.NDArray[np.int32], seq: npt.NDArray[np.int32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int8]]:
        """Class and category that each item had at a commit, else the first it ever had; marketing and none for unknown ones."""
        if not len(self.key):
            return np.full(len(item), MARKETING, np.int8), np.full(len(item), NO_CATEGORY, np.int8)
        wanted = item.astype(np.int64)
        place = np.searchsorted(self.key, (wanted << 32) + seq, side="right") - 1
        before = (place >= 0) & (self.key[place] >> 32 == wanted)
        place = np.minimum(np.where(before, place, place + 1), len(self.key) - 1)
        known = self.key[place] >> 32 == wanted
        return np.where(known, self.item_class[place], MARKETING).astype(np.int8), np.where(
            known, self.category[place], NO_CATEGORY
        ).astype(np.int8)


@dataclass(frozen=True)
class Sends:
    """One row a send, ordered by (user, time, channel); send s holds the items item_start[s]:item_start[s + 1], sorted, none twice.

    key: a hash of the send key, 0 = none. categories: bit i = Facts.categories[i]. item_class: transactional where all items are.
    day: the UTC day, from 1970, that its key names.
    """

    row: npt.NDArray[np.int32]
    at_us: npt.NDArray[np.int64]
    channel: npt.NDArray[np.int8]
    key: npt.NDArray[np.uint64]
    item_class: npt.NDArray[np.int8]
    categories: npt.NDArray[np.uint64]
    ours: BoolArray
    day: npt.NDArray[np.int32]
    item_start: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    class_of_item: npt.NDArray[np.int8]

    def of_item(self) -> npt.NDArray[np.int64]:
        """The send that each item belongs to."""
        return np.repeat(np.arange(len(self.row)), np.diff(self.item_start))


def read_item_log(connection: duckdb.DuckDBPyConnection, facts: Facts) -> ItemLog:
    """What every item was, commit by commit; only the commits that changed its class or its category."""
    found = connection.execute(
        f"""WITH coded AS (SELECT item, seq, {code_sql("item_class", CLASSES, str(MARKETING), "TINYINT")} AS item_class,
        {code_sql("category", facts.categories, str(NO_CATEGORY), "TINYINT")} AS category FROM items_log)
        SELECT (item::BIGINT << 32) + seq AS key, item_class, category FROM coded
        WINDOW of_item AS (PARTITION BY item ORDER BY seq)
        QUALIFY lag((item_class, category)) OVER of_item IS DISTINCT FROM (item_class, category) ORDER BY key"""
    ).fetchnumpy()
    return ItemLog(*(np.asarray(found[name]) for name in ("key", "item_class", "category")))


def gather_sends(past: Past, item_log: ItemLog) -> Sends:
    """The sends of some users. Rows of one user and channel that share a send key are one send, at the earliest of their times;
    rows without a key where they share the moment."""
    rows, ours = _all_rows(past, item_log)
    place = rows.row.astype(np.int64) << 8 | rows.channel.astype(np.int64) << 1 | (rows.key == 0)
    name = np.where(rows.key == 0, rows.at_us.astype(np.uint64), rows.key)
    order = np.lexsort((rows.item_class, rows.item, name, place))
    rows, ours, place, name = rows.where(order), ours[order], place[order], name[order]
    first = np.ones(len(order), dtype=np.bool_)
    first[1:] = (place[1:] != place[:-1]) | (name[1:] != name[:-1])
    return _in_time(rows, ours, first)


def _all_rows(past: Past, item_log: ItemLog) -> tuple[LedgerItems, BoolArray]:
    """Ledger items and the items of external sends in one, and which are ours."""
    sent = past.events.where(past.events.external & (past.events.channel >= 0))
    item_class, category = item_log.at(sent.item, sent.seq)
    stays, day = np.zeros(len(sent.row), np.bool_), (sent.at_us // DAY_US).astype(np.int32)
    external = LedgerItems(sent.row, sent.key, sent.channel, sent.at_us, sent.item, item_class, category, stays, day)
    ledger = past.ledger.where((past.ledger.channel >= 0) & ~past.ledger.gone)
    both = (np.concatenate((getattr(ledger, field), getattr(external, field))) for field in LEDGER_FIELDS)
    return LedgerItems(*both), np.arange(len(ledger.row) + len(sent.row)) < len(ledger.row)


def _in_time(rows: LedgerItems, ours: BoolArray, first: BoolArray) -> Sends:
    """Folds rows (grouped; `first` marks where a send begins) into sends, in order of (user, time, channel)."""
    start = np.flatnonzero(first)
    at_us = np.minimum.reduceat(rows.at_us, start)
    bits = np.where(rows.category >= 0, np.uint64(1) << rows.category.clip(0).astype(np.uint64), np.uint64(0))
    categories, send_class = np.bitwise_or.reduceat(bits, start), np.minimum.reduceat(rows.item_class, start)
    row, channel = rows.row[start], rows.channel[start]
    order = np.lexsort((categories, send_class, channel, at_us, row))
    kept = rows.item != NO_ITEM
    kept[1:] &= first[1:] | (rows.item[1:] != rows.item[:-1])
    send_of = np.cumsum(first) - 1
    sizes = np.bincount(send_of, kept, len(start)).astype(np.int64)
    item_start = np.concatenate(([0], np.cumsum(sizes[order])))
    taken = np.flatnonzero(kept)[ragged(np.cumsum(sizes) - sizes, sizes, order)]
    return Sends(
        row=row[order],
        at_us=at_us[order],
        channel=channel[order],
        key=rows.key[start][order],
        item_class=send_class[order],
        categories=categories[order],
        ours=np.logical_or.reduceat(ours, start)[order],
        day=np.minimum.reduceat(rows.day, start)[order],
        item_start=item_start,
        item=rows.item[taken],
        class_of_item=rows.item_class[taken],
    )


def ragged(start: Array, size: Array, order: Array) -> npt.NDArray[np.int64]:
    """The indices start[i] … start[i] + size[i] − 1 for each i of `order`, one after the other."""
    sizes = size[order]
    ends = np.cumsum(sizes)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    indices: npt.NDArray[np.int64] = np.repeat(start[order], sizes) + within
    return indices
