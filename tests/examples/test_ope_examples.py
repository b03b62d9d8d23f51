"""The pages on off-policy evaluation: what they print, where the real data is at hand."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from notif_rec.cli.main import main

FOLDER = Path(__file__).parents[2] / "examples"
REAL = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[3] / "shared" / "data"))
BANDIT, HEART = REAL / "open_bandit_small", REAL / "heartsteps_v1"
HEADERS = ("--map", "propensity=propensity_score", "--map", "reward=click")


def script(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ope(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["ope", "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.fixture(scope="module")
def thompson(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "bernoulli_ts.csv"
    assert script(FOLDER / "open_bandit" / "policy.py").write(path) == 240
    return path


def test_the_policy_shows_three_items_a_time(thompson: Path) -> None:
    rows = list(csv.DictReader(thompson.read_text().splitlines()))
    for position in "123":
        assert sum(float(r["probability"]) for r in rows if r["position"] == position) == pytest.approx(1.0)
    for item in {r["item_id"] for r in rows}:
        assert sum(float(r["probability"]) for r in rows if r["item_id"] == item) <= 1.0 + 1e-9


@pytest.mark.skipif(not BANDIT.is_dir(), reason="the real data is not at hand")
def test_the_published_value_of_thompson_sampling(thompson: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = ope(capsys, "--logs", str(BANDIT / "random/all/all.csv.gz"), "--target", str(thompson), *HEADERS)
    assert found["estimators"]["ips"]["relative"] == pytest.approx(1.198126, abs=1e-6)
    assert found["estimators"]["ips"]["difference"]["low"] < 0 < found["estimators"]["ips"]["difference"]["high"]


@pytest.mark.skipif(not BANDIT.is_dir(), reason="the real data is not at hand")
def test_two_effective_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ope", "--logs", str(BANDIT / "bts/women/women.csv.gz"), "--target", "uniform", *HEADERS]) == 3
    assert "10,000 rows have the effective size of 2 (0.02%" in capsys.readouterr().err
    assert (
        600
        < ope(capsys, "--logs", str(BANDIT / "bts/men/men.csv.gz"), "--target", "uniform", *HEADERS)["support"]["effective_sample_size"]
        < 700
    )


@pytest.mark.skipif(not HEART.is_dir(), reason="the real data is not at hand")
def test_the_published_effect_of_a_push(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert script(FOLDER / "heartsteps" / "convert.py").convert(HEART, tmp_path / "logs.csv") == 6061
    sends = ("--target", "only=suggestion", "--against", "only=nothing", "--features", "steps_before")
    found = ope(capsys, "--logs", str(tmp_path / "logs.csv"), *sends)
    assert found["difference"]["value"] == pytest.approx(0.131, abs=0.001)
    assert found["difference"]["error"] == pytest.approx(0.067, abs=0.002)


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["convert.py", "--data", str(tmp_path)])
    assert script(FOLDER / "heartsteps" / "convert.py").main() == 1
    assert "HS1_cleaned.csv.gz: no such file\n  fix: name the folder with --data" in capsys.readouterr().err
