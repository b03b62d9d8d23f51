"""Fits a scorer in the order of time: learn, stop, calibrate on what came later; then learn once more from everything."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from notif_rec.models.blas import one_blas_thread
from notif_rec.scoring.boosting import FEW, MOST_ROUNDS, Lessons, grow
from notif_rec.scoring.calibration import Calibration, calibrated, fit_curve, fit_line, levelled
from notif_rec.scoring.features import DAY_US, PLAIN
from notif_rec.scoring.item_parts import N_CELLS, N_PARTS, PART_SIGNS, RANK, SIZES, UNKNOWN, cells_of, every_cell
from notif_rec.scoring.level import day_effects, days_of, level_shifts
from notif_rec.scoring.linear import Linear, fit_linear
from notif_rec.scoring.scorer import LOGISTIC, RATES, TREES, Scorer, bare_scorer
from notif_rec.scoring.trees import Trees, parted, tree_scores

FloatArray = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
TREES_FROM, LOGISTIC_FROM = 1500, 100  # positives
LEARN, STOP = 0.7, 0.85  # shares of the rows, by time: learn until here, stop growing by what follows until there, calibrate by the rest
MOST_ROWS = 600_000  # to learn from; of more, negatives are sampled
NEGATIVES, LEAST_ROWS = 20, 100_000  # more for each positive tell trees as good as nothing new, but in few rows
MOST_LINEAR, MOST_STOPS = 200_000, 200_000  # rows for thirty coefficients, and to stop growing by
ROWS_A_TASK = 100_000
MOST_TYPICAL = 100_000  # rows that say what is typical
FADES_US = 180 * DAY_US  # what is learned from a row halves with each: people join and go, and a list is not what it was
KINDS = (RATES, LOGISTIC, TREES)


@dataclass(frozen=True)
class Examples:
    """What a scorer is fitted to, one row a send or an item of a send, in an order that ids decide.

    parts: (n, N_PARTS) of the item, or the item that leads the send; None where the outcome has nothing to do with items. base: margins
    of everybody's rates. own: what the user's own rate adds to them; None: nothing. plan_us: when the send was planned, or could have been.
    """

    features: npt.NDArray[np.float32]
    parts: npt.NDArray[np.int8] | None
    label: FloatArray
    base: FloatArray
    plan_us: npt.NDArray[np.int64]
    own: FloatArray | None = None

    def where(self, pick: Mask) -> Examples:
        """The rows that `pick`, a mask, picks; no copy of all."""
        if pick.all():
            return self
        parts, own = None if self.parts is None else self.parts[pick], None if self.own is None else self.own[pick]
        return Examples(self.features[pick], parts, self.label[pick], self.base[pick], self.plan_us[pick], own)

    def rates(self, own: float = 1.0) -> FloatArray:
        """(n,) margins of the rates, the user's own taken `own` times."""
        return self.base if self.own is None else self.base + own * self.own


@dataclass(frozen=True)
class Recipe:
    """How a scorer is fitted. signs, scales: per feature, for this outcome. delay_us: from a plan until the answers to
    its sends are in. most: the most of KINDS. choosy: whether a logistic asks about the item, as who clicks does; an open hardly hangs
    on it."""

    signs: npt.NDArray[np.int8]
    scales: npt.NDArray[np.int8]
    delay_us: int
    most: str = TREES
    choosy: bool = True
    seed: int = 1
    threads: int = 1


def fit_scorer(examples: Examples, recipe: Recipe, now_us: int | None = None) -> Scorer:
    """The most that the positives carry: trees from TREES_FROM, a logistic regression from LOGISTIC_FROM, else the rates alone.

    now_us: the moment whose level it gets; None: the one that it was calibrated to.
    """
    positives = float(examples.label.sum())
    enough = TREES if positives >= TREES_FROM else LOGISTIC if positives >= LOGISTIC_FROM else RATES
    kind = KINDS[min(KINDS.index(enough), KINDS.index(recipe.most))]
    negatives = len(examples.label) - positives
    if kind == RATES or negatives < LOGISTIC_FROM:
        return bare_scorer()
    first, second = np.quantile(examples.plan_us, (LEARN, STOP), method="lower")
    parts = examples.plan_us < first, (examples.plan_us >= first) & (examples.plan_us < second), examples.plan_us >= second
    if min(examples.label[part].sum() for part in parts) < 1:
        return bare_scorer()
    with one_blas_thread():
        rounds, curve, apart = _calibrated(examples, parts, kind, recipe)
        whole = _learned(examples, np.ones(len(examples.label), np.bool_), kind, recipe, rounds=rounds)
        margin = margins(whole, examples, recipe.threads)
        return _levelled(whole, margin, _carried(curve, apart, float(margin[parts[2]].std())), examples, recipe, now_us)


def _calibrated(whole: Examples, parts: Sequence[Mask], kind: str, recipe: Recipe) -> tuple[int, Calibration, float]:
    """Of a scorer of the first of three parts by time: the rounds at which the second stops it, what its margins mean on the third, and how
    far apart they are there."""
    learn, stop, later = parts
    stop = stop & (np.random.default_rng(recipe.seed).random(len(stop)) < MOST_STOPS / max(int(stop.sum()), 1))
    honest = _learned(whole, learn, kind, recipe, whole.where(stop))
    after = whole.where(later)
    plain = margins(honest, after, recipe.threads)
    margin = _day_by_day(plain, after)
    return honest.rounds, fit_curve(margin, after.label, fit_line(margin, after.label)), float(plain.std())


def _carried(curve: Calibration, honest: float, whole: float) -> Calibration:
    """What margins mean, for those of a scorer of everything, which lie apart by another measure. honest, whole: the spread of either on
    the same rows, whatever the answers."""
    return curve.scaled(honest / whole) if min(honest, whole) > 0 else curve


def _levelled(scorer: Scorer, margin: FloatArray, curve: Calibration, whole: Examples, recipe: Recipe, now_us: int | None) -> Scorer:
    """The scorer, of these margins, calibrated by `curve`, at the level of all examples or of a moment."""
    curve = levelled(curve, margin, whole.label)
    if now_us is not None:
        days = days_of(calibrated(curve, margin), whole.label, whole.plan_us, recipe.delay_us)
        curve = curve.shifted(float(level_shifts(days, np.array([now_us], np.int64))[0]))
    return replace(scorer, calibration=curve)


def foretold(scorer: Scorer, examples: Examples) -> FloatArray:
    """(n,) probabilities of the examples, the level as it was calibrated."""
    return scorer.probabilities(margins(scorer, examples))


def follow(scorer: Scorer, known: Examples, moments: npt.NDArray[np.int64], delay_us: int) -> FloatArray:
    """(n,) shifts of the log-odds at some moments, from the examples whose answers were in by then; none of the rates alone, which few
    answers stand behind."""
    if scorer.kind == RATES:
        return np.zeros(len(moments))
    return level_shifts(days_of(foretold(scorer, known), known.label, known.plan_us, delay_us), moments)


def _learned(
    examples: Examples, within: Mask, kind: str, recipe: Recipe, stop: Examples | None = None, rounds: int | None = None
) -> Scorer:
    """A scorer of the rows within, before calibration; `stop` decides the rounds of boosting, unless they are given. Trees correct the
    logistic."""
    sample, shift = _sampled(examples, within, recipe.seed)
    typical = np.median(sample.features[:: max(1, len(sample.label) // MOST_TYPICAL)], axis=0).astype(np.float32)
    n, signs, scales, groups = len(recipe.signs), recipe.signs, recipe.scales, [list(range(len(recipe.signs)))]
    if examples.parts is not None:
        signs, groups = np.concatenate([signs, PART_SIGNS, [0]]).astype(np.int8), [*groups, list(range(n, n + N_PARTS + 1))]
        scales = np.concatenate([scales, np.full(N_PARTS + 1, PLAIN)]).astype(np.int8)
    rows, own, some = _rows(sample), sample.rates() - sample.base, slice(None, None, 1 + len(sample.label) // MOST_LINEAR)
    base, asked = _day_by_day(sample.rates() + shift, sample) - own, len(signs) if recipe.choosy else n
    newest = 2.0 ** ((sample.plan_us - sample.plan_us.max()) / FADES_US)
    weight = newest if sample.label.sum() >= FEW else np.ones(len(own))  # of few answers none may fade
    linear = fit_linear(rows[some, :asked], sample.label[some], base[some], own[some], weight[some], scales[:asked], signs[:asked])
    item = np.zeros(0) if examples.parts is None else _added(linear, n)
    scorer = replace(bare_scorer(), kind=kind, typical=typical, linear=linear.first(n), item=item)
    if kind == LOGISTIC or rounds == 0:
        return scorer
    until = None if stop is None else Lessons(_rows(stop), stop.label, _day_by_day(margins(scorer, stop, recipe.threads), stop))
    lessons = Lessons(rows, sample.label, _day_by_day(margins(scorer, sample, recipe.threads) + shift, sample), weight)
    told = {"seed": recipe.seed, "threads": recipe.threads}
    described, rounds = grow(lessons, signs, groups, **told, rounds=rounds or MOST_ROUNDS, until=until)
    about_user, about_item = parted(described, n)
    item = scorer.item if examples.parts is None else scorer.item + _table(about_item, n)
    return replace(scorer, trees=about_user, item=item, rounds=rounds)


def _day_by_day(margin: FloatArray, examples: Examples) -> FloatArray:
    return margin + day_effects(margin, examples.label, examples.plan_us)


def margins(scorer: Scorer, examples: Examples, threads: int = 1) -> FloatArray:
    """(n,) what the scorer says before calibration."""
    starts = range(0, len(examples.label), ROWS_A_TASK)
    with ThreadPoolExecutor(threads) as pool:
        parts = list(pool.map(lambda at: scorer.user_part(examples.features[at : at + ROWS_A_TASK]), starts))
    margin: FloatArray = examples.rates(scorer.own) + np.concatenate([np.zeros(0), *parts])
    return margin if examples.parts is None else margin + scorer.item_part()[cells_of(examples.parts)]


def _sampled(examples: Examples, within: Mask, seed: int) -> tuple[Examples, float]:
    """At most about MOST_ROWS of the rows within, and how much higher the log-odds are in the sample: of few positives all, and many times
    as many negatives, which say nearly as much as all.

    With a share w of the negatives odds are 1/w times too high. Source: He et al., "Practical lessons from predicting clicks on ads at
    Facebook", ADKDD'14, section 6.3.
    """
    positive, negative = within & (examples.label > 0), within & (examples.label <= 0)
    hits, misses = int(positive.sum()), int(negative.sum())
    of_hits = min(1.0, MOST_ROWS / 2 / max(hits, 1))
    wanted = min(MOST_ROWS - of_hits * hits, max(NEGATIVES * hits, LEAST_ROWS))
    of_misses = min(1.0, wanted / max(misses, 1))
    if of_hits == of_misses == 1.0:
        return examples.where(within), 0.0
    kept = within & (np.random.default_rng(seed).random(len(within)) < np.where(positive, of_hits, of_misses))
    drawn = (kept & positive).sum() / hits, (kept & negative).sum() / misses
    return examples.where(kept), float(np.log(drawn[0] / drawn[1]))


def _rows(examples: Examples) -> npt.NDArray[np.float32]:
    """What is known of users, and of items where they matter, side by side."""
    if examples.parts is None:
        return examples.features
    return np.concatenate([examples.features, _about_item(examples.parts)], axis=1)


def _about_item(parts: npt.NDArray[np.int8]) -> npt.NDArray[np.float32]:
    """The parts as a model sees them: a rank that is not known is a middling one, and a feature of its own says so."""
    unknown = parts[:, RANK] == UNKNOWN
    rows = np.concatenate([parts, unknown[:, None]], axis=1).astype(np.float32)
    rows[unknown, RANK] = SIZES[RANK] // 2
    return rows


def _added(linear: Linear, n_features: int) -> FloatArray:
    """What each cell adds by a logistic whose features of users come first; summed in one order, so that signs hold to the last bit."""
    added = np.zeros(N_CELLS)
    columns = _about_item(every_cell()).T.astype(np.float64)
    for place, column in zip(range(n_features, len(linear.mean)), columns, strict=False):
        if linear.spread[place] > 0:
            added += linear.coefficient[place] / linear.spread[place] * (column - linear.mean[place])
    return added


def _table(trees: Trees, n_features: int) -> FloatArray:
    """What each cell adds: trees about a few small numbers are a table."""
    cells = _about_item(every_cell())
    return tree_scores(trees, np.concatenate([np.zeros((len(cells), n_features), np.float32), cells], axis=1))
