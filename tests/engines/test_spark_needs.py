"""What is said where Spark cannot run, and that the local path does not ask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from notif_rec.cli.main import main
from notif_rec.engines import spark_needs
from notif_rec.engines.spark_failure import failure_of, revived, told
from notif_rec.engines.spark_needs import Need, java, pyspark, refuse_unfit
from notif_rec.errors import ConfigError, DataError, TryAgainError
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import World, stamp

OPENJDK = 'openjdk version "{}" 2025-04-15\nOpenJDK Runtime Environment'
ANSWERS = [
    ("1.8.0_392", "is Java 8, Spark 4 needs 17"),
    ("11.0.22", "is Java 11, Spark 4 needs 17"),
    ("17.0.15", ""),
    ("21", ""),
    ("22-ea", ""),
]


def home(folder: Path, script: str) -> str:
    """A JAVA_HOME whose java is a shell script."""
    program = folder / "bin" / "java"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(folder)


@pytest.mark.parametrize(("version", "said"), ANSWERS)
def test_an_old_java_is_named(tmp_path: Path, version: str, said: str) -> None:
    found = java(home(tmp_path, f"cat >&2 <<'END'\n{OPENJDK.format(version)}\nEND"))
    assert said in found.found and bool(said) == bool(found.fix)


@pytest.mark.parametrize(("script", "said"), [("echo nonsense", "does not say its version: nonsense"), ("exit 1", "version: nothing")])
def test_what_is_no_java_is_named(tmp_path: Path, script: str, said: str) -> None:
    assert said in java(home(tmp_path, script)).found


def test_no_java_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "JAVA_HOME names no Java" in java(str(tmp_path)).found
    monkeypatch.setenv("PATH", str(tmp_path))
    assert java(None) == Need("java", "there is no Java here", spark_needs.INSTALL_JAVA)


@pytest.mark.parametrize(
    ("version", "said"), [("3.5.6", "pyspark 3.5.6 is installed, 4.x is needed"), ("5.0.0.dev1", "pyspark 5"), ("4.3.0", "")]
)
def test_pyspark_of_another_major_version_is_named(monkeypatch: pytest.MonkeyPatch, version: str, said: str) -> None:
    monkeypatch.setattr(spark_needs, "version", lambda name: version)
    assert said in pyspark().found and bool(said) == bool(pyspark().fix)


def test_a_command_on_spark_without_java_ends_with_78_and_the_way_out(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(spark_needs, "version", lambda name: "4.0.0")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "nowhere"))
    config = desk.folder / "notif_rec.yml"
    assert main(["plan", "--engine", "spark", "-c", str(config)]) == 78
    said = capsys.readouterr().err
    assert "error: --engine spark: JAVA_HOME names no Java" in said and "fix: install Java 17" in said
    config.write_text(json.dumps({**json.loads(config.read_text()), "engine": {"name": "spark"}}))
    assert main(["doctor", "-c", str(config), "--json"]) == 3
    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert checks["java"]["state"] == "fail" and checks["pyspark"]["state"] == "ok"


def test_refuse_unfit_passes_where_all_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_needs, "version", lambda name: "4.1.2")
    refuse_unfit(home(tmp_path, f"cat <<'END'\n{OPENJDK.format('17.0.1')}\nEND"))
    with pytest.raises(ConfigError):
        refuse_unfit(str(tmp_path / "bin"))


def test_the_local_path_imports_no_pyspark(desk: Desk, world: World) -> None:
    """Any import of pyspark, or of py4j, would be an error here."""
    line = ["plan", "--as-of", stamp(world.as_of), "--json", "-c", str(desk.folder / "notif_rec.yml")]
    code = (
        "import sys; sys.modules['pyspark'] = sys.modules['py4j'] = None\n"
        f"from notif_rec.cli.main import main; code = main({line!r})\n"
        "sys.exit(code or 'notif_rec.engines.spark' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["plan_id"]


def test_our_failures_come_through_as_themselves() -> None:
    for error in (DataError("a.csv: bad", "mend"), TryAgainError("later")):
        again = revived(told(error))
        assert (type(again), again.problem, again.fix) == (type(error), error.problem, error.fix)


JVM = """An error occurred while calling o93.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 times, most recent failure:
Traceback (most recent call last):
  File "worker.py", line 1, in main
OSError: [Errno 28] No space left on device

\tat org.apache.spark.api.python.BasePythonRunner
"""


def test_spark_s_long_words_become_the_line_that_matters() -> None:
    found = failure_of(JVM, "plan", Path("spark.log"))
    assert found.problem == "plan: Spark gave up a task: OSError: [Errno 28] No space left on device"
    assert found.fix.startswith("spark.log has Spark's own words")
    assert failure_of("Py4JError: what", "plan", Path("l")).problem == "plan: Spark gave up a task: Py4JError: what"
