"""The page on Hillstrom's experiment: what it prints, where the real data is at hand."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from notif_rec.cli.main import main

FOLDER = Path(__file__).parents[2] / "examples" / "hillstrom"
REAL = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "hillstrom"


def convert() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_hillstrom", FOLDER / "convert.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at hand")
def test_the_known_effects_and_the_qini(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert().convert(REAL, tmp_path) == {"mens": 42613, "womens": 42693}
    found = {}
    for mail, extra in (("mens", ()), ("womens", ("--features", "recency,history,mens,womens,newbie,zip_code,channel"))):
        assert main(["lift", "--json", "--logs", str(tmp_path / f"{mail}.csv"), "--map", "outcome=visit", *extra]) == 0
        found[mail] = json.loads(capsys.readouterr().out)
    assert found["mens"]["difference"]["value"] == pytest.approx(0.0766, abs=5e-5)
    assert found["womens"]["difference"]["value"] == pytest.approx(0.0452, abs=5e-5)
    uplift = found["womens"]["uplift"]
    assert 0.003 < uplift["qini"]["low"] < 0.0065 < uplift["qini"]["high"]
    assert uplift["groups"][0]["found"]["low"] > 0.05 > uplift["groups"][-1]["found"]["high"]
    assert found["womens"]["features"][0]["feature"] == "womens"


def test_a_missing_file_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["convert.py", "--data", str(tmp_path)])
    assert convert().main() == 1
    assert "hillstrom.csv.gz: no such file\n  fix: name the folder with --data" in capsys.readouterr().err
