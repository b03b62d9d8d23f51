"""A fitted model as plain arrays: frozen, read-only, ready to be memory-mapped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt

from notif_rec.models.similar import Neighbours

# where a candidate comes from; a source's code is its place here
SOURCES = ("als", "similar", "content", "popular", "segment", "recent")
ALS, SIMILAR, CONTENT, POPULAR, SEGMENT, RECENT = range(len(SOURCES))


@dataclass(frozen=True)
class Segments:
    """Groups of users by their attributes: a user belongs to the row whose `values` are theirs for `attributes`.

    prior: (user, item) pairs that everybody's taste is worth against a group's own.
    """

    attributes: tuple[str, ...] = ()
    values: tuple[tuple[str, ...], ...] = ()
    prior: float = 1e3

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True)
class Fallback:
    """What to offer users of whom nothing is known.

    score: (n_segments + 1, n_items) float32, the last row for users without a segment. source: int8 codes of SOURCES.
    order: int32 items of each row, best first, ties by item index.
    """

    score: npt.NDArray[np.float32]
    source: npt.NDArray[np.int8]
    order: npt.NDArray[np.int32]


@dataclass(frozen=True)
class ChannelModel:
    """One channel's ranking of items; rows of users and items are those of the Model.

    code: the channel's place in the config. unit: the weight of a typical pair. unobserved_weight, regularization and its
    exponent: as fitted, for fold-in. bias: whether column 0 of the factors is 1 for every user. blend: share of similar items in
    taste. trend: weight of what `fallback` says of everybody, beside taste; prior: pairs that it is worth besides; drift: weight
    of `change`, (n_items,) float32 from −1 to 1, what is less or more popular now than when taste was learned.
    user_factors (n_users, f) and item_factors (n_items, f) float32. content: (n_items,) float32, how far an item is new and placed
    by its text, 1 to 0. alike: the known items that speak for each new one among similar items. item_gram (f, f) and item_mean (f,)
    float64: YᵀY and mean of the item factors. n_*: users, items and pairs with an own event or any other.
    """

    name: str
    code: int
    transfer: float
    unit: float
    unobserved_weight: float
    regularization: float
    regularization_exponent: float
    bias: bool
    blend: float
    trend: float
    drift: float
    prior: float
    user_factors: npt.NDArray[np.float32]
    item_factors: npt.NDArray[np.float32]
    item_gram: npt.NDArray[np.float64]
    item_mean: npt.NDArray[np.float64]
    content: npt.NDArray[np.float32]
    change: npt.NDArray[np.float32]
    similar: Neighbours
    alike: Neighbours
    fallback: Fallback
    n_users: int
    n_items: int
    n_interactions: int


@dataclass(frozen=True)
class Model:
    """All channels' models and the dictionaries behind their rows.

    item_codes: (n_items,) int32 store codes in the order of item_id text, so that a smaller row is a smaller id.
    item_ids: the texts. user_row: int32 by the store's user code, -1 where the model does not know the user.
    notes: what train had to say of thin channels. extras: other fitted parts as text, by name (`engagement`).
    """

    model_id: str
    as_of: datetime
    channels: Mapping[str, ChannelModel]
    item_codes: npt.NDArray[np.int32]
    item_ids: tuple[str, ...]
    user_row: npt.NDArray[np.int32]
    segments: Segments
    notes: tuple[str, ...]
    extras: Mapping[str, str]

    def item_rows(self, n_codes: int) -> npt.NDArray[np.int32]:
        """(n_codes,) row of each item code of the store, -1 where the model does not know the item."""
        rows = np.full(max(n_codes, int(self.item_codes.max(initial=-1)) + 1), -1, dtype=np.int32)
        rows[self.item_codes] = np.arange(len(self.item_codes), dtype=np.int32)
        return rows[:n_codes]

    def rows_of_users(self, codes: npt.NDArray[np.integer]) -> npt.NDArray[np.int32]:
        """The factor row of each user code, -1 for users who came after training (or code -1)."""
        known = (codes >= 0) & (codes < len(self.user_row))
        rows = np.full(len(codes), -1, dtype=np.int32)
        rows[known] = self.user_row[codes[known]]
        return rows
