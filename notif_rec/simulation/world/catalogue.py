"""What there is to send: items of a few topics, with texts that tell of them, new ones every day and old ones that expire."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.simulation.world.chance import FloatArray, normal, uniform
from notif_rec.simulation.world.days import Days
from notif_rec.simulation.world.laws import FRESH, FRESH_HALF_LIFE, TOPICS

A_DAY, START_ITEMS = 12, 1200
APPEAL_SPREAD, POPULAR = 0.6, 1.5  # spread of appeal, and what it does to the log of views
MAIN = 0.85  # share of an item's main topic
EXPIRES, LIFE = 0.5, (20, 90)  # share of items that expire, after how many days
NEVER = 10**6
CATEGORIES = ("food", "trips", "arts", "home", "games", "tech", "promo", "pets")  # two topics each, in the order of WORDS
WORDS = (
    "soup bread salad curry pasta stew", "cake cocoa sugar cream tart jam",
    "lisbon kyoto oslo quito porto split", "tent trail summit river camp rope",
    "jazz piano choir vinyl opera folk", "novel poem essay diary saga myth",
    "lamp chair table shelf rug sofa", "seed soil rose fern hedge bulb",
    "chess cards dice puzzle quest board", "squat sprint yoga row swim lift",
    "lens film print frame studio focus", "cable phone laptop router camera watch",
    "dress coat scarf boot denim linen", "tyre brake pedal wheel saddle bell",
    "puppy collar leash kennel treat vet", "aviary reef stable hay cage pond",
)  # fmt: skip
STYLES = ("for beginners", "in ten minutes", "on a Sunday", "worth the effort", "of the season", "once more")


@dataclass(frozen=True)
class Catalogue:
    """One row an item, in the order of creation. created, expires: days. topic: the main one. mix: (n, TOPICS), sums to 1.

    appeal: what makes everybody view and click it more, around 0.
    """

    ids: pa.Array
    created: npt.NDArray[np.int64]
    expires: npt.NDArray[np.int64]
    topic: npt.NDArray[np.int64]
    mix: FloatArray
    appeal: FloatArray

    @property
    def n(self) -> int:
        return len(self.appeal)

    def fresh(self, day: int) -> FloatArray:
        """(n,) what being new adds to the log of interest on a day."""
        age = np.maximum(day - self.created, 0)
        return np.asarray(FRESH * np.exp2(-age / FRESH_HALF_LIFE), dtype=np.float64)

    def live(self, day: int) -> npt.NDArray[np.bool_]:
        """(n,) whether it can be had throughout a day."""
        return np.asarray((self.created <= day) & (day + 1 <= self.expires))

    def interest(self, day: int) -> FloatArray:
        """(TOPICS, n) shares of the views of each topic that its items get on a day."""
        weight = self.mix.T * np.exp(POPULAR * self.appeal + self.fresh(day)) * self.live(day)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)


def make_catalogue(seed: int, days: Days) -> Catalogue:
    """START_ITEMS of the time before the first day, and A_DAY new ones every day from then on."""
    created = np.concatenate([days.first - 1 - np.arange(START_ITEMS)[::-1] // A_DAY, np.repeat(np.arange(days.first, days.end), A_DAY)])
    which = np.arange(len(created))
    topic, second = which % TOPICS, (uniform(seed, "second-topic", which) * TOPICS).astype(np.int64)
    mix = np.zeros((len(which), TOPICS))
    mix[which, topic] += MAIN
    mix[which, second] += 1 - MAIN
    life = np.floor(LIFE[0] + (LIFE[1] - LIFE[0]) * uniform(seed, "life", which)).astype(np.int64)
    mortal = (uniform(seed, "expires", which) < EXPIRES) & (which >= START_ITEMS)
    return Catalogue(
        ids=pa.array([f"i{number:05d}" for number in which]),
        created=created,
        expires=np.where(mortal, created + life, NEVER),
        topic=topic,
        mix=mix,
        appeal=APPEAL_SPREAD * normal(seed, "appeal", which),
    )


def items_table(catalogue: Catalogue, rows: npt.NDArray[np.int64], days: Days, seed: int) -> pa.Table:
    """The rows of the items file: a category covers two topics, the title has a word of the topic."""
    topic, word = catalogue.topic[rows], (uniform(seed, "word", rows) * 6).astype(np.int64)
    style = (uniform(seed, "style", rows) * len(STYLES)).astype(np.int64)
    words = [WORDS[t].split()[w] for t, w in zip(topic, word, strict=True)]
    time = pa.timestamp("us", "UTC")
    return pa.table(
        {
            "item_id": catalogue.ids.take(pa.array(rows)),
            "title": [f"{w} {STYLES[s]}" for w, s in zip(words, style, strict=True)],
            "text": [WORDS[t] for t in topic],
            "category": [CATEGORIES[t // 2] for t in topic],
            "created_at": pa.array([days.moment(int(day)) for day in catalogue.created[rows]], time),
            "expires_at": pa.array([None if d == NEVER else days.start + timedelta(days=int(d)) for d in catalogue.expires[rows]], time),
        }
    )
