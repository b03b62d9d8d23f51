"""Fits the rates of scoring/engagement.py from past sends and what became of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import monotone
from notif_rec.scoring.engagement import (
    N_BUCKETS,
    RANK_SHAPE,
    Engagement,
    FloatArray,
    prior_engagement,
    prior_of,
    rank_bucket,
)
from notif_rec.scoring.send_outcomes import NOT_RANKED, SendOutcomes
from notif_rec.scoring.send_time import WEEK, HourProfile, fit_hours, fit_level, fit_pull, lift_before

OPEN_PRIOR, CLICK_PRIOR, UNSUBSCRIBE_PRIOR = 20.0, 50.0, 500.0  # sends, items and sends that a benchmark is worth
BUCKET_PRIOR = 10.0  # expected clicks that the shape over ranks is worth in each bucket
CLICK_STRENGTH = 2.0  # expected clicks of a user that weigh as much as the channel, where users cannot be told apart
WEAKEST, STRONGEST = 1.0, 1000.0  # bounds of how much a user's own past is shrunk
FEW_SENDS = 100


def fit_rates(channels: Sequence[str], sends: SendOutcomes) -> Engagement:
    """The rates of every channel; benchmarks, and a warning, where a channel has no sends or no outcome at all."""
    start = prior_engagement(channels)
    fits = [_fit_channel(name, sends.where(sends.channel == at)) for at, name in enumerate(channels)]
    columns = {name: np.array([fit[name] for fit in fits], np.float64).reshape(len(fits), *shape) for name, shape in SHAPES.items()}
    return Engagement(
        channels=start.channels,
        scorers=start.scorers,
        hours=_fit_hours(sends, len(channels)),
        counts={name: fit["counts"] for name, fit in zip(channels, fits, strict=True)},
        warnings=tuple(warning for fit in fits for warning in fit["warnings"]),
        **columns,
    )


SHAPES: dict[str, tuple[int, ...]] = {
    "open_rate": (),
    "click_rate": (),
    "click_rate_by_bucket": (N_BUCKETS,),
    "unsubscribe_rate": (),
    "open_strength": (),
    "click_strength": (),
}


def _fit_channel(name: str, sends: SendOutcomes) -> dict[str, Any]:
    prior, n, items = prior_of(name), len(sends.user), len(sends.item)
    heard_of, known, item_user = ~sends.blind, sends.leave_known, sends.user[sends.of_item()]
    opens, clicks, left = (
        float(sends.opened[heard_of].sum()),
        float(sends.item_clicked.sum(dtype=np.float64)),
        float(sends.unsubscribed[known].sum()),
    )
    heard = opens > 0 or clicks > 0  # a feed without opens says nothing about how often people open
    open_rate = _shrunk(opens, int(heard_of.sum()), prior.opened, OPEN_PRIOR) if heard else prior.opened
    click_rate = _shrunk(clicks, items, prior.clicked, CLICK_PRIOR) if heard else prior.clicked
    expected = np.full(items, click_rate)
    return {
        "open_rate": open_rate,
        "click_rate": click_rate,
        "click_rate_by_bucket": bucket_rates(click_rate, sends.item_rank, sends.item_clicked if heard else None),
        "unsubscribe_rate": _shrunk(left, int(known.sum()), prior.unsubscribed, UNSUBSCRIBE_PRIOR),
        "open_strength": open_strength(sends.user[heard_of], sends.opened[heard_of], open_rate) if heard else OPEN_PRIOR,
        "click_strength": click_strength(item_user, sends.item_clicked, expected) if heard else CLICK_STRENGTH,
        "counts": {"sends": n, "opens": opens, "items": items, "clicks": clicks, "unsubscribes": left},
        "warnings": _warnings(name, n, heard),
    }


def _warnings(name: str, n: int, heard: bool) -> tuple[str, ...]:
    if not n:
        return (f"{name}: no past sends with a full attribution window; its rates are benchmarks",)
    if not heard:
        return (f"{name}: {n} past sends and not one open or click; its rates are benchmarks",)
    return (f"{name}: only {n} past sends; its rates lean on benchmarks",) if n < FEW_SENDS else ()


def _shrunk(hits: float, tries: int, rate: float, strength: float) -> float:
    return (hits + strength * rate) / (tries + strength)


def bucket_rates(click_rate: float, rank: npt.NDArray[np.int32], clicked: npt.NDArray[np.float32] | None) -> FloatArray:
    """(N_BUCKETS,) click rates by rank bucket, non-increasing, with mean `click_rate` over the sends that were ranked.

    Each bucket is shrunk towards a gentle fall with rank that is scaled to the channel's own rate, then neighbours that rise are
    pooled (pool adjacent violators).
    """
    known = rank != NOT_RANKED
    buckets = rank_bucket(rank[known])
    n = np.bincount(buckets, minlength=N_BUCKETS).astype(np.float64)
    clicks = np.zeros(N_BUCKETS) if clicked is None else np.bincount(buckets, clicked[known].astype(np.float64), N_BUCKETS)
    seen = n.sum()
    base = RANK_SHAPE * (click_rate * seen / (n @ RANK_SHAPE) if seen else click_rate)
    if clicked is None or not seen:
        return np.asarray(base, np.float64)
    mean = _shrunk(float(clicks.sum()), int(seen), click_rate, CLICK_PRIOR)
    base = RANK_SHAPE * (mean * seen / (n @ RANK_SHAPE))
    expected = n * base
    rates: FloatArray = base * (clicks + BUCKET_PRIOR) / (expected + BUCKET_PRIOR)
    return monotone(rates, n + BUCKET_PRIOR / base, increasing=False)


def open_strength(user: npt.NDArray[np.int32], opened: npt.NDArray[np.bool_], rate: float) -> float:
    """Sends of a user that weigh as much as the channel: a + b of the Beta of users' rates, by the method of moments.

    Var(opens) = n·m(1−m)·(1 + (n−1)·ρ) with ρ = 1/(a + b + 1), summed over users; users of one send say nothing.
    """
    _, of = np.unique(user, return_inverse=True)
    n = np.bincount(of).astype(np.float64)
    opens = np.bincount(of, opened.astype(np.float64))
    spread = rate * (1 - rate)
    room = spread * (n * (n - 1)).sum()
    if room < 1.0:
        return OPEN_PRIOR
    rho = (((opens - n * rate) ** 2).sum() - spread * n.sum()) / room
    return float(np.clip(1 / max(rho, 1e-9) - 1, WEAKEST, STRONGEST))


def click_strength(user: npt.NDArray[np.int32], clicked: npt.NDArray[np.float32], expected: FloatArray) -> float:
    """Expected clicks of a user that weigh as much as the channel: the shape of the Gamma of users' ratios, by the method of moments.

    Var(clicks) = E + E²/shape for a user who is expected to click E times.
    """
    _, of = np.unique(user, return_inverse=True)
    wanted = np.bincount(of, expected)
    clicks = np.bincount(of, clicked.astype(np.float64))
    room = (wanted**2).sum()
    if room < 0.1:
        return CLICK_STRENGTH
    extra = ((clicks - wanted) ** 2 - wanted).sum() / room
    return float(np.clip(1 / max(extra, 1e-9), WEAKEST, STRONGEST))


def _fit_hours(sends: SendOutcomes, n_channels: int) -> HourProfile:
    cell = sends.channel.astype(np.int64) * WEEK + sends.hour
    n_sends = np.bincount(cell, minlength=n_channels * WEEK).astype(np.float64)
    answers = np.bincount(cell, sends.opened.astype(np.float64), n_channels * WEEK).astype(np.float64)
    profile = fit_hours(n_sends.reshape(n_channels, WEEK), answers.reshape(n_channels, WEEK), sends.activity)
    lift = lift_before(profile, sends.own_before, sends.segment, sends.hour)
    profile = fit_pull(profile, lift, sends.channel, sends.hour, sends.opened)
    of = np.flatnonzero(sends.hours_row >= 0)
    own = sends.own_hours[sends.hours_row[of]]
    return fit_level(profile, own, sends.segment[of], sends.channel[of], sends.hour[of])
