"""How often items were sent and answered, plan by plan: what was known of an item before each plan, for everybody alike."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.bucket import LONG_AGO, channel_sql, to_us
from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.scoring.item_parts import Parts, popularity_of

Ints = npt.NDArray[np.int64]
WINDOW_US = 30 * DAY_US

COUNTS = """
WITH told AS (
    SELECT item, channel, epoch_us(actual_at) AS us, 0 AS what FROM ledger WHERE NOT released OR confirmed
    UNION ALL SELECT item, channel, epoch_us("timestamp"), CASE event WHEN 'sent' THEN 0 WHEN 'opened' THEN 1 ELSE 2 END FROM events
    WHERE (event = 'sent' AND confirms IS NULL) OR event IN ('opened', 'clicked')
)
SELECT item, {channel} AS channel, ceil(($as_of - us) / $horizon)::BIGINT AS plan,
    count(*) FILTER (what = 0) AS sends, count(*) FILTER (what = 1) AS opens, count(*) FILTER (what = 2) AS clicks
FROM told WHERE item >= 0 AND us < $as_of AND us >= $since GROUP BY ALL
"""

INDEX = """
SELECT item, coalesce(epoch_us(created_at), $long_ago) AS created,
    CASE WHEN coalesce(category, '') = '' THEN -1 ELSE dense_rank() OVER named - 1 END AS category
FROM items WHERE item >= 0 WINDOW named AS (PARTITION BY coalesce(category, '') <> '' ORDER BY category) ORDER BY item
"""


@dataclass(frozen=True)
class ItemCounts:
    """Counts by (item, channel, plan), plans counted back from as-of in horizons: a row of plan k happened in the k-th horizon before it,
    so that plan j knows the rows of plans above j. Sorted by key; totals run. mean: (n_channels, n_plans + 1, 3) running totals of
    all items.
    """

    as_of_us: int
    horizon_us: int
    n_channels: int
    key: Ints
    totals: npt.NDArray[np.float64]
    mean: npt.NDArray[np.float64]

    def plan_of(self, plan_us: Ints) -> Ints:
        """The number of a plan, 0 = as-of."""
        return (self.as_of_us - plan_us) // self.horizon_us

    def popularity(self, item: Ints, channel: Ints, plan: Ints) -> tuple[Parts, Parts]:
        """By opens and by clicks, what of WINDOW_US was known before each plan."""
        width = window_us(self.horizon_us) // self.horizon_us
        own = self._until(item, channel, plan + width) - self._until(item, channel, plan)
        last = self.mean.shape[1] - 1
        everybody = self.mean[channel, np.minimum(plan + width, last)] - self.mean[channel, np.minimum(plan, last)]
        rate = everybody[:, 1:] / np.maximum(everybody[:, :1], 1.0)
        return popularity_of(own[:, 1], own[:, 0] * rate[:, 0]), popularity_of(own[:, 2], own[:, 0] * rate[:, 1])

    def _until(self, item: Ints, channel: Ints, plan: Ints) -> npt.NDArray[np.float64]:
        """(n, 3) running totals of an item on a channel up to and with a plan, within all items' totals."""
        pair = item * self.n_channels + channel
        found: npt.NDArray[np.float64] = self.totals[np.searchsorted(self.key, (pair << 32) + plan, side="right")]
        return found


def window_us(horizon_us: int) -> int:
    """How far back an item's answers are counted: whole horizons, 30 days or little more."""
    return -(-WINDOW_US // horizon_us) * horizon_us


def read_item_counts(connection: duckdb.DuckDBPyConnection, facts: Facts, as_of: datetime, back_us: int) -> ItemCounts:
    """What plans of the last `back_us` before as-of, and one at it, knew of every item."""
    query = COUNTS.format(channel=channel_sql(facts))
    now, horizon = to_us(as_of), facts.horizon_us
    asked = {"as_of": now, "since": now - back_us - window_us(horizon), "horizon": horizon}
    found = connection.execute(query, asked).fetchnumpy()
    item, channel, plan = (np.asarray(found[name], np.int64) for name in ("item", "channel", "plan"))
    counts = np.stack([np.asarray(found[name], np.float64) for name in ("sends", "opens", "clicks")], axis=1)
    inside = channel >= 0
    item, channel, plan, counts = item[inside], channel[inside], plan[inside], counts[inside]
    n = len(facts.channels)
    key = ((item * n + channel) << 32) + plan
    order = np.argsort(key)
    mean = np.zeros((n, int(plan.max(initial=0)) + 1, 3))
    np.add.at(mean, (channel, plan), counts)
    totals = np.concatenate([np.zeros((1, 3)), np.cumsum(counts[order], axis=0)])
    return ItemCounts(now, horizon, n, key[order], totals, np.cumsum(mean, axis=1))


@dataclass(frozen=True)
class ItemIndex:
    """What items are now, by code: the number of their category, -1 = none, and since when they are there, LONG_AGO = nobody says.

    n_categories: how many there are, numbered in the order of their names.
    """

    category: npt.NDArray[np.int32]
    created_us: Ints
    n_categories: int

    def of(self, item: npt.NDArray[np.integer[Any]]) -> tuple[npt.NDArray[np.int32], Ints]:
        """Category and time of item codes, those beyond the end among them."""
        known = (item >= 0) & (item < len(self.category))
        place = np.where(known, item, len(self.category))
        return np.append(self.category, np.int32(-1))[place], np.append(self.created_us, LONG_AGO)[place]


def read_item_index(connection: duckdb.DuckDBPyConnection) -> ItemIndex:
    """The items of the catalogue."""
    found = connection.execute(INDEX, {"long_ago": int(LONG_AGO)}).fetchnumpy()
    item, category, created = (np.asarray(found[name], np.int64) for name in ("item", "category", "created"))
    n = 1 + int(item.max(initial=-1))
    index = ItemIndex(np.full(n, -1, np.int32), np.full(n, LONG_AGO, np.int64), 1 + int(category.max(initial=-1)))
    index.category[item], index.created_us[item] = category, created
    return index
