"""Where to look for better model settings, stage by stage: each proposes trials, a Run scores them and remembers the best."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

import numpy as np

from notif_rec.models.settings import ModelSettings

BLENDS = (0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
CONTENTS = (0.0, 0.1, 0.25, 0.5, 1.0)
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
TRENDS = (0.0, 0.1, 0.3, 1.0, 3.0)
DRIFTS = (0.0, 1.5, 3.0, 6.0, 12.0)
PRIORS = (0.0, 1.0, 3.0, 10.0, 30.0)
MOST_HALVINGS, HALVINGS_AT_ONCE = 9, 3
TRANSFERS = (0.0, 0.1, 0.25, 0.5, 1.0)
SAMPLES, SEMIFINALISTS, FINALISTS = 16, 6, 3  # of (α0, λ, ν), at a third, two thirds and all of the epochs
LEAST_EPOCHS = 12  # λ of many factors is chosen wrong at fewer
MOST_FACTORS = 1024
PATIENCE = 2  # doublings in a row that may bring nothing
# key of `similar`, factor between neighbouring values, lowest, highest
WALKS = (("target_exponent", 0.15, 0.0, 1.5), ("source_exponent", 0.15, 0.0, 1.5), ("user_exponent", 0.15, 0.0, 1.5))
REPEAT = ("repeat", 2.0, 0.25, 64.0)
SIZES = (("ridge", 2.0, 0.5, 100.0), ("neighbours", 2.5, 50, 2500), ("support", 1.6, 16, 160))


class Run(Protocol):
    """Scores settings; raises StageOver where the stage's share of the time is spent."""

    best: ModelSettings

    def ahead(self, settings: Sequence[ModelSettings]) -> None:
        """Told what will be asked for next, whatever comes of it, and costs a fit each: it may be scored side by side."""

    def full(self, settings: ModelSettings) -> float:
        """The score of settings that may become the best."""

    def rough(self, settings: ModelSettings) -> float:
        """The score of settings that only compete with one another."""


class StageOver(Exception):
    """The stage's share of the time is spent; what was found so far stays."""


def with_similar(settings: ModelSettings, **values: Any) -> ModelSettings:
    """`settings` with other keys of `similar`."""
    return settings.model_copy(update={"similar": settings.similar.model_copy(update=values)})


def start(run: Run) -> None:
    """The settings as they are."""
    run.full(run.best)


def blend(run: Run) -> None:
    """How much similar items count against ALS; costs no fit."""
    for share in BLENDS:
        run.full(run.best.model_copy(update={"blend": share}))


def mixture(run: Run, *, repeats: bool, texts: bool) -> None:
    """The blend; among similar items regression against the walk, what content adds, and what an item that was had says for itself."""
    blend(run)
    if run.best.blend > 0:
        for share in SHARES:
            run.full(with_similar(run.best, regression=share))
        for share in CONTENTS if texts else ():
            run.full(with_similar(run.best, content=share))
        if repeats:
            _walk_along(run, *REPEAT, times=True)


def popularity(run: Run, recents: Sequence[timedelta]) -> None:
    """What is popular beside taste, for everybody and for those with little; and of which time. Costs no fit.

    recents: half-lives to try; none where times are not known.
    """
    if recents:
        for weight in TRENDS:
            run.full(run.best.model_copy(update={"trend": weight}))
        for weight in DRIFTS:
            run.full(run.best.model_copy(update={"drift": weight}))
    for pairs in PRIORS:
        run.full(run.best.model_copy(update={"prior": pairs}))
    if run.best.trend != 0 or run.best.drift != 0 or run.best.prior > 0:
        for recent in recents:
            run.full(run.best.model_copy(update={"recent_half_life": recent}))


def transfer(run: Run) -> None:
    """How far a channel trusts the signs of others."""
    run.ahead([run.best.model_copy(update={"transfer": share}) for share in TRANSFERS])
    for share in TRANSFERS:
        run.full(run.best.model_copy(update={"transfer": share}))


def similar(run: Run) -> None:
    """Exponents of the walk, and sizes: each a step up or down for as long as it pays, twice round."""
    moves = [(key, step, low, high, False) for key, step, low, high in WALKS] + [(*size, True) for size in SIZES]
    for _ in range(2):
        before = run.best
        for key, step, low, high, times in moves:
            _walk_along(run, key, step, low, high, times)
        if run.best == before:
            return


def _walk_along(run: Run, key: str, step: float, low: float, high: float, times: bool) -> None:
    """Up, and where that does not pay, down."""
    for sign in (1, -1):
        while True:
            value = getattr(run.best.similar, key)
            moved = value * step**sign if times else value + sign * step
            moved = float(np.clip(round(moved, 4), low, high))
            moved = round(moved) if isinstance(value, int) else moved
            before = run.best
            if moved == value:
                break
            run.full(with_similar(before, **{key: moved}))
            if run.best == before:
                break
        if getattr(run.best.similar, key) != value:
            return


def factors(run: Run, alpha0: float, evidence: float, seed: int) -> None:
    """Successive halving over (α0, λ, ν): many at few epochs, the better ones at more.

    alpha0: what the data's density proposes. evidence: Σw + α0·n of a typical row, by which λ of another ν is made comparable.
    """
    base = run.best
    pool = [base, *_sample(base, base.unobserved_weight or alpha0, evidence, seed)]
    for epochs, stay in ((base.iterations // 3, SEMIFINALISTS), (base.iterations * 2 // 3, FINALISTS)):
        rungs = [candidate.model_copy(update={"iterations": max(epochs, 2), "blend": 0.0}) for candidate in pool]
        run.ahead(rungs)
        scores = np.array([run.rough(candidate) for candidate in rungs])
        pool = [pool[i] for i in np.argsort(-scores, kind="stable")[:stay]]
    run.ahead(pool)
    for candidate in pool:
        run.full(candidate)


def _sample(base: ModelSettings, alpha0: float, evidence: float, seed: int) -> list[ModelSettings]:
    """A Latin square over log α0, log λ and ν: each third of each is tried alike often."""
    rng = np.random.default_rng(seed)
    square = (np.stack([rng.permutation(SAMPLES) for _ in range(3)], axis=1) + rng.random((SAMPLES, 3))) / SAMPLES
    found = []
    for a, b, c in square:
        exponent = 1.0 if c < 0.6 else round(float(c), 2)
        found.append(
            base.model_copy(
                update={
                    "unobserved_weight": _digits(float(np.clip(alpha0 * 10 ** (1.6 * a - 0.8), 1e-5, 1.0))),
                    "regularization": _digits(min(base.regularization * 10 ** (1.6 * b - 0.8) * evidence ** (1 - exponent), 100.0)),
                    "regularization_exponent": exponent,
                }
            )
        )
    return found


def double(run: Run) -> None:
    """Twice the factors, with less λ (more factors want less of each) and more weight on ALS, until twice that does not pay."""
    base, failures = run.best, 0
    while base.factors < MOST_FACTORS and failures < PATIENCE:
        size = {"factors": min(2 * base.factors, MOST_FACTORS), "iterations": max(base.iterations, LEAST_EPOCHS)}
        tried: list[tuple[float, ModelSettings]] = []
        for less in (0.7, 0.45, 0.3):
            wide = base.model_copy(update={**size, "regularization": _digits(base.regularization * less)})
            tried.append(_best_blend(run, wide))
            if len(tried) > 1 and tried[-1][0] < tried[-2][0]:
                break
        failures = 0 if run.best.factors == size["factors"] else failures + 1
        base = max(tried, key=lambda pair: pair[0])[1]


def _best_blend(run: Run, settings: ModelSettings) -> tuple[float, ModelSettings]:
    """The score at the best blend next to the settings' own, and the settings with it; only the first is a new fit."""
    best = (run.full(settings), settings)
    for step in (-0.15, 0.15):
        while 0 <= round(best[1].blend + step, 2) <= 1:
            moved = best[1].model_copy(update={"blend": round(best[1].blend + step, 2)})
            found = run.full(moved)
            if found <= best[0]:
                break
            best = (found, moved)
    return best


def half_life(run: Run, span: timedelta) -> None:
    """How fast signs of taste fade, if at all: never, then ever shorter parts of the span that is known, until that does not pay.

    span: from the first sign of taste to the last.
    """
    parts = [part for part in (_round(span / 2**halvings) for halvings in range(MOST_HALVINGS)) if part <= span]
    reached = run.full(run.best.model_copy(update={"half_life": None}))
    for start in range(0, len(parts), HALVINGS_AT_ONCE):
        shorter = [run.best.model_copy(update={"half_life": part}) for part in parts[start : start + HALVINGS_AT_ONCE]]
        run.ahead(shorter)
        before, reached = reached, max(run.full(settings) for settings in shorter)
        if reached <= before:
            return


def _round(length: timedelta) -> timedelta:
    """Whole days, or hours where it is less than two days."""
    unit = timedelta(days=1) if length >= timedelta(days=2) else timedelta(hours=1)
    return max(round(length / unit), 1) * unit


def _digits(value: float) -> float:
    """Three significant digits: what a person would write."""
    return float(f"{value:.3g}")
