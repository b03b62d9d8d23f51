"""Past sends → the whole engagement model: rates first, then a scorer for every channel and outcome that has the answers for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.engagement import (
    CLICKED,
    LEFT,
    OPENED,
    Engagement,
    anybodys,
    item_base,
    own_rate,
    rank_bucket,
)
from notif_rec.scoring.features import DAY_US, SCALES, SIGNS
from notif_rec.scoring.item_parts import AGE, ANY_ITEM, POPULARITY, RANK
from notif_rec.scoring.rates_fit import fit_rates
from notif_rec.scoring.scorer import TREES, Scorer
from notif_rec.scoring.scorer_fit import Examples, Recipe, fit_scorer
from notif_rec.scoring.send_outcomes import SendOutcomes

RATES_US = 180 * DAY_US  # the newest sends, which rates are taken from


@dataclass(frozen=True)
class Effort:
    """How to learn. most: the most of scorer_fit.KINDS. delay_us: from a plan until answers are in, by outcome: the horizon and the window.
    threads change no bit of the model."""

    delay_us: tuple[int, int, int] = (8 * DAY_US, 8 * DAY_US, 29 * DAY_US)
    most: str = TREES
    seed: int = 1
    threads: int = 1


DEFAULT = Effort()


def fit_engagement(channels: Sequence[str], sends: SendOutcomes, now: int, effort: Effort = DEFAULT) -> Engagement:
    """The engagement model of every channel; benchmarks, and a warning, where a channel has no sends or no outcome at all."""
    rates = fit_engagement_rates(channels, sends)
    scorers = tuple(_scorers(rates, at, sends.where(sends.channel == at), now, effort) for at in range(len(channels)))
    return replace(rates, scorers=scorers)


def fit_engagement_rates(channels: Sequence[str], sends: SendOutcomes) -> Engagement:
    """The rates alone, from the newest sends."""
    newest = int(sends.at_us.max(initial=0))
    return fit_rates(channels, sends.where(sends.at_us >= newest - RATES_US))


def _scorers(rates: Engagement, at: int, sends: SendOutcomes, now: int, effort: Effort) -> tuple[Scorer, ...]:
    found = []
    for outcome in (OPENED, CLICKED, LEFT):
        examples, recipe = examples_of(rates, at, sends, outcome), recipe_of(outcome, effort)
        found.append(fit_scorer(examples, recipe, now))
    return tuple(found)


def recipe_of(outcome: int, effort: Effort) -> Recipe:
    """Opens and clicks keep the signs of features; leaving has them the other way round where sends wear people out."""
    signs = SIGNS if outcome != LEFT else np.zeros_like(SIGNS)
    return Recipe(signs, SCALES, effort.delay_us[outcome], effort.most, outcome == CLICKED, effort.seed, effort.threads)


def examples_of(rates: Engagement, at: int, sends: SendOutcomes, outcome: int) -> Examples:
    """What is learned of one outcome from the sends on a channel: a row a send, for clicks a row an item."""
    if outcome == CLICKED:
        of = sends.of_item()
        features = sends.features if (np.diff(sends.offsets) == 1).all() else sends.features[of]  # no copy of all
        parts = _parts(sends, np.arange(len(of)), CLICKED)
        base, own = item_base(rates, at, parts[:, RANK].astype(np.int64)), own_rate(rates, at, outcome, sends.features)[of]
        return Examples(features, parts, sends.item_clicked.astype(np.float64), base, sends.plan_us[of], own)
    known = ~sends.blind if outcome == OPENED else sends.leave_known
    told = sends.where(known)
    label = (told.opened if outcome == OPENED else told.unsubscribed).astype(np.float64)
    base, own = np.full(len(label), anybodys(rates, at, outcome)), own_rate(rates, at, outcome, told.features)
    return Examples(told.features, _parts(told, told.leads(), OPENED) if outcome == OPENED else None, label, base, told.plan_us, own)


def _parts(sends: SendOutcomes, item: npt.NDArray[np.int64], outcome: int) -> npt.NDArray[np.int8]:
    """(n, N_PARTS) of some items of sends, of any item where there is none."""
    parts = np.tile(np.array(ANY_ITEM, np.int8), (len(item), 1))
    there = item >= 0
    rank, known = sends.item_rank[item[there]], sends.item_parts[item[there]]
    parts[there, RANK] = rank_bucket(rank)
    parts[there, POPULARITY] = known[:, 0 if outcome == OPENED else 1]
    parts[there, AGE:] = known[:, 2:]
    return parts
