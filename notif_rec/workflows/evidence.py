"""What the store says of taste before a moment, as the models learn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.models.ages import Ages, fit_ages, read_created
from notif_rec.models.fit import Evidence
from notif_rec.models.interactions import Interactions, read_interactions
from notif_rec.models.model import Segments
from notif_rec.models.segments import choose_segments, read_attributes
from notif_rec.models.settings import ModelSettings
from notif_rec.models.text import Texts, read_texts
from notif_rec.models.trend import Pace, fit_pace


@dataclass(frozen=True)
class Reading:
    """Signs of taste before `as_of`, by half-life; users, items and segments are the same in all of them.

    pace: how fast what is popular changes. ages: what items of each age go on to get.
    """

    as_of: datetime
    tastes: Mapping[timedelta | None, Interactions]
    segments: Segments
    segment: npt.NDArray[np.int32]  # (n_users,) row of `segments`, -1 none
    texts: Texts
    pace: Pace
    ages: Ages

    @property
    def known(self) -> Interactions:
        """Any of the readings, for what they share."""
        return next(iter(self.tastes.values()))

    def evidence(self, settings: ModelSettings) -> Evidence:
        """What a channel with these settings learns from."""
        read = self.tastes[settings.half_life]
        recency = read.recency(self.as_of, settings.recent_half_life or self.pace.half_life)
        return Evidence(read.taste, len(read.item_codes), recency, self.segment, self.segments, self.texts, self.ages, self.pace)


def read_evidence(con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime, half_lives: Sequence[timedelta | None]) -> Reading:
    """All signs of taste with event time < as_of, from a store connection."""
    tastes = {
        half_life: read_interactions(con, as_of, events=config.events, channels=config.channel_names, half_life=half_life)
        for half_life in dict.fromkeys(half_lives)
    }
    known = next(iter(tastes.values()))
    first = int(known.last_us.min()) if len(known.last_us) else 0
    created = read_created(con, known.item_codes)
    texts = read_texts(con, known.item_codes, created, datetime(1970, 1, 1) + timedelta(microseconds=first), as_of)
    user = np.repeat(np.arange(known.taste.n_users), np.diff(known.taste.offsets))
    pace = fit_pace(user, known.taste.item_index, known.last_us, len(known.item_codes))
    now = int(np.datetime64(as_of, "us").astype(np.int64))
    ages = fit_ages(known.taste.item_index, known.last_us, created, now, pace.half_life)
    return Reading(as_of, tastes, *_segments(con, known), texts, pace, ages)


def _segments(con: duckdb.DuckDBPyConnection, known: Interactions) -> tuple[Segments, npt.NDArray[np.int32]]:
    """The segments, and the segment of each user row."""
    attributes = read_attributes(con, known.user_codes)
    user = np.repeat(np.arange(known.taste.n_users, dtype=np.int64), np.diff(known.taste.offsets))
    segments, row = choose_segments(attributes, user, known.taste.item_index.astype(np.int64), len(known.item_codes))
    return segments, row if len(segments) else np.full(known.taste.n_users, -1, dtype=np.int32)
