"""The frame: every failure is told once, in words, with the right code."""

from __future__ import annotations

import errno
import json
import os
import shlex
import subprocess
import sys
import types
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest

from notif_rec.cli import main as frame
from notif_rec.cli import options
from notif_rec.cli.options import Settings, as_of_option, pass_settings
from notif_rec.errors import BugError, ConfigError, DataError, NotifRecError, TryAgainError

NOTIF_REC = (sys.executable, "-m", "notif_rec.cli.main")


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[[click.Command], None]:
    def put(command: click.Command) -> None:
        module = types.ModuleType("a_command_of_a_test")
        module.command = command  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(frame.COMMANDS, "probe", (module.__name__, "A probe."))

    for name in [n for n in os.environ if n.startswith("NOTIF_REC_") or n == "NO_COLOR"]:
        monkeypatch.delenv(name)
    return put


def raising(error: BaseException) -> click.Command:
    @click.command("probe")
    def probe() -> None:
        raise error

    return probe


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (NotifRecError("a.csv:3: no", "mend it"), 1, "error: a.csv:3: no\n  fix: mend it"),
        (DataError("bad", "x"), 3, "error: bad\n  fix: x"),
        (BugError("broken"), 70, "error: broken\n"),
        (TryAgainError("held by 12", "wait"), 75, "held by 12"),
        (ConfigError("c.yml:1: what", "so"), 78, "c.yml:1: what"),
        (
            ZeroDivisionError("division by zero"),
            70,
            "error: this is a bug: ZeroDivisionError: division by zero\n  fix: run it again with --debug",
        ),
        (KeyboardInterrupt(), 130, "error: stopped"),
        (RuntimeError("Query interrupted"), 130, "error: stopped"),
        (MemoryError("Unable to allocate 9 GiB"), 1, "error: out of memory (Unable to allocate 9 GiB)\n  fix: try --jobs 1"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1, "error: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "lists/push.csv"), 1, "error: lists/push.csv: Permission denied"),
    ],
)
def test_each_failure_has_its_code_and_words(
    install: Callable[[click.Command], None], capsys: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    install(raising(error))
    assert frame.main(["probe"]) == code
    out, err = capsys.readouterr()
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_json_failure_is_one_object_on_stdout(install: Callable[[click.Command], None], capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(DataError("bad", "mend")))
    assert frame.main(["probe", "--json"]) == 3
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": "bad", "fix": "mend", "exit_code": 3}
    assert err == "error: bad\n  fix: mend\n"


def test_debug_shows_the_traceback(install: Callable[[click.Command], None], capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(DataError("bad")))
    assert frame.main(["--debug", "probe"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_closed_pipe_is_quiet(install: Callable[[click.Command], None], capsys: pytest.CaptureFixture[str]) -> None:
    install(raising(BrokenPipeError(errno.EPIPE, "Broken pipe")))
    assert frame.main(["probe"]) == 0
    assert capsys.readouterr().err == ""


def test_a_returned_number_is_the_exit_code(install: Callable[[click.Command], None]) -> None:
    install(click.command("probe")(lambda: 3))
    assert frame.main(["probe"]) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (["statsu"], "no such command 'statsu'; did you mean 'status'?"),
        (["completion", "--jsn"], "no such option '--jsn'; did you mean '--json'?"),
        (["--jobs", "0", "completion"], "0 is not in the range"),
        ([], "a command is missing"),
    ],
)
def test_wrong_usage_is_2_and_names_the_nearest(capsys: pytest.CaptureFixture[str], line: list[str], said: str) -> None:
    assert frame.main(line) == 2
    err = capsys.readouterr().err
    assert said in err
    assert "--help` shows how it is called" in err


def seen_settings(install: Callable[[click.Command], None], line: list[str]) -> Settings:
    seen: list[Settings] = []

    @click.command("probe")
    @pass_settings
    def probe(settings: Settings) -> None:
        seen.append(settings)

    install(probe)
    assert frame.main(line) == 0
    return seen[0]


def test_flag_beats_environment_beats_default(install: Callable[[click.Command], None], monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen_settings(install, ["probe"]) == Settings(jobs=options.default_jobs(), color=os.environ.get("TERM") != "dumb")
    monkeypatch.setenv("NOTIF_REC_CONFIG", "env.yml")
    monkeypatch.setenv("NOTIF_REC_STORE", "env.store")
    monkeypatch.setenv("NOTIF_REC_JOBS", "5")
    monkeypatch.setenv("NOTIF_REC_JSON", "1")
    got = seen_settings(install, ["probe"])
    assert (got.config, got.store_path, got.jobs, got.json) == (Path("env.yml"), Path("env.store"), 5, True)
    before = seen_settings(install, ["-c", "before.yml", "--jobs", "2", "probe", "-vv"])
    assert (before.config, before.jobs, before.verbose) == (Path("before.yml"), 2, 2)
    assert seen_settings(install, ["-c", "before.yml", "probe", "-c", "after.yml"]).config == Path("after.yml")


def test_the_store_lies_beside_the_config(install: Callable[[click.Command], None]) -> None:
    assert seen_settings(install, ["probe", "-c", "a/b.yml"]).store_path == Path("a/.notif_rec")


def test_no_color_from_the_environment(install: Callable[[click.Command], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert seen_settings(install, ["probe"]).color
    assert not seen_settings(install, ["probe", "--no-color"]).color
    monkeypatch.setenv("NO_COLOR", "1")
    assert not seen_settings(install, ["probe"]).color


def as_of(install: Callable[[click.Command], None], *line: str, default_now: bool = True) -> tuple[int, Any]:
    seen: list[Any] = [None]

    @click.command("probe")
    @as_of_option(default_now=default_now)
    def probe(as_of: datetime | None) -> None:
        seen.append(as_of)

    install(probe)
    return frame.main(["probe", *line]), seen[-1]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-22", datetime(2026, 11, 22)),
        ("2026-11-22T09:30:00Z", datetime(2026, 11, 22, 9, 30)),
        ("2026-11-22T09:30:00+05:30", datetime(2026, 11, 22, 4, 0)),
        ("20261122", datetime(2026, 11, 22)),
    ],
)
def test_as_of_is_naive_utc(install: Callable[[click.Command], None], text: str, moment: datetime) -> None:
    assert as_of(install, "--as-of", text) == (0, moment)


@pytest.mark.parametrize(
    ("text", "said"), [("2026-11-22T09:30:00", "has no zone; add Z"), ("yesterday", "is not a date"), ("2026-02-30", "is not a date")]
)
def test_as_of_refuses_a_guess(install: Callable[[click.Command], None], capsys: pytest.CaptureFixture[str], text: str, said: str) -> None:
    assert as_of(install, "--as-of", text)[0] == 2
    assert said in capsys.readouterr().err


def test_as_of_defaults_to_now_or_to_none(install: Callable[[click.Command], None]) -> None:
    moment = as_of(install)[1]
    assert abs(moment - datetime.now(UTC).replace(tzinfo=None)) < timedelta(minutes=1)
    assert moment.microsecond == 0
    assert as_of(install, default_now=False) == (0, None)


def run(*line: str, env: dict[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*NOTIF_REC, *line], capture_output=True, text=True, env=env, timeout=300, check=False, **more)


@pytest.mark.parametrize("env", [{}, {"LANG": "C", "LC_ALL": "C"}, {"COLUMNS": "40"}, {"NO_COLOR": "1", "TERM": "dumb"}])
def test_help_in_any_environment(env: dict[str, str]) -> None:
    done = run("--help", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert "policy-abiding" in done.stdout


def test_help_without_stdin_or_into_a_closed_or_full_stdout() -> None:
    line = shlex.join(NOTIF_REC)
    shell = [("<&-", 0), (">&-", 0), ("| head -1", 0)] + ([("> /dev/full", 1)] if Path("/dev/full").exists() else [])
    for how, code in shell:
        done = subprocess.run(
            ["bash", "-c", f"set -o pipefail; {line} --help {how}"], capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == code, (how, done.stderr)
        assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert "disk is full" in done.stderr


def test_no_help_page_imports_anything_heavy() -> None:
    heavy = "{'duckdb', 'pyarrow', 'numpy', 'scipy', 'implicit', 'numba', 'pydantic', 'yaml', 'rich'}"
    code = f"""if True:
        import sys
        from notif_rec.cli.main import COMMANDS, main
        main(['--help'])
        print([name for name in sys.modules if name.startswith('notif_rec.cli.') and name.split('.')[2] in COMMANDS])
        for name in COMMANDS:
            assert main([name, '--help']) == 0, name
        print([name for name in sys.modules if name.split('.')[0] in {heavy} or 'workflows' in name])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("[")] == ["[]", "[]"]


def test_a_store_path_that_is_no_text_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yml").write_text("version: 1\n")
    assert frame.main(["status", "-c", str(tmp_path / "c.yml"), "--store", os.fsdecode(b"st\xffre")]) == 78
    assert "is not text in UTF-8\n  fix: name another folder" in capsys.readouterr().err
