"""`simulate` at the front door: a few users through two nights, and what it answers to bad input."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.cli import simulate as command
from notif_rec.cli.main import main
from notif_rec.cli.options import Settings
from notif_rec.config import load_config, parse_config
from notif_rec.engines.local import LocalEngine
from notif_rec.errors import ConfigError, UsageError
from notif_rec.models.bootstrap import mean_interval
from notif_rec.planning.context import PlanContext
from notif_rec.planning.plan_batch import plan_batch
from notif_rec.policy.rule import Cap
from notif_rec.simulation.compare import METRICS, difference, totals
from notif_rec.simulation.presets import PRESETS, Policy
from notif_rec.workflows import apply
from notif_rec.workflows.simulate import simulate
from notif_rec.workflows.simulated_days import vocabulary
from notif_rec.workflows.simulated_homes import Span
from notif_rec.workflows.simulated_policies import chosen_policies, starter_config

SMALL = """
version: 1
events: {view: 1, save: 4, purchase: 8}
channels:
  push:  {items_per_send: 1, max_sends: 2, consent: yes}
  email: {items_per_send: 3, max_sends: 1, consent: yes}
rules:
  - {rule: quiet_hours, channels: [push], from: "21:00", to: "08:00"}
  - {rule: frequency_cap, max: 3, per: 7d}
  - {rule: min_gap, gap: 4h}
  - {rule: no_repeat, within: 30d}
value: {unsubscribed: -1}
model: {factors: 16, iterations: 2}
"""
LINE = ["--days", "2", "--users", "50", "--seed", "3", "--jobs", "1", "--json"]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulate")
    (folder / "notif_rec.yml").write_text(SMALL)
    (folder / "less.yml").write_text("rules:\n  - {rule: frequency_cap, max: 1, per: 7d}\n")
    return folder


def told(workspace: Path, capsys: pytest.CaptureFixture[str], *more: str) -> Any:
    assert main(["simulate", "-c", str(workspace / "notif_rec.yml"), *LINE, *more]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return json.loads(out)


def test_policies_are_lived_through_the_real_pipeline(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    less, kept = str(workspace / "less.yml"), workspace / "kept"
    found = told(workspace, capsys, "--policy", "score-first", "--policy", less, "--keep", str(kept))
    assert (found["users"], found["users_at_end"], found["days"], found["seed"]) == (50, 52, 2, 3)
    assert list(found["policies"]) == ["score-first", less]
    for policy in found["policies"].values():
        assert set(METRICS) | {"audit", "dropped"} == set(policy)
        assert policy["audit"]["violations"] == 0 and policy["audit"]["plans"] == 2
        assert policy["audit"]["sends"] >= policy["sends"]["mean"] > 0
        assert policy["sends"]["low"] <= policy["sends"]["mean"] <= policy["sends"]["high"]
    rival, few = (policy["sends"]["mean"] for policy in found["policies"].values())
    assert few <= 52 < rival  # one a week at most
    apart = found["differences"][0]
    assert (
        apart["other"] == less and apart["metrics"]["sends"]["mean"] == pytest.approx(rival - few) and apart["metrics"]["sends"]["low"] > 0
    )
    assert sorted(path.name for path in kept.iterdir()) == ["history", "less", "score-first", "simulation.json"]
    assert told(workspace, capsys, "--policy", "score-first", "--policy", less, "--keep", str(kept)) == found  # nothing lived again
    (kept / "less" / "lived.json").unlink()
    (kept / "less" / "half-done").touch()
    assert main(["simulate", "-c", str(workspace / "notif_rec.yml"), "--keep", str(kept), "--users", "7"]) == 2
    assert "holds a simulation of other days, users, seed" in capsys.readouterr().err
    alone = told(workspace, capsys, "--policy", less, "--keep", str(kept))  # what was stopped half-way is lived anew
    assert alone["policies"][less] == found["policies"][less]  # the same seed, the same luck, whoever else is tried
    assert not (kept / "less" / "half-done").exists()
    (workspace / "less.yml").write_text("rules: []\n")
    assert main(["simulate", "-c", str(workspace / "notif_rec.yml"), "--keep", str(kept), *LINE, "--policy", less]) == 2
    assert "was another one when it was lived here" in capsys.readouterr().err


def without_caps(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    return plan_batch(users, replace(context, rules=tuple(rule for rule in context.rules if not isinstance(rule, Cap))))


def test_a_planner_that_breaks_rules_is_found_out(workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`apply` would refuse such a plan, and has to look away for the audit to see any of it."""
    monkeypatch.setattr(apply, "_still_allowed", lambda store, plan, sends, as_of: (np.ones(sends.num_rows, dtype=bool), Counter()))
    cheat = Policy("cheat", load_config(workspace / "notif_rec.yml"), without_caps)
    result = simulate([cheat], Span(users=40, days=1, seed=3, history=7), tmp_path, LocalEngine(1), 1, lambda stage, done, total: None)
    assert result.violations > 5


def test_the_world_speaks_words_that_a_policy_may_not_know(workspace: Path) -> None:
    words = vocabulary(load_config(workspace / "notif_rec.yml"))
    assert words.channel_names == ("push", "email", "in_app") and {"view", "save", "purchase"} <= set(words.events)


BAD: list[tuple[list[str], int, str]] = [
    (["--policy", "score-frist"], 2, "neither a file nor a preset; did you mean 'score-first'?"),
    (["--policy", "nowhere/at-all.yml"], 2, "name a file of config keys, or one of ours, popular-flat-cap, score-first, no-caps"),
    (["--policy", "ours", "--policy", "ours"], 2, "--policy ours is named twice"),
    (["--days", "0"], 2, "0 is not in the range"),
    (["--users", "0"], 2, "0 is not in the range"),
    (["--train-every", "12h"], 2, "must be whole days, such as 7d"),
    (["--policy", "bad.yml"], 78, "bad.yml:1: rulse"),
    (["--policy", "sms.yml"], 78, "the simulated world has no channel 'sms'"),
    (["--policy", "."], 78, ".: not readable"),
    (["--keep", "."], 2, ".: is not empty, and holds no simulation"),
    (["-c", "missing.yml"], 78, "missing.yml"),
]


@pytest.mark.parametrize(("line", "code", "said"), BAD)
def test_bad_input_is_told_before_anything_is_lived(
    line: list[str], code: int, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.yml").write_text("rulse: []\n")
    (tmp_path / "sms.yml").write_text("channels:\n  sms: {consent: yes}\nrules: []\n")
    assert main(["simulate", *line]) == code
    out, err = capsys.readouterr()
    assert said in err and out == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.yml", "sms.yml"]


def test_all_presets_stand_against_the_workspace_where_none_is_named(workspace: Path) -> None:
    config = load_config(workspace / "notif_rec.yml")
    found = chosen_policies((), config)
    assert [policy.name for policy in found] == list(PRESETS) and found[0].config == config
    assert chosen_policies((), starter_config())[0].config.channel_names == ("push", "email", "in_app")
    with pytest.raises(UsageError):
        chosen_policies(("our",), config)
    with pytest.raises(ConfigError, match="no channel 'pusch'; did you mean 'push'"):
        chosen_policies(("ours",), parse_config("channels: {pusch: {consent: yes}}", "x.yml"))


def test_differences_are_paired() -> None:
    """Two policies that differ by one click in a hundred users, whose clicks differ wildly: the interval sees the pairs."""
    rng = np.random.default_rng(1)
    clicks = rng.poisson(np.exp(rng.normal(0, 1.5, 4000))).astype(np.float64)
    more = clicks + (np.arange(4000) % 100 == 0)
    first, other = ({name: values for name in METRICS} for values in (more, clicks))
    found = difference(("a", "b"), first, other, seed=1)
    assert found.metrics["clicks"].mean == pytest.approx(40) and 25 < found.metrics["clicks"].low < found.metrics["clicks"].high < 55
    assert found.share["clicks"] == pytest.approx(40 / clicks.sum())
    alone = totals(first, 1)["clicks"]
    assert alone.mean == pytest.approx(more.sum()) and alone.high - alone.low > 10 * (55 - 25)
    assert mean_interval(more, 1, 2000).low * 4000 == pytest.approx(alone.low)


def test_tables_for_people(capsys: pytest.CaptureFixture[str], make_result: Callable[[], Any]) -> None:
    result = make_result()
    command.tell(Settings(), result)
    assert capsys.readouterr().out.splitlines() == [
        "3 users, 5 days, seed 7; audit of 20 sends: 0 violations",
        "total\ta\tb",
        *[f"{name}\t6.0\t3.0" for name in METRICS],
        "compared\tmetric\tdifference\tlow\thigh\trelative",
        *[f"a − b\t{name}\t3.0\t3.0\t3.0\t+100.0%" for name in METRICS],
    ]


@pytest.fixture
def make_result() -> Callable[[], Any]:
    from notif_rec.workflows.simulate import Lived, SimulateResult
    from notif_rec.workflows.simulated_homes import Outcome, Span

    def make(violations: int = 0) -> SimulateResult:
        first, other = ({name: np.full(3, value) for name in METRICS} for value in (2.0, 1.0))
        audited = {"plans": 5, "sends": 10, "violations": violations}
        lived = [Lived(name, of, totals(of, 1), Outcome(of, audited, {})) for name, of in (("a", first), ("b", other))]
        return SimulateResult(Span(3, 5, 7), 3, tuple(lived), (difference(("a", "b"), first, other, 1),))

    return make


def test_a_violation_is_exit_code_3(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], make_result: Callable[..., Any], workspace: Path
) -> None:
    from notif_rec.workflows import simulate as work

    monkeypatch.setattr(work, "simulate", lambda *_: make_result(2))
    assert main(["simulate", "-c", str(workspace / "notif_rec.yml"), "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out)["violations"] == 4 and "error: 4 violations" in err
