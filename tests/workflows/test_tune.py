"""The search: finds a planted optimum, never overspends, goes on where it was stopped, writes what load_config reads."""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from notif_rec.config import load_config
from notif_rec.errors import DataError
from notif_rec.models.settings import ModelSettings
from notif_rec.scoring.bench import Bench, Score
from notif_rec.workflows import tune_data
from notif_rec.workflows.search_run import Budget
from notif_rec.workflows.trial_log import Trial, TrialLog
from notif_rec.workflows.tune import Order, TuneResult, tune, tune_split
from tests.workflows.lived import AS_OF, Event, build, config, future, past


class Clock:
    """Seconds that pass only when somebody says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def planted(settings: ModelSettings) -> float:
    """A score with its top at 64 factors, λ .002, α0 .3, blend .5, regression .75 and target exponent .6."""
    distance = abs(math.log(settings.regularization / 0.002)) / 4
    distance += abs(math.log((settings.unobserved_weight or 1.0) / 0.3)) / 4
    distance += abs(settings.blend - 0.5) / 4 + abs(settings.similar.regression - 0.75) / 4 + abs(settings.similar.target_exponent - 0.6)
    distance += abs(math.log2(settings.factors / 64)) / 2
    return 0.3 * math.exp(-distance) + settings.iterations / 1e4


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """Trials that cost factors / 16 seconds and score as planted."""
    clock = Clock()

    def score(self: Bench, settings: ModelSettings) -> Score:
        clock.now += settings.factors / 16
        found = planted(settings)
        return Score(found, found / 2)

    monkeypatch.setattr(Bench, "score", score)
    yield clock


def pairs(path: Path) -> Path:
    rng = np.random.default_rng(1)
    path.write_text("".join(f"u{u:02d} " + " ".join(f"i{i}" for i in rng.permutation(40)[:9]) + "\n" for u in range(50)))
    return path


def order(folder: Path, clock: object, seconds: float = 1e6) -> Order:
    return Order(folder / "tuned.yml", timedelta(seconds=seconds), clock)  # type: ignore[arg-type]


def searched(folder: Path, clock: object, seconds: float = 1e6) -> TuneResult:
    return tune_split(pairs(folder / "train.txt"), config(), order(folder, clock, seconds))


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "tuned.yml.trials.jsonl").read_text().splitlines()]


def test_finds_what_was_planted_and_says_how(tmp_path: Path, world: Clock) -> None:
    told: list[str] = []
    result = tune_split(pairs(tmp_path / "t.txt"), config(), Order(tmp_path / "tuned.yml", timedelta(hours=9), world, say=told.append))
    best = result.settings
    assert result.complete and result.before and result.best
    assert (best.factors, best.blend, best.similar.regression, best.similar.target_exponent) == (64, 0.5, 0.75, 0.6)
    assert 0.001 < best.regularization < 0.004 and best.unobserved_weight and 0.15 < best.unobserved_weight < 0.6
    assert result.best.ndcg > result.before.ndcg * 1.5
    assert told[-1].split()[2] == f"{result.best.ndcg:.4f},"
    text = (tmp_path / "tuned.yml").read_text()
    assert f"# {result.trials} trials, " in text and "seed 1" in text and f"# now:    ndcg@20 {result.best.ndcg:.5f}" in text
    assert load_config(tmp_path / "tuned.yml").model == best
    assert result.to_json()["best"]["ndcg@20"] == result.best.ndcg


def test_again_is_no_new_trial_and_the_same_file(tmp_path: Path, world: Clock) -> None:
    first, text = searched(tmp_path, world), (tmp_path / "tuned.yml").read_bytes()
    again = searched(tmp_path, world)
    assert (again.trials, again.settings, again.best) == (first.trials, first.settings, first.best)
    assert (tmp_path / "tuned.yml").read_bytes() == text


@pytest.mark.parametrize("stop", [3, 17, 40])
def test_a_stopped_search_goes_on_to_the_same_end(tmp_path: Path, world: Clock, monkeypatch: pytest.MonkeyPatch, stop: int) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    expected = searched(whole, world, 300)
    counted, score = [0], Bench.score

    def stopping(self: Bench, settings: ModelSettings) -> Score:
        counted[0] += 1
        if counted[0] == stop:
            raise KeyboardInterrupt
        return score(self, settings)

    monkeypatch.setattr(Bench, "score", stopping)
    with pytest.raises(KeyboardInterrupt):
        searched(part, world, 300)
    assert load_config(part / "tuned.yml").model  # the best so far is there
    assert len(lines(part)) == stop - 1
    with (part / "tuned.yml.trials.jsonl").open("ab") as stream:
        stream.write(b'{"data": "a line cut sh')
    found = searched(part, world, 300)
    assert (found.settings, found.best, found.trials) == (expected.settings, expected.best, expected.trials)


def test_never_spends_more_than_the_budget_and_a_larger_one_goes_on(tmp_path: Path, world: Clock) -> None:
    small = searched(tmp_path, world, 30)
    assert small.seconds <= 30 and not small.complete
    large = searched(tmp_path, world, 90)
    assert small.seconds < large.seconds <= 90
    assert large.best and small.best and large.best.ndcg >= small.best.ndcg


def test_other_data_do_not_count(tmp_path: Path, world: Clock) -> None:
    first = searched(tmp_path, world, 60)
    (tmp_path / "more.txt").write_text((tmp_path / "train.txt").read_text() + "u99 i1 i2 i3 i4 i5 i6\n")
    other = tune_split(tmp_path / "more.txt", config(), order(tmp_path, world, 60))
    assert other.trials and len(lines(tmp_path)) == first.trials + other.trials


def test_a_budget_too_short_for_one_trial_keeps_the_settings(tmp_path: Path) -> None:
    clock = Clock()

    class Hurrying(Clock):
        def __call__(self) -> float:
            clock.now += 1.0
            return clock.now

    result = searched(tmp_path, Hurrying(), 2)
    assert result.before is None and result.best is None and not result.complete and result.trials == 0
    assert load_config(tmp_path / "tuned.yml").model == config().model
    assert "the budget ended before one trial did" in (tmp_path / "tuned.yml").read_text()


def test_a_real_search_on_a_store(tmp_path: Path) -> None:
    """Nothing faked but the clock, which stops the search after a while."""
    ticks = iter(range(10**9))
    store = build(tmp_path / "store", past(users=300) + future(users=300))
    told = tune(store, config(), AS_OF + timedelta(days=99), timedelta(days=7), order(tmp_path, lambda: float(next(ticks)), 1500))
    assert told.before and told.best and told.best.ndcg >= told.before.ndcg
    assert told.trials > 10
    assert "users took from 2026-02-2" in told.validation
    load_config(tmp_path / "tuned.yml")


def test_channels_learn_how_far_to_trust_others(tmp_path: Path, world: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notif_rec.workflows.tune_data.LEAST_USERS", 10)

    def score(self: Bench, settings: ModelSettings) -> Score:
        found = 0.2 - (abs(settings.transfer - 0.1) if self.name == "push" else 0.0)
        return Score(found, found)

    monkeypatch.setattr(Bench, "score", score)
    store = build(tmp_path / "store", past() + future())
    result = tune(store, config(), AS_OF, timedelta(days=7), order(tmp_path, world))
    assert result.channels == {"push": {"transfer": 0.1}}
    written = load_config(tmp_path / "tuned.yml")
    assert [written.model_of(name).transfer for name in ("push", "email")] == [0.1, 0.5]
    assert written.channels["push"].consent == "yes"


def test_validation_comes_before_as_of_and_after_what_is_learnt(tmp_path: Path) -> None:
    """What happens at or after as-of changes nothing: neither scores nor settings."""
    results = []
    for name, after in (("a", []), ("b", [Event(f"u{u:02d}", "i07", -0.5, "push") for u in range(60)])):
        ticks = iter(range(10**9))
        store = build(tmp_path / name / "store", past() + future() + after)
        made = order(tmp_path / name, lambda ticks=ticks: float(next(ticks)), 400)
        results.append(tune(store, config(), AS_OF, timedelta(days=7), made))
    assert results[0].best == results[1].best and results[0].settings == results[1].settings


def test_too_little_to_set_apart(tmp_path: Path, world: Clock) -> None:
    (tmp_path / "train.txt").write_text("u1 i1\n")
    with pytest.raises(DataError, match="too few pairs to set some apart"):
        tune_split(tmp_path / "train.txt", config(), order(tmp_path, world))


def test_the_log_survives_what_it_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'not json\n[1]\n{"data": "other"}\n{"torn": ')
    log = TrialLog(path, "mine")
    log.add(Trial("start", "all", ModelSettings(factors=32), Score(0.5, 0.25), 2.0))
    again = TrialLog(path, "mine")
    assert again.seconds == 2.0
    assert again.find("all", ModelSettings(factors=32)) == log.trials[0]
    assert again.find("push", ModelSettings(factors=32)) is None


def test_the_budget_counts_earlier_sittings() -> None:
    clock = Clock()
    budget = Budget(10, 4, clock)
    clock.now = 3
    assert budget.elapsed == 7 and budget.settle() == 3 and budget.settle() == 0 and budget.elapsed == 7


def test_trials_side_by_side_find_the_same_in_fewer_steps_of_the_clock(tmp_path: Path) -> None:
    """On a store, by an engine that works apart: what is asked for next is scored together, and comes to the same."""
    found = []
    for name, engine in (("here", None), ("there", Apart())):
        order = Order(tmp_path / name / "tuned.yml", timedelta(hours=1), Ticks(), engine=engine)
        store = build(tmp_path / name, [*past(), *future()])
        result = tune(store, config(), AS_OF, timedelta(days=7), order)
        found.append((result.settings, result.best, result.before, result.trials, dict(result.channels), result.complete))
    assert found[0] == found[1]
    assert Apart.sizes and max(Apart.sizes) > 10


class Ticks:
    """A clock that moves a little each time it is asked."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now


class Apart:
    """An engine that gives each piece of work a copy of its own."""

    apart, threads = True, 1
    sizes: ClassVar[list[int]] = []

    def map_parts(self, *_: object) -> list[Path]:
        raise AssertionError("a search has no parts")

    def each(self, work: Any, things: Any, stage: str, progress: Any) -> Iterator[Any]:
        self.sizes.append(len(things))
        for done, thing in enumerate(things):
            progress(stage, done, len(things))
            yield pickle.loads(pickle.dumps(work))(thing)


def test_a_fifth_of_each_users_pairs_is_set_apart() -> None:
    user = np.repeat(np.arange(5), [1, 2, 3, 10, 40])[np.random.default_rng(1).permutation(56)]
    held = tune_data._some_of_each(user, 1)
    assert np.bincount(user[held], minlength=5).tolist() == [0, 0, 1, 2, 8]
    assert (tune_data._some_of_each(user, 1) == held).all() and (tune_data._some_of_each(user, 2) != held).any()
