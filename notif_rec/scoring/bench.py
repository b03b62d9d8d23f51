"""Scores model settings on users whose next items are known; parts that two settings share are fitted once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.models.als import fit_als
from notif_rec.models.als_loss import AlsSettings, Factors
from notif_rec.models.content import fit_content, with_content
from notif_rec.models.fit import (
    Evidence,
    Parts,
    alike_of,
    assemble,
    confidence,
    fallback_of,
    likes_of,
    no_neighbours,
    resolve_als,
    texts_of,
)
from notif_rec.models.metrics import Targets, per_user
from notif_rec.models.model import ChannelModel, Fallback
from notif_rec.models.regression import fit_regression, item_degree, mix
from notif_rec.models.settings import ModelSettings
from notif_rec.models.similar import Neighbours, fit_similar
from notif_rec.scoring.contenders import Asked, rank

PARTS = 10  # of the users, for the error of a difference
CHANCE = 0.5  # standard errors that a better score must be apart
LEAST_GAIN = 5e-4  # of the score: less is not worth another setting
KEPT = 3  # fitted parts of a kind that are remembered: the best ones come again
Step = Callable[[str, int, int], None]
T = TypeVar("T")


@dataclass(frozen=True)
class Situation:
    """What is known (as one half-life weighs it), who is asked, and what was right."""

    evidence: Evidence
    asked: Asked
    targets: Targets


@dataclass(frozen=True)
class Score:
    """Means over the users asked. parts: the NDCG of each tenth of them, by which two scores are told apart."""

    ndcg: float
    recall: float
    parts: tuple[float, ...] = ()

    def beats(self, other: Score) -> bool:
        """Whether the NDCG is higher by more than chance easily adds: half of the standard error of the difference.

        Both are of the same users, so that what is easy or hard for all cancels out.
        """
        if self.ndcg <= other.ndcg * (1 + LEAST_GAIN) or len(self.parts) != len(other.parts):
            return self.ndcg > other.ndcg * (1 + LEAST_GAIN)
        apart = np.subtract(self.parts, other.parts)
        error = float(apart.std(ddof=1)) / len(apart) ** 0.5 if len(apart) > 1 else 0.0
        return self.ndcg - other.ndcg > CHANCE * error


class Bench:
    """One channel's users with known futures. situation: by settings, of which only the half-lives count.

    threads, seed: of the fits. step: told of each ALS epoch; it may raise to stop a trial.
    """

    def __init__(
        self, name: str, code: int, situation: Callable[[ModelSettings], Situation], *, k: int, seed: int, threads: int, step: Step
    ) -> None:
        self.name, self.code, self.k, self.seed, self.threads = name, code, k, seed, threads
        self._situation, self._step = situation, step
        self._parts: dict[str, OrderedDict[Hashable, Any]] = {}

    def score(self, settings: ModelSettings) -> Score:
        """NDCG@k and recall@k of the model with these settings."""
        situation = self._situation(settings)
        lists = rank(self._fit(settings, situation), situation.asked, self.k, threads=self.threads)
        values = per_user(lists, situation.targets, self.k)
        ndcg = values[f"ndcg@{self.k}"]
        parts = tuple(round(float(ndcg[part::PARTS].mean()), 6) for part in range(PARTS)) if len(ndcg) >= 2 * PARTS else ()
        return Score(float(ndcg.mean()), float(values[f"recall@{self.k}"].mean()), parts)

    def _fit(self, settings: ModelSettings, situation: Situation) -> ChannelModel:
        base = (settings.half_life, settings.transfer)
        evidence = situation.evidence
        unit, user_items = self._part("taste", base, lambda: confidence(evidence, self.code, settings.transfer))
        als = resolve_als(user_items, settings, self.seed)
        factors = self._part("factors", (base, als), lambda: self._factors(user_items, als))
        lately = (base, settings.recent_half_life)
        fallback: Fallback = self._part("fallback", lately, lambda: fallback_of(evidence, self.code, settings.transfer))
        repeat = settings.similar.repeat if situation.asked.exclude is None else 0.0
        similar = self._similar(settings, base, user_items, repeat)
        texts = texts_of(evidence)
        if settings.blend > 0 and settings.similar.content > 0 and user_items.nnz and texts is not None:
            likes, popular = likes_of(user_items), fallback.score[-1]
            content = self._part("content", lately, lambda: fit_content(texts.words, likes, popular, threads=self.threads))
            similar = with_content(similar, content, item_degree(user_items), settings.similar.content)
        worth = (base, settings.text_worth > 0)
        alike = self._part("alike", worth, lambda: alike_of(evidence, user_items, settings, threads=self.threads))
        parts = Parts(unit, user_items, als, factors, similar, alike, fallback)
        return assemble(self.name, self.code, settings, evidence, parts)

    def _factors(self, user_items: sparse.csr_matrix, als: AlsSettings) -> tuple[Factors, Factors]:
        return fit_als(user_items, als, threads=self.threads, progress=lambda done, total: self._step("factors", done, total))

    def _similar(self, settings: ModelSettings, base: Hashable, user_items: sparse.csr_matrix, repeat: float) -> Neighbours:
        chosen = settings.similar
        share = chosen.regression
        if settings.blend == 0 or not user_items.nnz:
            return no_neighbours(user_items.shape[1])
        walked, regressed = None, None
        if share < 1:
            exponents = (base, chosen.user_exponent, chosen.source_exponent, chosen.target_exponent, chosen.neighbours)
            walked = self._part("walk", exponents, lambda: fit_similar(user_items, chosen, threads=self.threads))
        if share > 0:
            pull = (base, chosen.ridge, chosen.support)
            regressed = self._part("regression", pull, lambda: fit_regression(user_items, chosen, threads=self.threads))
        degree: npt.NDArray[np.float64] = item_degree(user_items)
        mixed = (base, chosen.model_copy(update={"content": 0.0}))
        return self._part("mix", mixed, lambda: mix(walked, regressed, degree, share, repeat))

    def _part(self, kind: str, key: Hashable, make: Callable[[], T]) -> T:
        """The part with this key, fitted where it is not remembered."""
        kept = self._parts.setdefault(kind, OrderedDict())
        if key not in kept:
            self._step(kind, 0, 1)
            kept[key] = make()
            while len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        found: T = kept[key]
        return found
