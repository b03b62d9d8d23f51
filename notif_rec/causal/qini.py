"""Whether a ranking finds those whom treatment changes: the Qini curve, and what treating by it would have brought."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.causal.interval import CHUNK, CONFIDENCE, DRAWS, Estimate
from notif_rec.causal.uplift import Scores

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BINS = 200  # steps of the curve; rows of equal rank share one
BAGS = 1024  # users beyond so many are put into bags at random, which are drawn whole
GROUPS = 5  # of the table by rank


@dataclass(frozen=True)
class Ranked:
    """Rows from a rank on: their share of all, the mean effect that was foretold, and the one that was found."""

    share: float
    foretold: float
    found: Estimate


@dataclass(frozen=True)
class Verdict:
    """Mean outcomes had nobody, everybody, or those whose foretold effect pays been treated (each less what treating costs); and their
    differences. qini: the area between the curve and the straight line of treating as many by chance, in outcome per row. alone: the share
    not worth treating, and the effect on them. groups: rows by rank, best first. curve: gain of treating the best k of GROUPS·2.
    """

    nobody: Estimate
    everybody: Estimate
    targeted: Estimate
    effect: Estimate
    qini: Estimate
    over_nobody: Estimate
    over_everybody: Estimate
    alone: float
    effect_on_alone: Estimate | None
    groups: Sequence[Ranked]
    curve: Sequence[Ranked]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        names = ("nobody", "everybody", "targeted", "effect", "qini", "over_nobody", "over_everybody")
        told: dict[str, Any] = {name: getattr(self, name).to_json() for name in names}
        told["leave_alone"] = {"share": self.alone, "effect": None if self.effect_on_alone is None else self.effect_on_alone.to_json()}
        for name in ("groups", "curve"):
            told[name] = [{"share": r.share, "foretold": r.foretold, "found": r.found.to_json()} for r in getattr(self, name)]
        return told


def judge(scores: Scores, foretold: FloatArray, cluster: IntArray, part: IntArray, *, cost: float = 0.0, seed: int = 1) -> Verdict:
    """The verdict on a ranking by `foretold` effects, of rows that its model did not see. Who is foretold more than `cost` is treated.

    part: rows that one model foretold; ranks are within these, since what one half had too little of the other has too much.

    Source: Radcliffe, "Using control groups to target on predicted lift", 2007; with doubly robust scores: Yadlowsky et al.,
    "Evaluating treatment prioritization rules via rank-weighted average treatment effects", JASA 2025. Intervals: percentiles of DRAWS
    samples of whole users, ranks taken anew in each.
    """
    place = ranks(foretold, part)
    treat, effect, n = foretold > cost, scores.effect - cost, len(foretold)
    sums = _Sums(cluster, seed)
    step, group = (place * BINS).astype(np.int64), (place * GROUPS).astype(np.int64)
    by_step, by_group = np.stack([effect, np.ones(n)]), np.stack([scores.effect, np.ones(n), foretold])
    stepped, grouped = sums.of(by_step, step, BINS), sums.of(by_group, group, GROUPS)
    rows = np.stack([scores.without, scores.treated - cost, scores.effect, effect * treat, scores.effect * ~treat, ~treat, np.ones(n)])
    without, treated, plain, gained, left, alone, count = sums.of(rows, np.zeros(n, np.int64), 1)[..., 0]
    nobody, everybody, targeted = without / count, treated / count, (without + gained) / count
    share = np.divide(left, alone, out=np.full(len(left), np.nan), where=alone > 0)
    return Verdict(
        nobody=_estimate(nobody),
        everybody=_estimate(everybody),
        targeted=_estimate(targeted),
        effect=_estimate(plain / count),
        qini=_estimate(qini_of(stepped[0], stepped[1])),
        over_nobody=_estimate(targeted - nobody),
        over_everybody=_estimate(targeted - everybody),
        alone=float(1.0 - treat.mean()),
        effect_on_alone=None if treat.all() else _estimate(share),
        groups=_groups(*grouped),
        curve=_curve(*stepped),
    )


def ranks(foretold: FloatArray, part: IntArray) -> FloatArray:
    """(n,) the share of the rows of the same part that are foretold more, in [0, 1); equals share the middle of theirs."""
    found = np.zeros(len(foretold))
    for mine in (part == one for one in np.unique(part)):
        _, at, count = np.unique(-foretold[mine], return_inverse=True, return_counts=True)
        found[mine] = ((np.cumsum(count) - count)[at] + (count[at] - 1) / 2.0) / mine.sum()
    return found


def qini_of(effect: FloatArray, count: FloatArray) -> FloatArray:
    """(…,) from (…, n_bins) sums of effect scores and rows, best first: ∫ g(u) − u·g(1) du, where g(u) is the gain per row of treating
    the best share u."""
    total = count.sum(axis=-1, keepdims=True)
    width, gain = count / total, effect / total
    before = np.cumsum(gain, axis=-1) - gain
    area: FloatArray = ((before + gain / 2.0) * width).sum(axis=-1) - gain.sum(axis=-1) / 2.0
    return area


class _Sums:
    """Sums over all rows, and over samples of whole users with replacement: the same samples for every statistic."""

    def __init__(self, cluster: IntArray, seed: int) -> None:
        random = np.random.default_rng(seed)
        n = int(cluster.max(initial=-1)) + 1
        bags = min(n, BAGS)
        self.bag = cluster if n <= BAGS else random.permutation(np.arange(n) % BAGS)[cluster]
        self.counts = [
            random.multinomial(bags, np.full(bags, 1.0 / bags), min(CHUNK, DRAWS - at)).astype(float) for at in range(0, DRAWS, CHUNK)
        ]
        self.bags = bags

    def of(self, rows: FloatArray, cell: IntArray, n_cells: int) -> FloatArray:
        """(k, 1 + DRAWS, n_cells) sums of (k, n) rows in each cell, the first of all rows."""
        at = self.bag * n_cells + cell
        each = [np.bincount(at, row, self.bags * n_cells).reshape(self.bags, n_cells) for row in rows]
        return np.stack([np.concatenate([one.sum(axis=0)[None], *(counts @ one for counts in self.counts)]) for one in each])


def _estimate(values: FloatArray) -> Estimate:
    """The first is the value, the others are of resamples."""
    drawn = values[1:][np.isfinite(values[1:])]
    tail = (1.0 - CONFIDENCE) / 2.0
    low, high = np.quantile(drawn, [tail, 1.0 - tail]) if len(drawn) else (np.nan, np.nan)
    return Estimate(float(values[0]), float(drawn.std()) if len(drawn) else 0.0, float(low), float(high))


def _groups(effect: FloatArray, count: FloatArray, foretold: FloatArray) -> list[Ranked]:
    total, found = count[0].sum(), list[Ranked]()
    for at in np.flatnonzero(count[0] > 0).tolist():
        mean = np.divide(effect[:, at], count[:, at], out=np.full(len(effect), np.nan), where=count[:, at] > 0)
        found.append(Ranked(float(count[0, at] / total), float(foretold[0, at] / count[0, at]), _estimate(mean)))
    return found


def _curve(effect: FloatArray, count: FloatArray) -> list[Ranked]:
    """The gain per row of treating the best tenth, fifth, …, less what it costs."""
    total, steps = count.sum(axis=1), 2 * GROUPS
    places = [BINS * k // steps for k in range(1, steps + 1)]
    return [Ranked(float(count[0, :end].sum() / total[0]), 0.0, _estimate(effect[:, :end].sum(axis=1) / total)) for end in places]
