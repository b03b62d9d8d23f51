"""The rankings that an evaluation puts side by side: the blend in use, its parts, and baselines that anybody could build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from notif_rec.models.fit import Evidence, fallback_of
from notif_rec.models.model import ChannelModel, Fallback, Segments
from notif_rec.models.similar import Neighbours
from notif_rec.models.taste import Taste, channel_weights
from notif_rec.scoring.candidates import Lists, retrieve

POPULAR, RECENT, SIMILAR, ALS, BLEND, OWN_FREQUENT = "popular", "recent", "similar", "als", "blend", "own_frequent"
Items = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Asked:
    """Users to rank for, as they were at the split; one row of everything a user.

    taste: what each was known to like, rows of the model's items. often: the same undecayed, for `own_frequent`. user_row: rows of
    the factors, -1 unknown. segment: -1 none. exclude: items that are not to be listed, None = nothing.
    """

    taste: Taste
    often: Taste
    user_row: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    eligible: npt.NDArray[np.bool_]
    exclude: Lists | None


def rank_all(
    model: ChannelModel, similar: Neighbours, popularity: Mapping[str, Fallback], asked: Asked, k: int, *, threads: int = 1
) -> dict[str, Items]:
    """(n_users, k) lists of every contender, in the order in which they are shown.

    similar: what `similar` ranks by, without the content that the blend adds. popularity: what `popular` and `recent` offer.
    `own_frequent` stands among them only where seen items may be listed again.
    """
    lists = {name: _unpersonal(model, fallback, asked, k, threads) for name, fallback in popularity.items()}
    if asked.exclude is None:
        lists[OWN_FREQUENT] = own_frequent(asked, model.code, lists[POPULAR], k)
    for name, share in ((SIMILAR, 1.0), (ALS, 0.0)):
        lists[name] = rank(replace(model, similar=similar, blend=share, trend=0.0, drift=0.0, prior=0.0), asked, k, threads=threads)
    lists[BLEND] = rank(model, asked, k, threads=threads)
    return lists


def rank(model: ChannelModel, asked: Asked, k: int, *, threads: int = 1) -> Items:
    """(n_users, k) lists of one model."""
    found = retrieve(
        model,
        asked.taste,
        asked.user_row,
        k,
        eligible=asked.eligible,
        exclude=asked.exclude,
        segment=asked.segment,
        threads=threads,
    )
    return found.item_index


def popularities(evidence: Evidence, code: int, transfer: float) -> dict[str, Fallback]:
    """What is popular, of all time and (where times are known) lately, among those whose taste is known; segments aside."""
    everybody = replace(evidence, segment=None, segments=Segments(), ages=None)
    found = {POPULAR: fallback_of(replace(everybody, recency=None), code, transfer)}
    return found if evidence.recency is None else {**found, RECENT: fallback_of(everybody, code, transfer)}


def own_frequent(asked: Asked, code: int, filler: Items, k: int) -> Items:
    """Each user's own most frequent items, whatever the channel, then `filler` (n_users, k); ties by item index."""
    often = channel_weights(asked.often, code, 1.0, len(asked.eligible))
    user = np.repeat(np.arange(often.shape[0]), np.diff(often.indptr))
    order = np.lexsort((often.indices, -often.data, user))
    order = order[asked.eligible[often.indices[order]]]
    place = _place_in_row(user[order], often.shape[0])
    lists = np.full((often.shape[0], 2 * k), -1, np.int32)
    inside = place < k
    lists[user[order][inside], place[inside]] = often.indices[order][inside]
    lists[:, k:] = _without(filler, lists[:, :k])
    front = np.argsort(lists < 0, axis=1, kind="stable")[:, :k]
    result: Items = np.take_along_axis(lists, front, axis=1)
    return result


def take_users(taste: Taste, rows: npt.NDArray[np.integer]) -> Taste:
    """The taste of the users in `rows`, in that order; empty where a row is -1."""
    size = np.where(rows >= 0, np.diff(taste.offsets, append=taste.offsets[-1])[rows], 0)
    offsets = np.concatenate([[0], np.cumsum(size)]).astype(np.int64)
    at = np.arange(offsets[-1]) + np.repeat(taste.offsets[rows] - offsets[:-1], size)
    return Taste(offsets, taste.item_index[at], taste.channel[at], taste.weight[at])


def _unpersonal(model: ChannelModel, fallback: Fallback, asked: Asked, k: int, threads: int) -> Items:
    n = len(asked.user_row)
    nothing = take_users(asked.taste, np.full(n, -1))
    stranger = replace(asked, taste=nothing, user_row=np.full(n, -1, np.int32), segment=np.full(n, -1, np.int32))
    return rank(replace(model, fallback=fallback), stranger, k, threads=threads)


def _place_in_row(row: npt.NDArray[np.integer], n_rows: int) -> npt.NDArray[np.int64]:
    """0, 1, 2 … within each run of equal, ascending rows."""
    start = np.searchsorted(row, np.arange(n_rows))
    place: npt.NDArray[np.int64] = np.arange(len(row)) - start[row]
    return place


def _without(lists: Items, taken: Items) -> Items:
    """`lists` with -1 where the row of `taken` holds the item."""
    user = np.arange(len(lists), dtype=np.int64)[:, None]
    width = max(int(lists.max(initial=0)), int(taken.max(initial=0))) + 1
    return np.where(np.isin(user * width + lists, (user * width + taken)[taken >= 0]), -1, lists)
