"""`ope --logs` through the front door: policies in every form, refusals, and broken logs."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from notif_rec.cli.main import main

HEADER = ("user_id", "item_id", "slot", "reward", "propensity", "target_propensity", "age")
ITEMS = ("a", "b", "c")
LOGGING = {"top": (0.5, 0.3, 0.2), "low": (0.2, 0.2, 0.6)}
PAYS = {"top": (0.1, 0.5, 0.9), "low": (0.2, 0.2, 0.8)}


def rows_of(n: int = 2000, seed: int = 1) -> list[dict[str, str]]:
    random, rows = np.random.default_rng(seed), []
    for i in range(n):
        slot = ("top", "low")[random.integers(2)]
        a = random.choice(3, p=LOGGING[slot])
        row = (
            f"u{i // 4}",
            ITEMS[a],
            slot,
            float(random.random() < PAYS[slot][a]),
            LOGGING[slot][a],
            float(a == 1),
            random.integers(20, 60),
        )
        rows.append(dict(zip(HEADER, map(str, row), strict=True)))
    return rows


def write(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("logs") / "logs.csv", rows_of())


def ope(capsys: pytest.CaptureFixture[str], path: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["ope", "--logs", str(path), "--json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def by_hand(rows: Sequence[dict[str, str]], target: dict[str, dict[str, float]]) -> float:
    return float(np.mean([target[r["slot"]][r["item_id"]] / float(r["propensity"]) * float(r["reward"]) for r in rows]))


def test_a_column_holds_the_policy(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = ope(capsys, logs)
    always_b = {slot: {"a": 0.0, "b": 1.0, "c": 0.0} for slot in LOGGING}
    assert code == 0
    assert found["estimators"]["ips"]["value"] == pytest.approx(by_hand(rows_of(), always_b))
    assert found["headline"] == "snips" and set(found["estimators"]) == {"ips", "clipped_ips", "snips"}
    assert abs(found["value"] - 0.35) < 3 * found["estimators"]["snips"]["error"]
    assert found["users"] == 500 and found["support"]["rows"] == 2000
    assert found["logged"]["value"] == pytest.approx(np.mean([float(r["reward"]) for r in rows_of()]))
    assert found["relative"] == pytest.approx(found["value"] / found["logged"]["value"])
    assert found["lower_bound"] < found["low"]


def test_only_one_item_is_the_same_policy_and_a_model_helps_it(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain, only = ope(capsys, logs)[1], ope(capsys, logs, "--target", "only=b", "--features", "age,slot")[1]
    assert only["estimators"]["ips"]["high"] == pytest.approx(plain["estimators"]["ips"]["high"])
    assert only["headline"] == "dr"
    width = {k: only["estimators"][k]["high"] - only["estimators"][k]["low"] for k in ("ips", "dr")}
    assert width["dr"] < width["ips"]


def test_uniform_and_against_another_policy(logs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, found = ope(capsys, logs, "--target", "uniform", "--against", "only=a")
    third = {slot: dict.fromkeys(ITEMS, 1 / 3) for slot in LOGGING}
    always_a = {slot: {"a": 1.0, "b": 0.0, "c": 0.0} for slot in LOGGING}
    assert found["estimators"]["ips"]["value"] == pytest.approx(by_hand(rows_of(), third))
    difference = found["estimators"]["ips"]["difference"]
    assert difference["value"] == pytest.approx(by_hand(rows_of(), third) - by_hand(rows_of(), always_a))
    assert difference["low"] > 0.1


def test_a_file_of_probabilities_by_context(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shares = {"top": {"a": 0.0, "b": 0.25, "c": 0.75}, "low": {"a": 1.0, "b": 0.0, "c": 0.0}}
    named = [{"item_id": i, "slot": s, "probability": str(p)} for s, of in shares.items() for i, p in of.items() if p]
    _, found = ope(capsys, logs, "--target", str(write(tmp_path / "policy.csv", named)))
    assert found["estimators"]["ips"]["value"] == pytest.approx(by_hand(rows_of(), shares))
    truth = 0.5 * (0.25 * 0.5 + 0.75 * 0.9) + 0.5 * 0.2
    assert found["low"] < truth < found["high"]


def test_parquet_and_gzip_with_other_headers_say_the_same(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = ope(capsys, logs)[1]
    columns: dict[str, list[Any]] = {"who": [], "clicked": [], "p": [], "q": []}
    for row in rows_of():
        for name, column in (("user_id", "who"), ("reward", "clicked"), ("propensity", "p"), ("target_propensity", "q")):
            columns[column].append(row[name] if name == "user_id" else row[name] == "1.0" if name == "reward" else float(row[name]))
    pq.write_table(pa.table(columns), tmp_path / "logs.parquet")
    (tmp_path / "logs.csv.gz").write_bytes(gzip.compress(logs.read_bytes()))
    maps = [f"--map={c}={h}" for c, h in (("user_id", "who"), ("reward", "clicked"), ("propensity", "p"), ("target_propensity", "q"))]
    for other in (ope(capsys, tmp_path / "logs.parquet", *maps)[1], ope(capsys, tmp_path / "logs.csv.gz")[1]):
        assert other["estimators"] == plain["estimators"]


def test_own_predictions_are_taken(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {**r, "predicted": str(PAYS[r["slot"]][ITEMS.index(r["item_id"])]), "predicted_target": str(PAYS[r["slot"]][1])} for r in rows_of()
    ]
    _, found = ope(capsys, write(tmp_path / "logs.csv", rows))
    assert found["headline"] == "dr"
    assert found["estimators"]["dm"]["value"] == pytest.approx(np.mean([PAYS[r["slot"]][1] for r in rows]))
    code, told = ope(capsys, write(tmp_path / "logs.csv", [{k: v for k, v in r.items() if k != "predicted"} for r in rows]))
    assert (code, "go together" in told["error"]) == (3, True)


def test_rows_without_a_propensity_are_left_out_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of()
    some = [{**r, "propensity": ""} if i % 5 == 0 else r for i, r in enumerate(rows)]
    _, found = ope(capsys, write(tmp_path / "logs.csv", some))
    assert found["left_out"] == {"rows without a propensity": 400}
    assert found["support"]["rows"] == 1600


def test_logs_that_cannot_speak_for_the_policy_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = ope(capsys, write(tmp_path / "few.csv", rows_of(200)))
    assert code == 3
    assert "effective size of" in told["error"] and "leave a share of all choices to chance" in told["fix"]
    assert main(["ope", "--logs", str(tmp_path / "few.csv"), "--target", "logged", "--against", "only=b"]) == 3
    assert "only=b: the logs cannot speak" in capsys.readouterr().err


BROKEN = {
    "zero": ({"propensity": "0"}, "logs.csv:4: column 'propensity': '0' is outside (0, 1]"),
    "above one": ({"propensity": "1.5"}, "logs.csv:4: column 'propensity': '1.5' is outside (0, 1]"),
    "negative": ({"propensity": "-0.1"}, "logs.csv:4: column 'propensity': '-0.1' is outside (0, 1]"),
    "a word": ({"propensity": "high"}, "logs.csv:4: column 'propensity': 'high' is not a number"),
    "not a number": ({"propensity": "nan"}, "logs.csv:4: column 'propensity': 'nan' is not a number"),
    "target above one": ({"target_propensity": "1.01"}, "logs.csv:4: column 'target_propensity': '1.01' is outside [0, 1]"),
    "target empty": ({"target_propensity": ""}, "logs.csv:4: column 'target_propensity': '' is empty"),
    "reward empty": ({"reward": ""}, "logs.csv:4: column 'reward': '' is empty"),
    "reward endless": ({"reward": "1e999"}, "logs.csv:4: column 'reward': '1e999' is not a finite number"),
}


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_rows_are_told_with_their_line(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change, problem = BROKEN[name]
    rows = rows_of(20)
    rows[2] = {**rows[2], **change}
    code, told = ope(capsys, write(tmp_path / "logs.csv", rows))
    assert code == 3
    assert told["error"].endswith(problem), told


def test_what_is_missing_is_told(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = rows_of(20)

    def without(*names: str) -> Path:
        return write(tmp_path / "some.csv", [{k: v for k, v in r.items() if k not in names} for r in rows])

    assert "column 'propensity' is missing" in ope(capsys, without("propensity"))[1]["error"]
    assert "nothing says which policy" in ope(capsys, without("target_propensity"))[1]["error"]
    assert "there is no column 'item_id'" in ope(capsys, without("item_id"), "--target", "uniform")[1]["error"]
    blank = write(tmp_path / "blank.csv", [{**r, "propensity": ""} for r in rows])
    assert ope(capsys, blank)[1]["error"].endswith("no row has a propensity")
    assert ope(capsys, logs, "--target", "only=bb")[1]["error"].endswith("nobody chose 'bb'; did you mean 'b'?")
    assert "did you mean 'uniform'" in ope(capsys, logs, "--target", "unifrom")[1]["error"]
    assert "--features needs" in ope(capsys, logs, "--features", "age")[1]["error"]
    assert "column 'agee' is missing; did you mean 'age'?" in ope(capsys, logs, "--target", "uniform", "--features", "agee")[1]["error"]
    assert "no column 'rewrd'" in ope(capsys, logs, "--map", "reward=rewrd")[1]["error"]
    assert ope(capsys, tmp_path / "none.csv")[0] == 3
    half = write(tmp_path / "half.csv", [{"item_id": "a", "slot": "top", "probability": "0.7"}])
    assert "no probability for slot=low" in ope(capsys, logs, "--target", str(half))[1]["error"]
    more = [{"item_id": i, "probability": "0.7"} for i in ITEMS]
    assert "sum to 2.1" in ope(capsys, logs, "--target", str(write(tmp_path / "more.csv", more)))[1]["error"]


def test_people_get_a_table_and_a_word_on_users(logs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ope", "--logs", str(logs)]) == 0
    told = capsys.readouterr()
    assert told.out.startswith("target_propensity: ") and "self-normalised\t" in told.out and told.err == ""
    rows = [{k: v for k, v in r.items() if k != "user_id"} for r in rows_of()]
    assert main(["ope", "--logs", str(write(tmp_path / "logs.csv", rows))]) == 0
    assert "rows are taken for independent users" in capsys.readouterr().err
    assert main(["ope"]) == 2
