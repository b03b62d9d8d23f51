"""The best items of each user on one channel, and where each of them comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit
from scipy import sparse

from notif_rec.models.fold_in import fold_in
from notif_rec.models.model import ALS, CONTENT, SIMILAR, SOURCES, ChannelModel
from notif_rec.models.taste import Taste, channel_weights, saturate
from notif_rec.scoring.topk import Allowed, Chosen, Lists, Walk, top_k

__all__ = ["SOURCES", "Candidates", "Lists", "retrieve"]

LEAST_EVIDENCE = 0.1  # typical pairs: fewer are as good as none
MOSTLY = 0.5  # an item whose factors are mostly its text's is called content


@dataclass(frozen=True)
class Candidates:
    """item_index (n_users, k) int32 rows of the model's items, -1 where nothing is left; score float64, descending, -inf there;
    source int8 places in SOURCES, -1 there. Scores order one user's items of one channel and mean nothing beyond.
    """

    item_index: npt.NDArray[np.int32]
    score: npt.NDArray[np.float64]
    source: npt.NDArray[np.int8]


def retrieve(
    model: ChannelModel,
    taste: Taste,
    user_row: npt.NDArray[np.integer],
    k: int,
    *,
    eligible: npt.NDArray[np.bool_] | None = None,
    exclude: Lists | None = None,
    segment: npt.NDArray[np.integer] | None = None,
    audience_of_item: npt.NDArray[np.integer] | None = None,
    audience: npt.NDArray[np.bool_] | None = None,
    threads: int = 1,
) -> Candidates:
    """The k best items of each user; exact, ties by item index, never an excluded, ineligible or doubled one.

    taste: what is known of these users by now, rows of the model's items. user_row: (n_users,) rows of the factors, -1 unknown.
    eligible: (n_items,). exclude: items that a user must not get, in any order. segment: (n_users,), -1 none.
    audience_of_item: (n_items,) column of `audience`, -1 = for all. audience: (n_users, n_audiences), True where the user
    belongs. A user with neither factors nor taste gets what is popular, in the segment where there is one. A user's result
    depends on nothing but that user.
    """
    n, n_items = taste.n_users, len(model.item_factors)
    allowed = _allowed(n, n_items, eligible, exclude, audience_of_item, audience)
    weights = _weights(model, taste, n_items)
    vectors = _vectors(model, weights, np.asarray(user_row))
    known = (vectors != 0).any(axis=1) | (np.diff(weights.indptr) > 0)
    result = Candidates(np.full((n, k), -1, np.int32), np.full((n, k), -np.inf), np.full((n, k), -1, np.int8))
    rows = np.flatnonzero(known)
    if len(rows):
        _known_users(result, rows, model, weights[rows], vectors[rows], _rows_of(allowed, rows), k, threads)
    rows = np.flatnonzero(~known)
    if len(rows):
        groups = np.full(n, -1) if segment is None else np.asarray(segment)
        _new_users(result, rows, model, groups[rows], _rows_of(allowed, rows))
    return result


def _weights(model: ChannelModel, taste: Taste, n_items: int) -> sparse.csr_matrix:
    return saturate(channel_weights(taste, model.code, model.transfer, n_items), model.unit)


def _vectors(model: ChannelModel, weights: sparse.csr_matrix, user_row: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Fitted factors where there are any, folded-in ones else, zero where nothing is known."""
    vectors = np.zeros((len(user_row), model.item_factors.shape[1]), np.float32)
    fitted = (user_row >= 0) & (user_row < len(model.user_factors))
    vectors[fitted] = model.user_factors[user_row[fitted]]
    fresh = np.flatnonzero(~(vectors != 0).any(axis=1) & (np.diff(weights.indptr) > 0))
    if len(fresh):
        vectors[fresh] = fold_in(model, weights[fresh])
    return vectors


def _known_users(
    result: Candidates,
    rows: npt.NDArray[np.integer],
    model: ChannelModel,
    weights: sparse.csr_matrix,
    vectors: npt.NDArray[np.float32],
    allowed: Allowed,
    k: int,
    threads: int,
) -> None:
    """Blend: (1 − b) z(ALS) + b z(similar) + (trend + prior / evidence) z(√popularity) + drift × change.

    z is over all items, whoever is eligible.
    """
    mean, spread = _als_moments(model, vectors)
    factor = np.where(spread > 0, (1 - model.blend) / np.where(spread > 0, spread, 1), 0.0)
    trend, trust = _trend(model), _trust(model, weights)
    drift = np.float32(model.drift) * model.change
    crowd = [trust, np.ones(len(trust))]  # two more factors, on which users agree
    scaled = np.column_stack([vectors * factor[:, None], *crowd]).astype(np.float32)
    chosen = top_k(scaled, np.column_stack([model.item_factors, trend, drift]), k, allowed, _walk(model, weights), threads=threads)
    result.item_index[rows] = chosen.item
    result.score[rows] = chosen.score - (mean * factor)[:, None]
    result.source[rows] = _sources(model, chosen, result.score[rows], trust[:, None] * trend[chosen.item] + drift[chosen.item])


def _als_moments(model: ChannelModel, vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Mean and spread of each user's ALS scores over all items, from the items' own moments."""
    covariance = model.item_gram / max(len(model.item_factors), 1) - np.outer(model.item_mean, model.item_mean)
    mean, variance = _moments(vectors, np.asarray(model.item_mean), covariance)
    return mean, np.sqrt(np.maximum(variance, 0))


def _trend(model: ChannelModel) -> npt.NDArray[np.float32]:
    """(n_items,) z of the root of what is popular of late; towards 0 for items that are too new to tell."""
    told = np.sqrt(np.asarray(model.fallback.score[-1], dtype=np.float64))
    spread = float(told.std()) if len(told) else 0.0
    standard = (told - told.mean()) / (spread or 1.0)
    found: npt.NDArray[np.float32] = np.where(standard < 0, standard * (1 - model.content), standard).astype(np.float32)
    return found


def _trust(model: ChannelModel, weights: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """(n_users,) weight of what is popular: the less is known of a user, the more."""
    evidence = np.asarray(weights.sum(axis=1), dtype=np.float64).ravel()
    return model.trend + model.prior / np.maximum(evidence, LEAST_EVIDENCE)


def _walk(model: ChannelModel, weights: sparse.csr_matrix) -> Walk | None:
    near, alike = model.similar, model.alike
    if model.blend == 0 or not len(near.item_index):
        return None
    profile = (weights.indptr.astype(np.int64), weights.indices.astype(np.int32), weights.data.astype(np.float32))
    new = np.flatnonzero(np.diff(alike.offsets) > 0).astype(np.int32)
    rows = np.append(alike.offsets[new], alike.offsets[-1])  # rows between them are empty
    return Walk(float(model.blend), *profile, near.offsets, near.item_index, near.weight, new, rows, alike.item_index, alike.weight)


def _sources(model: ChannelModel, chosen: Chosen, score: npt.NDArray[np.float64], lately: npt.NDArray[np.float64]) -> npt.NDArray[np.int8]:
    """The strongest part of each score, `lately` that of what is popular; a new item is its text's."""
    taste = score - chosen.walked - lately
    source = np.where((chosen.walked != 0) & (chosen.walked > taste), SIMILAR, ALS)
    source[model.content[chosen.item] > MOSTLY] = CONTENT
    by_crowd = lately > np.maximum(taste, chosen.walked)
    source[by_crowd] = model.fallback.source[-1][chosen.item[by_crowd]]
    source[chosen.item < 0] = -1
    return source.astype(np.int8)


def _new_users(
    result: Candidates, rows: npt.NDArray[np.integer], model: ChannelModel, segment: npt.NDArray[np.integer], allowed: Allowed
) -> None:
    fallback = model.fallback
    last = len(fallback.score) - 1
    at = np.where((segment >= 0) & (segment < last), segment, last)
    for group in np.unique(at):  # a handful of segments
        inside = np.flatnonzero(at == group)
        order = fallback.order[group]
        order = order[allowed.eligible[order]]
        items = np.full((len(inside), result.item_index.shape[1]), -1, np.int32)
        part = _rows_of(allowed, inside)
        _first(items, order, part.banned.offsets, part.banned.item, part.group_of_item, part.shut)
        there = items >= 0
        result.item_index[rows[inside]] = items
        result.score[rows[inside]] = np.where(there, fallback.score[group][items], -np.inf)
        result.source[rows[inside]] = np.where(there, fallback.source[group][items], -1)


def _allowed(
    n: int,
    n_items: int,
    eligible: npt.NDArray[np.bool_] | None,
    exclude: Lists | None,
    audience_of_item: npt.NDArray[np.integer] | None,
    audience: npt.NDArray[np.bool_] | None,
) -> Allowed:
    return Allowed(
        eligible=np.ones(n_items, bool) if eligible is None else eligible.astype(bool),
        banned=Lists(np.zeros(n + 1, np.int64), np.zeros(0, np.int32)) if exclude is None else _sorted(exclude, n_items),
        group_of_item=np.full(n_items, -1, np.int16) if audience_of_item is None else audience_of_item.astype(np.int16),
        shut=np.zeros((n, 0), bool) if audience is None else ~audience.astype(bool),
    )


def _sorted(lists: Lists, n_items: int) -> Lists:
    """Each user's list ascending, rows outside the model left out."""
    user = np.repeat(np.arange(len(lists.offsets) - 1), np.diff(lists.offsets))
    item = np.asarray(lists.item, dtype=np.int32)[lists.offsets[0] : lists.offsets[-1]]
    inside = (item >= 0) & (item < n_items)
    user, item = user[inside], item[inside]
    order = np.lexsort((item, user))
    offsets = np.searchsorted(user[order], np.arange(len(lists.offsets))).astype(np.int64)
    return Lists(offsets, item[order])


def _rows_of(allowed: Allowed, rows: npt.NDArray[np.integer]) -> Allowed:
    if len(rows) == len(allowed.shut):
        return allowed
    count = np.diff(allowed.banned.offsets)[rows]
    offsets = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    at = np.arange(offsets[-1]) + np.repeat(allowed.banned.offsets[rows] - offsets[:-1], count)
    return allowed._replace(banned=Lists(offsets, allowed.banned.item[at]), shut=allowed.shut[rows])


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _moments(
    vectors: npt.NDArray[np.float32], item_mean: npt.NDArray[np.float64], covariance: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """x · mean and xᵀ C x of each row, in float64 and a fixed order."""
    n, f = vectors.shape
    mean, variance = np.zeros(n), np.zeros(n)
    for u in range(n):
        for i in range(f):
            x = np.float64(vectors[u, i])
            mean[u] += x * item_mean[i]
            inner = 0.0
            for j in range(i):
                inner += covariance[i, j] * vectors[u, j]
            variance[u] += x * (2.0 * inner + covariance[i, i] * x)
    return mean, variance


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _first(
    items: npt.NDArray[np.int32],
    order: npt.NDArray[np.int32],
    ban_at: npt.NDArray[np.int64],
    ban_item: npt.NDArray[np.int32],
    group_of_item: npt.NDArray[np.int16],
    shut: npt.NDArray[np.bool_],
) -> None:
    """The first items of `order` that each user may have, into `items`."""
    for u in range(items.shape[0]):
        banned = ban_item[ban_at[u] : ban_at[u + 1]]
        n = 0
        for item in order:
            if n == items.shape[1]:
                break
            at = np.searchsorted(banned, item)
            if at < len(banned) and banned[at] == item:
                continue
            if group_of_item[item] >= 0 and shut.shape[1] and shut[u, group_of_item[item]]:
                continue
            items[u, n] = item
            n += 1
