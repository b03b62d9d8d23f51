"""Fits one channel's model from plain arrays: ALS, similar items and fallbacks, in that order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.models.ages import Ages
from notif_rec.models.alike import fit_alike
from notif_rec.models.als import fit_als
from notif_rec.models.als_loss import AlsSettings, Factors
from notif_rec.models.blas import one_blas_thread
from notif_rec.models.content import fit_content, with_content
from notif_rec.models.model import ChannelModel, Fallback, Segments
from notif_rec.models.popularity import fit_fallback
from notif_rec.models.regression import fit_neighbours, item_degree
from notif_rec.models.settings import ModelSettings, SimilarSettings
from notif_rec.models.similar import Neighbours
from notif_rec.models.taste import Taste, channel_weights, saturate, typical_weight
from notif_rec.models.text import Texts, with_text
from notif_rec.models.trend import Pace, change_of

UNSEEN_TO_SEEN = 12.0  # all unseen pairs together weigh this many times all seen ones, unless α0 is given
LEAST_TREND, MOST_TREND = 0.2, 10.0  # unless `trend` is given
NO_SEGMENTS, NO_PACE = Segments(), Pace()
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Evidence:
    """All that a channel learns from; users are rows of `taste`, items its indices.

    recency: one entry per entry of `taste`, 2^(−age / recent_half_life) of its last event; None = all alike.
    segment: (n_users,) row of a segment or -1; None = none. texts: of the items; None = no text.
    ages: what is expected of items by their age; None = nothing. pace: how what is popular changes.
    """

    taste: Taste
    n_items: int
    recency: npt.NDArray[np.float64] | None = None
    segment: npt.NDArray[np.int32] | None = None
    segments: Segments = NO_SEGMENTS
    texts: Texts | None = None
    ages: Ages | None = None
    pace: Pace = NO_PACE


class Parts(NamedTuple):
    """What a channel's model is made of. unit, user_items: as `confidence` has them. factors: of users and of items."""

    unit: float
    user_items: sparse.csr_matrix
    als: AlsSettings
    factors: tuple[Factors, Factors]
    similar: Neighbours
    alike: Neighbours
    fallback: Fallback


def fit_channel(
    name: str, code: int, evidence: Evidence, settings: ModelSettings, *, seed: int, threads: int = 1, progress: Step | None = None
) -> ChannelModel:
    """The channel's model; the same bits for any `threads`.

    code: the channel's place in the config (taste.NO_CHANNEL where data has no channels). progress: (stage, done, total).
    """
    parts = fit_parts(name, code, evidence, settings, seed=seed, threads=threads, progress=progress)
    return assemble(name, code, settings, evidence, parts)


def fit_parts(
    name: str, code: int, evidence: Evidence, settings: ModelSettings, *, seed: int, threads: int = 1, progress: Step | None = None
) -> Parts:
    """The parts of `fit_channel`'s model."""
    unit, user_items = confidence(evidence, code, settings.transfer)
    als = resolve_als(user_items, settings, seed)
    report = progress or (lambda stage, done, total: None)
    factors = fit_als(user_items, als, threads=threads, progress=lambda done, total: report(f"{name}: factors", done, total))
    report(f"{name}: similar items", 0, 1)
    similar = fit_neighbours(user_items, settings.similar, threads=threads) if settings.blend > 0 else no_neighbours(evidence.n_items)
    alike = alike_of(evidence, user_items, settings, threads=threads)
    fallback = fallback_of(evidence, code, settings.transfer)
    if settings.blend > 0:
        similar = add_content(similar, evidence, user_items, settings.similar, fallback, threads=threads)
    return Parts(unit, user_items, als, factors, similar, alike, fallback)


def confidence(evidence: Evidence, code: int, transfer: float) -> tuple[float, sparse.csr_matrix]:
    """The weight of a typical pair, and (n_users, n_items) confidences in units of it."""
    weights = channel_weights(evidence.taste, code, transfer, evidence.n_items)
    unit = typical_weight(weights)
    return unit, saturate(weights, unit)


def assemble(name: str, code: int, settings: ModelSettings, evidence: Evidence, parts: Parts) -> ChannelModel:
    """The channel's model from its fitted parts and the items' texts."""
    unit, user_items, als, (users, items), similar, alike, fallback = parts
    content, texts = np.zeros(len(items), dtype=np.float32), texts_of(evidence)
    if texts is not None and settings.text_worth > 0:
        items, content = with_text(texts, items, likes_of(user_items), settings.text_worth)
    degree = np.diff(user_items.indptr)
    timed = evidence.recency is not None
    lately = float(evidence.recency.sum()) if evidence.recency is not None else 0.0
    return ChannelModel(
        name=name,
        code=code,
        transfer=settings.transfer,
        unit=unit,
        unobserved_weight=als.unobserved_weight,
        regularization=als.regularization,
        regularization_exponent=als.regularization_exponent,
        bias=als.bias,
        blend=settings.blend,
        trend=trend_of(settings, evidence.pace) if timed else 0.0,
        drift=drift_of(settings, evidence.pace) if timed else 0.0,
        prior=settings.prior,
        user_factors=users,
        item_factors=items,
        item_gram=_gram(items),
        item_mean=items.mean(axis=0, dtype=np.float64) if len(items) else np.zeros(settings.factors),
        content=content,
        change=change_of(fallback.score[-1], likes_of(user_items), lately),
        similar=similar,
        alike=alike,
        fallback=fallback,
        n_users=int((degree > 0).sum()),
        n_items=len(np.unique(user_items.indices)),
        n_interactions=int(user_items.nnz),
    )


def resolve_als(user_items: sparse.csr_matrix, settings: ModelSettings, seed: int) -> AlsSettings:
    """The solver's settings; without an α0 of its own, one that fits the density of the data."""
    density = float(user_items.data.sum(dtype=np.float64)) / max(user_items.shape[0] * user_items.shape[1], 1)
    alpha0 = settings.unobserved_weight or float(np.clip(UNSEEN_TO_SEEN * density, 1e-4, 1.0))
    return AlsSettings(
        factors=settings.factors,
        iterations=settings.iterations,
        unobserved_weight=alpha0,
        regularization=settings.regularization,
        regularization_exponent=settings.regularization_exponent,
        seed=seed,
        bias=settings.bias,
        solver=settings.solver,
    )


def trend_of(settings: ModelSettings, pace: Pace) -> float:
    """The weight of what is popular now; without one of its own, what it foretells where that is much."""
    return max(LEAST_TREND, min(pace.gain, MOST_TREND)) if settings.trend is None else settings.trend


def drift_of(settings: ModelSettings, pace: Pace) -> float:
    """The weight of what has changed; without one of its own, how far changes went on in the newest days."""
    return pace.drift if settings.drift is None else settings.drift


def likes_of(user_items: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """(n_items,) typical pairs that each item has."""
    return np.asarray(user_items.sum(axis=0), dtype=np.float64).ravel()


def alike_of(evidence: Evidence, user_items: sparse.csr_matrix, settings: ModelSettings, *, threads: int = 1) -> Neighbours:
    """The known items that speak for new ones; none without text."""
    texts = texts_of(evidence)
    if texts is None or settings.text_worth == 0:
        return no_neighbours(evidence.n_items)
    likes = likes_of(user_items)
    return fit_alike(texts.words, likes, texts.new(likes), threads=threads)


def add_content(
    near: Neighbours, evidence: Evidence, user_items: sparse.csr_matrix, settings: SimilarSettings, fallback: Fallback, *, threads: int = 1
) -> Neighbours:
    """`near`, and what is popular now of like content; the same without text."""
    texts = texts_of(evidence)
    if settings.content == 0 or texts is None or not user_items.nnz:
        return near
    content = fit_content(texts.words, likes_of(user_items), fallback.score[-1], threads=threads)
    return with_content(near, content, item_degree(user_items), settings.content)


def texts_of(evidence: Evidence) -> Texts | None:
    """What items say of themselves, where any says something."""
    return evidence.texts if evidence.texts is not None and evidence.texts.words.nnz else None


def no_neighbours(n_items: int) -> Neighbours:
    """Similar items where there are none."""
    return Neighbours(np.zeros(n_items + 1, dtype=np.int64), np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))


def fallback_of(evidence: Evidence, code: int, transfer: float) -> Fallback:
    """What to offer users of whom nothing is known."""
    taste = evidence.taste
    there = Taste(taste.offsets, taste.item_index, taste.channel, np.sign(taste.weight))
    pairs = channel_weights(there, code, transfer, evidence.n_items)
    presence = np.minimum(pairs.data, 1.0)
    recency = presence
    if evidence.recency is not None:
        lately = Taste(taste.offsets, taste.item_index, taste.channel, np.sign(taste.weight) * np.maximum(evidence.recency, 1e-12))
        recency = np.minimum(channel_weights(lately, code, transfer, evidence.n_items).data, 1.0)
    if evidence.ages is not None:
        recency = recency * evidence.ages.growth[pairs.indices]
    user = np.repeat(np.arange(taste.n_users), np.diff(pairs.indptr))
    segment = np.full(len(user), -1) if evidence.segment is None else evidence.segment[user]
    fresh = np.zeros(evidence.n_items) if evidence.ages is None else evidence.ages.fresh
    return fit_fallback(pairs.indices, presence, recency, segment, evidence.segments, fresh)


def _gram(items: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    with one_blas_thread():
        return sum((part.T @ part for part in _wide(items)), np.zeros((items.shape[1], items.shape[1])))


def _wide(items: npt.NDArray[np.float32]) -> Iterator[npt.NDArray[np.float64]]:
    """`items` as float64, a slice at a time."""
    for start in range(0, len(items), 4096):
        yield items[start : start + 4096].astype(np.float64)
