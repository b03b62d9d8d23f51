"""The effect of a message: found again where it is known, and on the real trial, where that is at hand, as it was published."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "heartsteps"
REAL = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "heartsteps_v1"


@pytest.fixture(scope="module")
def estimate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("estimate_heartsteps", FOLDER / "estimate.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


def made_up(estimate: ModuleType, seed: int, start: float = 0.5, a_day: float = -0.01) -> object:
    """A trial of 40 people whose mood, unseen and different every day, moves both what they walk and what is measured before."""
    rng = np.random.default_rng(seed)
    user, day = np.repeat(np.arange(40), 150), np.tile(np.repeat(np.arange(30), 5), 40).astype(float)
    mood = rng.normal(0, 1, (40, 30))[user, day.astype(int)] + rng.normal(0, 1, 40)[user]
    available = rng.random(len(user)) < 0.8
    sent = available & (rng.random(len(user)) < 0.6)
    before = mood + rng.normal(0, 1, len(user))
    after = np.sin(3 * mood) + mood + sent * (start + a_day * day) + rng.normal(0, 1, len(user))  # no line: the controls are wrong
    return estimate.Trial(user, day, available, sent, before, after)


def test_the_truth_lies_inside_its_interval_as_often_as_it_should(estimate: ModuleType) -> None:
    hits = [[], []]
    for seed in range(100):
        for n, (effect, truth) in enumerate(zip(estimate.analyse(made_up(estimate, seed))["by day"], (0.5, -0.01), strict=True)):
            hits[n].append(effect.low <= truth <= effect.high)
    assert min(np.mean(hits[0]), np.mean(hits[1])) >= 0.88


def test_points_at_which_nothing_could_be_sent_say_nothing(estimate: ModuleType) -> None:
    trial = made_up(estimate, 1)
    nonsense = estimate.Trial(**{**vars(trial), "after": np.where(trial.available, trial.after, 1e9)})
    assert estimate.analyse(nonsense) == estimate.analyse(trial)


def test_missing_data_is_told(
    estimate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["estimate.py", "--data", str(tmp_path)])
    assert estimate.main() == 1
    assert "HS1_cleaned.csv.gz: no such file\n  fix: name the folder with --data" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at hand")
def test_the_trial_gives_what_was_published(estimate: ModuleType) -> None:
    trial = estimate.read_trial(REAL / "HS1_cleaned.csv.gz")
    found = estimate.analyse(trial)
    (mean,), (start, a_day) = found["on average"], found["by day"]
    assert (len(trial.day), len(np.unique(trial.user))) == (7540, 37)
    assert (mean.estimate, mean.error) == (pytest.approx(0.131, abs=0.0005), pytest.approx(0.067, abs=0.0005))
    assert start.estimate == pytest.approx(0.507, abs=0.0005)
    assert (a_day.estimate, a_day.error) == (pytest.approx(-0.0185, abs=0.00005), pytest.approx(0.006, abs=0.0005))
