"""When one score beats another."""

from __future__ import annotations

import numpy as np

from notif_rec.scoring.bench import CHANCE, PARTS, Score


def score(parts: np.ndarray) -> Score:
    return Score(float(parts.mean()), 0.0, tuple(parts))


def test_a_better_score_must_be_apart_by_more_than_chance_on_the_same_users() -> None:
    hard = np.linspace(0.1, 0.5, PARTS)  # some tenths are harder than others, for both
    noise = np.where(np.arange(PARTS) % 2, 0.02, -0.02)
    error = noise.std(ddof=1) / PARTS**0.5
    before = score(hard)
    assert score(hard + noise + 1.1 * CHANCE * error).beats(before)
    assert not score(hard + noise + 0.9 * CHANCE * error).beats(before)
    assert score(hard + 0.001).beats(before), "better on every tenth"
    assert not before.beats(before) and not before.beats(score(hard + 0.001))


def test_a_hair_is_no_gain_even_where_it_is_sure() -> None:
    before = score(np.full(PARTS, 0.2))
    assert not score(np.full(PARTS, 0.20005)).beats(before)
    assert Score(0.21, 0.0).beats(Score(0.2, 0.0)) and not Score(0.20005, 0.0).beats(Score(0.2, 0.0))
