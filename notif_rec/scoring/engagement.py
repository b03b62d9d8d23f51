"""What a send will bring: p_open, p_click and p_unsubscribe by channel, rank and user.

The base are shrunken rates: a channel's are empirical-Bayes means of its own past sends, a user's are shrunk to them, and a click's
rate falls with the rank that the item had in the user's own list. A scorer adds what features of the user show, as far as the
channel's answers carry it. Nothing here looks at or after `as_of`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.errors import DataError
from notif_rec.scoring.calibration import CERTAIN, logit
from notif_rec.scoring.features import CLICKS, ITEMS, N_FEATURES, OPENS, SENDS
from notif_rec.scoring.item_parts import RANK, UNKNOWN, every_cell
from notif_rec.scoring.scorer import RATES, Scorer, bare_scorer
from notif_rec.scoring.send_time import HourProfile, flat_profile

FloatArray = npt.NDArray[np.float64]
Cells = npt.NDArray[np.int64]

LAST_RANKS = np.array([1, 3, 10, 30, 100])  # the last rank (from 1) of each bucket
N_BUCKETS = len(LAST_RANKS) + 1
RANK_SHAPE = np.array([1.0, 0.9, 0.75, 0.6, 0.45, 0.3])  # how clicks fall with rank where a channel has not shown it yet
RANK_OF_CELL = every_cell()[:, RANK].astype(np.int64)
OUTCOMES = ("opened", "clicked", "unsubscribed")  # what scorers foretell, in this order
OPENED, CLICKED, LEFT = range(len(OUTCOMES))
__all__ = ["CERTAIN", "Engagement", "probabilities"]


@dataclass(frozen=True)
class Prior:
    """Rates that stand in for a channel until its own sends outweigh them."""

    opened: float
    clicked: float  # per item
    unsubscribed: float


# Vendors' benchmarks: direct opens of push 2–8 %, e-mail opens 20–40 % and clicks 2 % a mail, unsubscribes .1–.3 %. Of a range the
# end is taken at which a first send is worth its risk under the default `value`: without sends nothing would ever be learned.
PRIORS = {"push": Prior(0.05, 0.03, 0.0005), "email": Prior(0.25, 0.01, 0.001), "in_app": Prior(0.2, 0.03, 0.0003)}
OTHER_PRIOR = Prior(0.05, 0.02, 0.0005)


@dataclass(frozen=True)
class Engagement:
    """Fitted rates; every array has one row a channel, in the order of `channels`.

    click_rate: per item, over all ranks. click_rate_by_bucket: (n_channels, N_BUCKETS), non-increasing along the buckets.
    open_strength: sends of a user, and click_strength: expected clicks of a user, that weigh as much as the channel. scorers: of each
    channel, one an outcome in the order of OUTCOMES.
    """

    channels: tuple[str, ...]
    open_rate: FloatArray
    click_rate: FloatArray
    click_rate_by_bucket: FloatArray
    unsubscribe_rate: FloatArray
    open_strength: FloatArray
    click_strength: FloatArray
    scorers: tuple[tuple[Scorer, ...], ...]
    hours: HourProfile
    counts: Mapping[str, Mapping[str, float]]  # per channel: sends, opens, items, clicks, unsubscribes, …
    warnings: tuple[str, ...]

    @property
    def knowing(self) -> frozenset[str]:
        """Channels whose p_open and p_click are learned from the user's earlier sends, fatigue among them."""
        fitted = zip(self.channels, self.scorers, strict=True)
        return frozenset(name for name, of in fitted if RATES not in (of[OPENED].kind, of[CLICKED].kind))

    def to_json(self) -> str:
        """The fitted rates as one JSON object; `from_json` reads it back bit by bit."""
        stored: dict[str, Any] = {"channels": list(self.channels), "hours": self.hours.to_json()}
        stored |= {name: getattr(self, name).tolist() for name in ARRAYS}
        stored["scorers"] = [[scorer.to_json() for scorer in of] for of in self.scorers]
        stored |= {"counts": {channel: dict(of) for channel, of in self.counts.items()}, "warnings": list(self.warnings)}
        return json.dumps(stored, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Engagement:
        """Raises DataError where `text` is not what `to_json` wrote."""
        try:
            stored = json.loads(text)
            arrays = {name: np.asarray(stored[name], np.float64) for name in ARRAYS}
            names, warnings = tuple(stored["channels"]), tuple(stored["warnings"])
            scorers = tuple(tuple(Scorer.from_json(one, N_FEATURES) for one in of) for of in stored["scorers"])
            hours = HourProfile.from_json(stored["hours"])
            fitted = cls(channels=names, scorers=scorers, hours=hours, counts=stored["counts"], warnings=warnings, **arrays)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the engagement rates of a model are damaged: {error}", "train again") from None
        if [len(of) for of in scorers] != [len(OUTCOMES)] * len(names):
            raise DataError("the engagement model lacks outcomes", "train again with this version")
        if fitted.click_rate_by_bucket.shape != (len(names), N_BUCKETS):
            raise DataError(f"the engagement rates have shape {fitted.click_rate_by_bucket.shape}", "train again with this version")
        return fitted


ARRAYS = ("open_rate", "click_rate", "click_rate_by_bucket", "unsubscribe_rate", "open_strength", "click_strength")


def prior_of(channel: str) -> Prior:
    """The benchmark rates of a channel by its name."""
    return PRIORS.get(channel, OTHER_PRIOR)


def prior_engagement(channels: Sequence[str]) -> Engagement:
    """Benchmark rates alone: what a store without a single send starts from."""
    priors = [prior_of(channel) for channel in channels]
    clicked = np.array([prior.clicked for prior in priors], np.float64)
    return Engagement(
        channels=tuple(channels),
        open_rate=np.array([prior.opened for prior in priors], np.float64),
        click_rate=clicked,
        click_rate_by_bucket=clicked[:, None] * RANK_SHAPE,
        unsubscribe_rate=np.array([prior.unsubscribed for prior in priors], np.float64),
        open_strength=np.full(len(priors), 20.0),
        click_strength=np.full(len(priors), 2.0),
        scorers=((bare_scorer(),) * len(OUTCOMES),) * len(priors),
        hours=flat_profile(len(priors)),
        counts={channel: {} for channel in channels},
        warnings=tuple(f"{channel}: no sends with outcomes yet; its rates are benchmarks" for channel in channels),
    )


def rank_bucket(rank: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int64]:
    """The bucket of each rank from 0; UNKNOWN where the rank is negative."""
    buckets: npt.NDArray[np.int64] = np.where(rank < 0, UNKNOWN, np.searchsorted(LAST_RANKS, rank.astype(np.int64) + 1))
    return buckets


def probabilities(
    engagement: Engagement, channel_index: int, cells: tuple[Cells, Cells], features: npt.NDArray[np.float32]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """p_open and p_click (n, k), and p_unsubscribe (n,), of a send on a channel, each strictly inside (0, 1).

    cells: (n, k) each, of every item of a user's candidates by opens and by clicks (scoring/item_parts.py); p_open is that of a send
    which the item leads. features: (n, N_FEATURES) the user as the channel sees them (scoring/features.py).
    """
    at, scorers = channel_index, engagement.scorers[channel_index]
    of_user = [margins_of_users(engagement, at, outcome, features) for outcome in range(len(OUTCOMES))]
    p_open = scorers[OPENED].probabilities(of_user[OPENED][:, None] + margins_of_items(engagement, at, OPENED)[cells[0]])
    p_click = scorers[CLICKED].probabilities(of_user[CLICKED][:, None] + margins_of_items(engagement, at, CLICKED)[cells[1]])
    return p_open, p_click, scorers[LEFT].probabilities(of_user[LEFT])


def margins_of_users(engagement: Engagement, at: int, outcome: int, features: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) the part of an outcome's log-odds, before calibration, that the user brings; of leaving it is all there is."""
    scorer = engagement.scorers[at][outcome]
    margin: FloatArray = anybodys(engagement, at, outcome) + scorer.own * own_rate(engagement, at, outcome, features)
    return margin + scorer.user_part(features)


def margins_of_items(engagement: Engagement, at: int, outcome: int) -> FloatArray:
    """(N_CELLS,) the part that the cell of an item brings."""
    added = engagement.scorers[at][outcome].item_part()
    return added + item_base(engagement, at, RANK_OF_CELL) if outcome == CLICKED else added


def anybodys(engagement: Engagement, at: int, outcome: int) -> float:
    """Log-odds of an outcome, whoever gets the send; of a click the item brings it all."""
    rate = {OPENED: engagement.open_rate, LEFT: engagement.unsubscribe_rate}.get(outcome)
    return 0.0 if rate is None else float(logit(rate[at]))


def own_rate(engagement: Engagement, at: int, outcome: int, features: npt.NDArray[np.float32]) -> FloatArray:
    """(n,) log-odds by which a user opens more than anybody, shrunk to 0; log of how many times as often as anybody one clicks; of leaving
    nobody has a rate."""
    if outcome == OPENED:
        strength, rate = engagement.open_strength[at], engagement.open_rate[at]
        return logit((features[:, OPENS] + strength * rate) / (features[:, SENDS] + strength)) - logit(rate)
    if outcome == CLICKED:
        strength, rate = engagement.click_strength[at], engagement.click_rate[at]
        ratio: FloatArray = np.log((features[:, CLICKS] + strength) / (features[:, ITEMS] * rate + strength))
        return ratio
    return np.zeros(len(features))


def item_base(engagement: Engagement, at: int, bucket: npt.NDArray[np.int64]) -> FloatArray:
    """Log-odds that anybody clicks an item of a rank bucket; the channel's, whatever the rank, where it is UNKNOWN."""
    of_bucket = np.append(logit(engagement.click_rate_by_bucket[at]), logit(engagement.click_rate[at]))
    return of_bucket[bucket]
