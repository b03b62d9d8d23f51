"""`lift --logs` through the front door: an experiment in a file, what it says, and broken ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from notif_rec.cli.main import main

HEADER = ("user_id", "treated", "outcome", "country", "visits", "p")


def rows_of(n: int, seed: int = 1) -> list[tuple[object, ...]]:
    """Treatment helps in DE, harms in AT and does nothing elsewhere."""
    random, rows = np.random.default_rng(seed), []
    for i in range(n):
        country, treated = ("DE", "AT", "CH")[random.integers(3)], random.random() < 0.7
        p = 0.3 + treated * {"DE": 0.3, "AT": -0.2, "CH": 0.0}[country]
        rows.append((f"u{i}", int(treated), int(random.random() < p), country, random.integers(9), 0.7))
    return rows


def write(path: Path, rows: list[tuple[object, ...]], header: tuple[str, ...] = HEADER) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("experiment") / "logs.csv", rows_of(3000))


def lift(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> dict[str, Any]:
    assert main(["lift", "--logs", str(path), "--json", *arguments]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_who_to_leave_alone(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "uplift.csv"
    found = lift(capsys, logs, "--features", "country,visits", "--map", "propensity=p", "-o", str(out))
    assert found["uplift"]["qini"]["low"] > 0
    assert found["uplift"]["leave_alone"]["share"] == pytest.approx(1 / 3, abs=0.35)
    assert found["uplift"]["leave_alone"]["effect"]["high"] < 0.05
    assert found["uplift"]["over_everybody"]["low"] > 0
    assert found["features"][0]["feature"].startswith("country=")
    assert not found["warnings"]
    rows = list(csv.DictReader(out.read_text().splitlines()))
    by_country = {r[0]: r[3] for r in rows_of(3000)}
    treat = {country: np.mean([float(r["treat"]) for r in rows if by_country[r["user_id"]] == country]) for country in ("AT", "DE")}
    assert treat["AT"] < 0.2 and treat["DE"] == 1.0


def test_without_features_it_is_the_difference_in_means(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = lift(capsys, logs)
    y = {a: [r[2] for r in rows_of(3000) if r[1] == a] for a in (0, 1)}
    assert found["difference"]["value"] == pytest.approx(np.mean(y[1]) - np.mean(y[0]))
    assert found["uplift"] is None
    assert "no column propensity" in found["warnings"][0]
    assert "without --features" in found["warnings"][1]


def test_the_same_again_for_people(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ("lift", "--logs", str(logs), "--features", "country", "--cost", "0.4")
    assert main([*asked]) == 0
    first = capsys.readouterr().out
    assert main([*asked]) == 0
    assert capsys.readouterr().out == first
    assert "leave alone 100.0%" in first


@pytest.mark.parametrize(
    ("change", "arguments", "told"),
    [
        ({"treated": "maybe"}, (), "column 'treated': 'maybe' is not a number"),
        ({"treated": "0.5"}, (), "column 'treated' is neither 0 nor 1"),
        ({"treated": "0"}, (), "all rows are untreated"),
        ({"outcome": ""}, (), "column 'outcome': '' is empty"),
        ({"p": "1"}, ("--map", "propensity=p"), "column 'propensity': '1' is outside"),
        ({}, ("--features", "contry"), "contry"),
    ],
)
def test_broken_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, str], arguments: tuple[str, ...], told: str
) -> None:
    rows = [tuple(change.get(name, value) for name, value in zip(HEADER, row, strict=True)) for row in rows_of(20)]
    assert main(["lift", "--logs", str(write(tmp_path / "logs.csv", rows)), *arguments]) in (2, 3)
    error = capsys.readouterr().err
    assert told in error and "fix:" in error


def test_propensities_of_something_else_are_doubted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As `ope` has them: of the choice that was made."""
    rows = [(*row[:5], 0.7 if row[1] else 0.3) for row in rows_of(1000)]
    found = lift(capsys, write(tmp_path / "logs.csv", rows), "--map", "propensity=p")
    assert "propensity is the chance of treatment" in found["warnings"][0]
    assert found["difference"] is None


def test_options_of_the_other_way_are_refused(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lift", "--features", "country"]) == 2
    assert "--features goes with --logs" in capsys.readouterr().err
    assert main(["lift", "--map", "outcome=x"]) == 2
    assert "--map goes with --logs" in capsys.readouterr().err
    assert main(["lift", "--logs", str(logs), "--event", "visit"]) == 2
    assert "not for --logs" in capsys.readouterr().err
    assert main(["lift", "--logs", str(logs), "-o", "x.csv"]) == 2
    assert "--output needs --features" in capsys.readouterr().err
