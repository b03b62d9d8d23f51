"""What to offer users of whom nothing is known: popular lately, within their segment where it has a voice of its own."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from notif_rec.models.model import POPULAR, RECENT, SEGMENT, Fallback, Segments

RECENT_PRIOR = 50.0  # pairs that all-time popularity is worth against what is recent

Floats = npt.NDArray[np.float64]


def fit_fallback(
    item: npt.NDArray[np.integer], presence: Floats, recency: Floats, segment: npt.NDArray[np.integer], segments: Segments, fresh: Floats
) -> Fallback:
    """Shares of taste by item, smoothed from all-time to recent to the segment's recent ones.

    One entry a (user, item) pair: `presence` in (0, 1], `recency` = presence × decay since the last event, `segment` -1 for none.
    A user counts once an item, however many events. fresh: (n_items,) share that one expects of an item that nobody took yet.
    """
    n_items = len(fresh)
    all_time = _shares(_counted(item, presence, n_items))
    recent = _counted(item, recency, n_items)
    recent = recent + np.where(all_time > 0, 0.0, fresh) * recent.sum()
    base = _smoothed(recent, all_time, RECENT_PRIOR)
    score, source = np.empty((len(segments) + 1, n_items)), np.empty((len(segments) + 1, n_items), dtype=np.int8)
    score[len(segments)], source[len(segments)] = base, np.where(recent > 1e-3, RECENT, POPULAR)
    for row in range(len(segments)):
        inside = segment == row
        own = _counted(item[inside], recency[inside], n_items)
        score[row], source[row] = _smoothed(own, base, segments.prior), np.where(own > 1e-3, SEGMENT, source[len(segments)])
    order = np.argsort(-score, axis=1, kind="stable").astype(np.int32)
    return Fallback(score.astype(np.float32), source, order)


def _smoothed(counts: Floats, prior: Floats, strength: float) -> Floats:
    total = counts.sum() + strength * (prior.sum() > 0)
    return (counts + strength * prior) / total if total > 0 else counts


def _shares(counts: Floats) -> Floats:
    total = counts.sum()
    return counts / total if total > 0 else counts


def _counted(item: npt.NDArray[np.integer], weights: Floats, n_items: int) -> Floats:
    return np.bincount(item, weights=weights, minlength=n_items).astype(np.float64)
