"""What users like, as sparse rows, and how much a channel trusts each sign of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

NO_CHANNEL = -1
MAX_WEIGHT = 10.0  # a pair counts for at most ten average ones, however often it was repeated
FAINTEST = 1e-6


@dataclass(frozen=True)
class Taste:
    """Liked items of a batch of users, sorted by (item, channel) within a user.

    offsets: (n_users + 1,) int64. item_index: int32 rows of the model's items. channel: int8, the place of the channel in the
    config, NO_CHANNEL for organic behaviour. weight: event weight × value × decay, summed; zero, negative or NaN says nothing.
    """

    offsets: npt.NDArray[np.int64]
    item_index: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    weight: npt.NDArray[np.floating]

    @property
    def n_users(self) -> int:
        return len(self.offsets) - 1


def channel_weights(taste: Taste, channel: int, transfer: float, n_items: int) -> sparse.csr_matrix:
    """(n_users, n_items) float64: a channel's own signs fully, all others × `transfer`, summed per pair; only positive ones.

    A user's row depends on nothing but that user.
    """
    own = np.where(taste.channel == channel, 1.0, transfer) * np.where(np.isfinite(taste.weight), taste.weight, 0).astype(np.float64)
    good = (own > 0) & (taste.item_index >= 0)
    user = np.repeat(np.arange(taste.n_users, dtype=np.int64), np.diff(taste.offsets))[good]
    item = taste.item_index[good].astype(np.int64)
    first = np.ones(len(user), dtype=bool)
    first[1:] = (np.diff(user) != 0) | (np.diff(item) != 0)
    pair = np.cumsum(first) - 1
    data: npt.NDArray[np.float64] = np.bincount(pair, weights=own[good], minlength=int(first.sum())).astype(np.float64)
    indptr = np.searchsorted(user[first], np.arange(taste.n_users + 1))
    return _csr(data, item[first], indptr, (taste.n_users, n_items))


def typical_weight(weights: sparse.csr_matrix) -> float:
    """The median weight of a pair (1.0 where there is none): the unit that `saturate` measures in."""
    return float(np.median(weights.data)) if weights.nnz else 1.0


def saturate(weights: sparse.csr_matrix, unit: float) -> sparse.csr_matrix:
    """Confidence float32: 1 for a typical pair, growing with the logarithm of what was seen, at most MAX_WEIGHT."""
    data = np.clip(np.log2(1.0 + weights.data / unit), FAINTEST, MAX_WEIGHT).astype(np.float32)
    return _csr(data, weights.indices, weights.indptr, weights.shape)


def taste_of(user_items: sparse.csr_matrix, channel: int = NO_CHANNEL) -> Taste:
    """The taste of users whose signs all came on one channel; for splits that are given as plain pairs."""
    rows = user_items.sorted_indices()
    codes = np.full(rows.nnz, channel, dtype=np.int8)
    return Taste(rows.indptr.astype(np.int64), rows.indices.astype(np.int32), codes, rows.data)


def _csr(
    data: npt.NDArray[np.floating], indices: npt.NDArray[np.integer], indptr: npt.NDArray[np.integer], shape: tuple[int, int]
) -> sparse.csr_matrix:
    made = sparse.csr_matrix(shape, dtype=data.dtype)
    made.data, made.indices, made.indptr = data, indices.astype(np.int32), indptr.astype(np.int32)
    return made
