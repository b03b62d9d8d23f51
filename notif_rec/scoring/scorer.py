"""How one outcome on one channel is foretold: a base of shrunken rates, what features add to it, and what its log-odds mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.calibration import Calibration, calibrated, identity
from notif_rec.scoring.item_parts import N_CELLS, keeps_signs
from notif_rec.scoring.linear import Linear, linear_scores
from notif_rec.scoring.trees import Trees, no_trees, tree_scores

FloatArray = npt.NDArray[np.float64]
RATES, LOGISTIC, TREES = "rates", "logistic", "trees"


@dataclass(frozen=True)
class Scorer:
    """p = calibrated(base + own · the user's own rate + user part + item part), log-odds all of them.

    kind: what foretells, RATES (the base alone), LOGISTIC or TREES (on top of a logistic). item: (N_CELLS,) what the cell of an
    item adds (scoring/item_parts.py); empty where nothing does. typical: (n_features,) the median user, to compare with.
    rounds: of boosting.
    """

    kind: str
    linear: Linear | None
    trees: Trees
    item: FloatArray
    calibration: Calibration
    typical: npt.NDArray[np.float32]
    rounds: int = 0

    @property
    def own(self) -> float:
        """How much of what the user's own rate says counts; the rest of it is among the features."""
        return 1.0 if self.linear is None else self.linear.own

    def user_part(self, features: npt.NDArray[np.float32]) -> FloatArray:
        """(n,) what features of the user, as the channel sees them, add to the rates."""
        added = tree_scores(self.trees, features)
        return added if self.linear is None else added + linear_scores(self.linear, features)

    def item_part(self) -> FloatArray:
        """(N_CELLS,) what each cell adds."""
        return self.item if len(self.item) else np.zeros(N_CELLS)

    def probabilities(self, margin: FloatArray) -> FloatArray:
        """Margins of any shape → probabilities strictly inside (0, 1)."""
        return calibrated(self.calibration, margin)

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats read back bit by bit."""
        return {
            "kind": self.kind,
            "linear": None if self.linear is None else self.linear.to_json(),
            "trees": self.trees.to_json(),
            "item": self.item.tolist(),
            "calibration": self.calibration.to_json(),
            "typical": self.typical.astype(float).tolist(),
            "rounds": self.rounds,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any], n_features: int) -> Scorer:
        """Raises ValueError, KeyError or TypeError where `stored` is not what `to_json` wrote of so many features."""
        linear = None if stored["linear"] is None else Linear.from_json(stored["linear"])
        trees, item = Trees.from_json(stored["trees"]), np.asarray(stored["item"], np.float64)
        if (trees.feature >= n_features).any() or (linear is not None and len(linear.coefficient) != n_features):
            raise ValueError(f"a model of other features than the {n_features} of this version")
        if len(item) not in (0, N_CELLS) or (len(item) and not keeps_signs(item)):
            raise ValueError("an item part of other cells than this version's, or one that rises where it must not")
        typical = np.asarray(stored["typical"], np.float32)
        return cls(str(stored["kind"]), linear, trees, item, Calibration.from_json(stored["calibration"]), typical, int(stored["rounds"]))


def bare_scorer() -> Scorer:
    """The base alone, taken at its word."""
    return Scorer(RATES, None, no_trees(), np.zeros(0), identity(), np.zeros(0, np.float32))
