"""Fits a scorer in the order of time: learn, stop, calibrate on what came later; then learn once more from everything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.blas import one_blas_thread
from notif_rec.scoring.boosting import MOST_ROUNDS, Lessons, grow
from notif_rec.scoring.calibration import fit_curve, fit_line, levelled
from notif_rec.scoring.item_parts import N_PARTS, PART_SIGNS, RANK, SIZES, UNKNOWN, cells_of, every_cell
from notif_rec.scoring.level import day_effects, days_of, fit_drift, level_shifts
from notif_rec.scoring.linear import fit_linear
from notif_rec.scoring.scorer import LOGISTIC, RATES, TREES, Scorer, bare_scorer
from notif_rec.scoring.trees import Trees, parted, tree_scores

FloatArray = npt.NDArray[np.float64]
TREES_FROM, LOGISTIC_FROM = 1500, 100  # positives
LEARN, STOP = 0.7, 0.85  # shares of the rows, by time: learn until here, stop growing by what follows until there, calibrate by the rest
MOST_ROWS = 600_000  # of more, negatives are sampled
MOST_TYPICAL = 100_000  # rows that say what is typical
KINDS = (RATES, LOGISTIC, TREES)


@dataclass(frozen=True)
class Examples:
    """What a scorer is fitted to, one row a send or an item of a send, in an order that ids decide.

    parts: (n, N_PARTS) of the item, or the item that leads the send; None where the outcome has nothing to do with items. base: margins
    of the rates.
    plan_us: when the send was planned, or could have been.
    """

    features: npt.NDArray[np.float32]
    parts: npt.NDArray[np.int8] | None
    label: FloatArray
    base: FloatArray
    plan_us: npt.NDArray[np.int64]

    def where(self, pick: npt.NDArray[Any]) -> Examples:
        """The rows that `pick`, a mask or indices, picks."""
        parts = None if self.parts is None else self.parts[pick]
        return Examples(self.features[pick], parts, self.label[pick], self.base[pick], self.plan_us[pick])


@dataclass(frozen=True)
class Recipe:
    """How a scorer is fitted. signs, scales: per feature, for this outcome. delay_us: from a plan until the answers to
    its sends are in. most: the most of KINDS."""

    signs: npt.NDArray[np.int8]
    scales: npt.NDArray[np.int8]
    delay_us: int
    most: str = TREES
    seed: int = 1
    threads: int = 1


def fit_scorer(examples: Examples, recipe: Recipe) -> Scorer:
    """The most that the positives carry: trees from TREES_FROM, a logistic regression from LOGISTIC_FROM, else the rates alone."""
    positives = float(examples.label.sum())
    enough = TREES if positives >= TREES_FROM else LOGISTIC if positives >= LOGISTIC_FROM else RATES
    kind = KINDS[min(KINDS.index(enough), KINDS.index(recipe.most))]
    negatives = len(examples.label) - positives
    if kind == RATES or negatives < LOGISTIC_FROM:
        return bare_scorer()
    first, second = np.quantile(examples.plan_us, (LEARN, STOP), method="lower")
    learn, stop, later = examples.plan_us < first, (examples.plan_us >= first) & (examples.plan_us < second), examples.plan_us >= second
    if min(examples.label[part].sum() for part in (learn, stop, later)) < 1:
        return bare_scorer()
    with one_blas_thread():
        return _fit(examples, examples.where(learn), examples.where(stop), examples.where(later), kind, recipe)


def _fit(whole: Examples, learn: Examples, stop: Examples, later: Examples, kind: str, recipe: Recipe) -> Scorer:
    honest = _learned(learn, stop, kind, recipe)
    margin = margins(honest, later)
    margin += day_effects(margin, later.label, later.plan_us)
    final = _learned(whole, None, kind, recipe, honest.rounds)
    curve = levelled(fit_curve(margin, later.label, fit_line(margin, later.label)), margins(final, whole), whole.label)
    final = replace(final, calibration=curve)
    return replace(final, drift=fit_drift(days_of(foretold(final, whole), whole.label, whole.plan_us, recipe.delay_us)))


def foretold(scorer: Scorer, examples: Examples) -> FloatArray:
    """(n,) probabilities of the examples, the level as it was calibrated."""
    return scorer.probabilities(margins(scorer, examples))


def follow(scorer: Scorer, known: Examples, moments: npt.NDArray[np.int64], delay_us: int) -> FloatArray:
    """(n,) shifts of the log-odds at some moments, from the examples whose answers were in by then."""
    return level_shifts(scorer.drift, days_of(foretold(scorer, known), known.label, known.plan_us, delay_us), moments)


def as_of(scorer: Scorer, known: Examples, moment_us: int, delay_us: int) -> Scorer:
    """The scorer at the level of a moment."""
    shift = follow(scorer, known, np.array([moment_us], np.int64), delay_us)[0]
    return replace(scorer, calibration=scorer.calibration.shifted(float(shift)))


def _learned(examples: Examples, stop: Examples | None, kind: str, recipe: Recipe, rounds: int | None = None) -> Scorer:
    """A scorer before calibration; `stop` decides the rounds of boosting, unless they are given. Trees correct the logistic."""
    sample, shift = _sampled(examples, recipe.seed)
    typical = np.median(sample.features[:: max(1, len(sample.label) // MOST_TYPICAL)], axis=0).astype(np.float32)
    base = _day_by_day(sample.base + shift, sample)
    linear = fit_linear(sample.features, sample.label, base, recipe.scales, recipe.signs)
    scorer = replace(bare_scorer(), kind=kind, typical=typical, linear=linear)
    if kind == LOGISTIC or rounds == 0:
        return scorer
    n, signs, groups = len(recipe.signs), recipe.signs, [list(range(len(recipe.signs)))]
    if examples.parts is not None:
        signs, groups = np.concatenate([signs, PART_SIGNS, [0]]).astype(np.int8), [*groups, list(range(n, n + N_PARTS + 1))]
    until = None if stop is None else _lessons(stop, _day_by_day(margins(scorer, stop), stop))
    described, rounds = grow(
        _lessons(sample, _day_by_day(margins(scorer, sample) + shift, sample)), signs, groups,
        seed=recipe.seed, threads=recipe.threads, rounds=rounds or MOST_ROUNDS, until=until,
    )  # fmt: skip
    about_user, about_item = parted(described, n)
    item = np.zeros(0) if examples.parts is None else _table(about_item, n)
    return replace(scorer, trees=about_user, item=item, rounds=rounds)


def _day_by_day(margin: FloatArray, examples: Examples) -> FloatArray:
    return margin + day_effects(margin, examples.label, examples.plan_us)


def margins(scorer: Scorer, examples: Examples) -> FloatArray:
    """(n,) what the scorer says before calibration."""
    margin = examples.base + scorer.user_part(examples.features)
    return margin if examples.parts is None else margin + scorer.item_part()[cells_of(examples.parts)]


def _sampled(examples: Examples, seed: int) -> tuple[Examples, float]:
    """At most MOST_ROWS rows, every positive among them, and how much higher the log-odds are in the sample.

    With a share w of the negatives odds are 1/w times too high. Source: He et al., "Practical lessons from predicting clicks on ads at
    Facebook", ADKDD'14, section 6.3.
    """
    positive = examples.label > 0
    n_negative = len(positive) - int(positive.sum())
    share = max(MOST_ROWS - int(positive.sum()), MOST_ROWS // 4) / max(n_negative, 1)
    if share >= 1:
        return examples, 0.0
    kept = positive | (np.random.default_rng(seed).random(len(positive)) < share)
    drawn = int((kept & ~positive).sum()) / n_negative
    return examples.where(kept), -float(np.log(drawn))


def _lessons(examples: Examples, base: FloatArray) -> Lessons:
    rows = examples.features
    if examples.parts is not None:
        rows = np.concatenate([rows, _about_item(examples.parts)], axis=1)
    return Lessons(rows, examples.label, base)


def _about_item(parts: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """The parts as trees see them: a rank that nobody looked for is a middling one, and a feature of its own says so."""
    unknown = parts[:, RANK] == UNKNOWN
    rows = np.concatenate([parts, unknown[:, None]], axis=1).astype(np.float32)
    rows[unknown, RANK] = SIZES[RANK] // 2
    return rows


def _table(trees: Trees, n_features: int) -> FloatArray:
    """What each cell adds: trees about a few small numbers are a table."""
    cells = _about_item(every_cell())
    return tree_scores(trees, np.concatenate([np.zeros((len(cells), n_features), np.float32), cells], axis=1))
