"""What items of an age go on to get: how fast interest grows or fades, and what one may expect that nobody knows yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.models.trend import SLICE_US, SLICES, newest_signs

HOUR_US = 3_600_000_000
EDGES_US = np.array([1, 3, 6, 12, 24, 48, 96, 168]) * HOUR_US  # between ages that are told apart
LEAST_ITEMS = 10  # of an age, over all days: of fewer nothing is said
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Ages:
    """By item: what its recent share is to be multiplied by, and the share to expect where there is none; 1 and 0 without a date."""

    growth: Floats
    fresh: Floats


def read_created(con: duckdb.DuckDBPyConnection, item_codes: npt.NDArray[np.int32]) -> Floats:
    """(n_items,) `created_at` in microseconds, NaN where it is not known; items are codes of the store."""
    dated = con.sql("SELECT item, epoch_us(created_at) AS at FROM items WHERE created_at IS NOT NULL ORDER BY item").fetchnumpy()
    found = np.isin(item_codes, dated["item"])
    created = np.full(len(item_codes), np.nan)
    created[found] = np.asarray(dated["at"])[np.searchsorted(dated["item"], item_codes[found])]
    return created


def fit_ages(item: npt.NDArray[np.integer], at_us: npt.NDArray[np.int64], created_us: Floats, now_us: int, half_life: timedelta) -> Ages:
    """From the newest days: what items of each age had at a day's beginning, and what they got on that day.

    item, at_us: one entry a sign of taste. An age's growth is Σ share on the day / Σ decayed share before it, over items that had
    any; its fresh share the mean share on the day of those that had none.
    """
    newest = newest_signs(at_us)
    item, at_us = item[newest], at_us[newest]
    n_items = len(created_us)
    had, got, unseen, surprise = np.zeros((4, len(EDGES_US) + 1))
    many = np.zeros(len(EDGES_US) + 1)
    for day in range(1, SLICES + 1) if len(at_us) else ():
        start = int(at_us.max()) - day * SLICE_US
        before, inside = at_us < start, (at_us >= start) & (at_us < start + SLICE_US)
        weight = np.exp2((at_us[before] - start) / (half_life / timedelta(microseconds=1)))
        x, y = (np.bincount(of, w, minlength=n_items) for of, w in ((item[before], weight), (item[inside], None)))
        out = created_us <= start
        if not x.sum() or not y[out].sum():
            continue
        age, known = _age(created_us[out], start), x[out] > 0
        for total, value, which in ((had, x[out] / x.sum(), known), (got, y[out] / y[out].sum(), known)):
            total += np.bincount(age[which], value[which], minlength=len(total))
        unseen += np.bincount(age[~known], minlength=len(unseen))
        surprise += np.bincount(age[~known], (y[out] / y[out].sum())[~known], minlength=len(surprise))
        many += np.bincount(age, minlength=len(many))
    growth = np.where((many >= LEAST_ITEMS) & (had > 0), got / np.maximum(had, 1e-12), 1.0)
    fresh = np.where(unseen >= LEAST_ITEMS, surprise / np.maximum(unseen, 1), 0.0)
    out = created_us <= now_us
    age = _age(np.where(out, created_us, now_us), now_us)
    return Ages(np.where(out, growth[age], 1.0), np.where(out, fresh[age], 0.0))


def _age(created_us: Floats, now_us: int) -> npt.NDArray[np.int64]:
    return np.searchsorted(EDGES_US, now_us - created_us, side="right")
