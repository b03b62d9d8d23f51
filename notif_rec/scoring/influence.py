"""What raised and lowered a probability: each feature set to the typical user's, one at a time, and how the odds answer."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import logit
from notif_rec.scoring.engagement import OUTCOMES, Engagement, probabilities
from notif_rec.scoring.features import FEATURES

FEWEST = 0.02  # log-odds under which an influence is not worth a word


@dataclass(frozen=True)
class Influence:
    """words: what it is. value: the user's; typical: the median user's. odds: how many times as high the user's odds are as they would
    be at the typical value, all else alike."""

    name: str
    words: str
    value: float
    typical: float
    odds: float


def influences(engagement: Engagement, channel_index: int, features: npt.NDArray[np.float32], cell: int) -> dict[str, list[Influence]]:
    """By outcome, what moves one user's probabilities on a channel, the strongest first. features: (n_features,). cell: of the item."""
    found: dict[str, list[Influence]] = {}
    for outcome, name in enumerate(OUTCOMES):
        typical = engagement.scorers[channel_index][outcome].typical
        if not len(typical):  # the rates alone, which look at the user's own counts and nothing else
            typical = np.zeros_like(features)
        rows = np.tile(features, (len(features) + 1, 1))
        places = np.arange(len(features))
        rows[places + 1, places] = typical
        cells = np.full((len(rows), 1), cell, np.int64)
        p = probabilities(engagement, channel_index, (cells, cells), rows)[outcome]
        odds = logit(p[:, 0] if p.ndim == 2 else p)
        moved = odds[0] - odds[1:]
        order = sorted(np.flatnonzero(np.abs(moved) >= FEWEST).tolist(), key=lambda place: (-abs(moved[place]), place))
        found[name] = [_influence(place, features, typical, float(moved[place])) for place in order]
    return found


def _influence(place: int, features: npt.NDArray[np.float32], typical: npt.NDArray[np.float32], moved: float) -> Influence:
    feature = FEATURES[place]
    return Influence(feature.name, feature.words, float(features[place]), float(typical[place]), float(np.exp(moved)))
