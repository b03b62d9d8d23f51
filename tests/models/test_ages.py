from __future__ import annotations

from datetime import timedelta

import numpy as np

from notif_rec.models.ages import HOUR_US, fit_ages
from notif_rec.models.trend import SLICE_US

DAYS, A_DAY = 16, 24
END = DAYS * SLICE_US


def site(reads_of_old: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An item an hour, read by 30 in its second hour of life and by `reads_of_old` a week later; (item, at_us, created_us)."""
    created = np.arange(DAYS * A_DAY) * float(HOUR_US)
    early = [(i, (i + 1.5) * HOUR_US + r) for i in range(len(created)) for r in range(30)]
    late = [(i, (i + 7 * 24 + 1.5) * HOUR_US + r) for i in range(len(created)) for r in range(reads_of_old)]
    kept = [(i, at) for i, at in early + late if at < END]
    item, at = (np.array(part) for part in zip(*kept, strict=True))
    return item.astype(np.int32), at.astype(np.int64), created


def test_what_is_an_hour_old_is_about_to_be_read_and_what_is_a_day_old_is_over() -> None:
    item, at, created = site()
    ages = fit_ages(item, at, created, END - HOUR_US // 2, timedelta(hours=6))
    newest, last = len(created) - 1, len(created) - 20
    assert 30 / 56 <= ages.fresh[newest] <= 30 / 31  # only what is half an hour old at midnight is read on, and late reads
    assert ages.fresh[last] == 0 and ages.growth[last] < 0.01
    assert (ages.growth[: 7 * 24] <= 1).all()


def test_undated_items_and_those_to_come_are_left_as_they_are() -> None:
    item, at, created = site()
    created[::2] = np.nan
    created[-1] = END + HOUR_US
    ages = fit_ages(item, at, created, END, timedelta(hours=6))
    for place in (*range(0, len(created), 2), len(created) - 1):
        assert (ages.growth[place], ages.fresh[place]) == (1, 0)


def test_few_items_of_an_age_and_nothing_at_all_tell_nothing() -> None:
    item, at, created = site()
    some = np.full(len(created), np.nan)
    some[-3:] = created[-3:]
    for ages in (
        fit_ages(item, at, some, END, timedelta(hours=6)),
        fit_ages(item[:0], at[:0], created, END, timedelta(hours=6)),
        fit_ages(item, np.zeros_like(at), created, END, timedelta(hours=6)),
    ):
        assert (ages.growth == 1).all() and not ages.fresh.any()
