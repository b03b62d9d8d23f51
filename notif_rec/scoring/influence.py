"""What raised and lowered a probability: Shapley values of what is known of the user and of the item, in log-odds.

They are fair shares of the way from the typical user and any item to this user and this item (Shapley 1953; Lundberg and Lee 2017,
eq. 8, here exact, over groups of features that tell of one thing): whatever stands for nothing gets nothing, and they sum to the whole way.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import logit
from notif_rec.scoring.engagement import CLICKED, LEFT, OPENED, OUTCOMES, Engagement, margins_of_items, margins_of_users
from notif_rec.scoring.features import FEATURES, N_FEATURES
from notif_rec.scoring.item_parts import ANY_ITEM, N_PARTS, PARTS, UNKNOWN, cells_of

FloatArray = npt.NDArray[np.float64]


class Theme(NamedTuple):
    """Features that tell of one thing. leads: the feature that stands for it before people, for opens and leaving, and for clicks."""

    name: str
    features: tuple[str, ...]
    leads: tuple[str, str]


OWN = ("sends", "opens", "items", "clicks", "open_rate", "open_rate_fast", "open_rate_slow", "click_rate", "click_rate_slow")
THEMES = (
    Theme("own answers", OWN, ("open_rate", "click_rate")),
    Theme("answers on all channels", ("all_open_rate", "all_click_rate"), ("all_open_rate", "all_click_rate")),
    Theme("sends on the channel", ("sends_1d", "sends_7d", "sends_30d"), ("sends_7d", "sends_7d")),
    Theme("sends on all channels", ("all_sends_1d", "all_sends_7d", "all_sends_30d"), ("all_sends_7d", "all_sends_7d")),
    Theme("gap", ("gap_h", "all_gap_h"), ("gap_h", "gap_h")),
    Theme("fatigue", ("fatigue",), ("fatigue", "fatigue")),
    Theme("ignored", ("ignored", "unopened"), ("ignored", "ignored")),
    Theme("last answer", ("answer_h", "all_answer_h"), ("answer_h", "answer_h")),
    Theme("visits", ("visit_h", "visits_1d", "visits_7d", "visits_30d"), ("visit_h", "visit_h")),
    Theme("tenure", ("tenure_d",), ("tenure_d", "tenure_d")),
    Theme("consent", ("provisional",), ("provisional", "provisional")),
)
PLACE = {feature.name: place for place, feature in enumerate(FEATURES)}


@dataclass(frozen=True)
class Influence:
    """odds: how many times as high it makes the odds of the outcome. words, value and typical: what it is, for this user and for the
    median one; of an item, words say it all."""

    outcome: str
    name: str
    words: str
    value: float | None
    typical: float | None
    odds: float


def influences(engagement: Engagement, at: int, features: npt.NDArray[np.float32], parts: npt.NDArray[np.int8]) -> list[Influence]:
    """What moves one user's probabilities of a send on a channel, outcome by outcome, the strongest first; never-moving ones left out.

    features: (N_FEATURES,) of the user. parts: (2, N_PARTS) of the item that leads, by opens and by clicks. The odds of an outcome
    multiply to those of the user over those of the typical user and any item.
    """
    found = []
    for outcome in (OPENED, CLICKED, LEFT):
        typical = engagement.scorers[at][outcome].typical
        typical = typical if len(typical) else np.zeros(N_FEATURES, np.float32)  # the rates alone: of whom nothing is known
        of_item = None if outcome == LEFT else parts[outcome]
        shares = shapley(coalitions(engagement, at, outcome, features, typical, of_item))
        named = [_of_user(outcome, theme, features, typical, share) for theme, share in zip(THEMES, shares, strict=False)]
        if of_item is not None:
            named += [_of_item(outcome, part, int(of_item[part]), shares[len(THEMES) + part]) for part in range(N_PARTS)]
        found += sorted((one for one in named if one.odds != 1.0), key=lambda one: (-abs(np.log(one.odds)), one.name))
    return found


def coalitions(
    engagement: Engagement, at: int, outcome: int, features: npt.NDArray[np.float32], typical: npt.NDArray[np.float32],
    parts: npt.NDArray[np.int8] | None,
) -> FloatArray:  # fmt: skip
    """(2, 2, …) log-odds where each theme, and then each part, is the typical one (0) or the user's and the item's own (1)."""
    owns = np.indices((2,) * len(THEMES)).reshape(len(THEMES), -1).T.astype(np.bool_)
    rows = np.tile(typical, (len(owns), 1))
    for theme, own in zip(THEMES, owns.T, strict=True):
        for place in (PLACE[name] for name in theme.features):
            rows[own, place] = features[place]
    margin, scorer = margins_of_users(engagement, at, outcome, rows), engagement.scorers[at][outcome]
    if parts is None:
        return logit(scorer.probabilities(margin)).reshape((2,) * len(THEMES))
    owns = np.indices((2,) * N_PARTS).reshape(N_PARTS, -1).T.astype(np.bool_)
    of_item = margins_of_items(engagement, at, outcome)[cells_of(np.where(owns, parts, np.array(ANY_ITEM, np.int8)))]
    return logit(scorer.probabilities(margin[:, None] + of_item)).reshape((2,) * (len(THEMES) + N_PARTS))


def shapley(worth: FloatArray) -> FloatArray:
    """(n,) the share of each of n players in worth[1, …, 1] − worth[0, …, 0]; worth: (2,) · n, of every coalition."""
    n = worth.ndim
    others = np.indices((2,) * (n - 1)).sum(axis=0) if n > 1 else np.zeros(())
    weight = np.array([factorial(size) * factorial(n - 1 - size) / factorial(n) for size in range(n)])[others.astype(np.int64)]
    return np.array([(weight * (np.take(worth, 1, axis=player) - np.take(worth, 0, axis=player))).sum() for player in range(n)])


def _of_user(outcome: int, theme: Theme, features: npt.NDArray[np.float32], typical: npt.NDArray[np.float32], share: float) -> Influence:
    place = PLACE[theme.leads[outcome == CLICKED]]
    values = float(features[place]), float(typical[place])
    return Influence(OUTCOMES[outcome], theme.name, FEATURES[place].words, *values, float(np.exp(share)))


def _of_item(outcome: int, part: int, value: int, share: float) -> Influence:
    words = "on no list" if value == UNKNOWN else PARTS[part].words[value]
    return Influence(OUTCOMES[outcome], PARTS[part].name, words, None, None, float(np.exp(share)))
