"""What a failure looks like: `error:` and `fix:` on stderr, one JSON object with --json, and the exit code."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import click

from notif_rec.errors import NotifRecError

STOPPED, PIPE_CLOSED = 130, 0
QUERY_STOPPED = "Query interrupted"  # so DuckDB tells a signal that came while it was at work
TRUE_WORDS = {"1", "true", "t", "yes", "y", "on"}


@dataclass(frozen=True)
class Failure:
    """A failure as it is told."""

    problem: str
    fix: str
    exit_code: int

    def to_json(self) -> dict[str, object]:
        """The one object that --json prints."""
        return {"error": self.problem, "fix": self.fix, "exit_code": self.exit_code}


def make_streams_lenient() -> None:
    """Lets stdout and stderr escape what their encoding cannot hold."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def flush_stdout() -> None:
    """Pushes out what is buffered."""
    if sys.stdout is not None:
        sys.stdout.flush()


def asked(arguments: Sequence[str], flag: str, variable: str) -> bool:
    """Whether the flag stands in the line or its variable is on, even where the line could not be parsed."""
    line = arguments[: list(arguments).index("--")] if "--" in arguments else arguments
    return flag in line or os.environ.get(variable, "").lower() in TRUE_WORDS


def report_failure(error: BaseException, arguments: Sequence[str]) -> int:
    """Tells `error` and returns the exit code; a reader that went away is no failure."""
    if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        _let_go_of_stdout()
        return PIPE_CLOSED
    if isinstance(error, SystemExit | click.exceptions.Exit):
        code = error.exit_code if isinstance(error, click.exceptions.Exit) else error.code
        return code if isinstance(code, int) else 0 if code is None else 1
    debug = asked(arguments, "--debug", "NOTIF_REC_DEBUG")
    if debug:
        traceback.print_exception(error)
    failure = describe(error)
    _tell(failure, as_json=asked(arguments, "--json", "NOTIF_REC_JSON"))
    return failure.exit_code


def describe(error: BaseException) -> Failure:
    """What to tell of any exception: ours as it is, the machine's in plain words, the rest as a bug."""
    if isinstance(error, NotifRecError):
        return Failure(error.problem, error.fix, error.exit_code)
    if isinstance(error, KeyboardInterrupt | click.Abort) or str(error) == QUERY_STOPPED:
        return Failure("stopped", "run the same command again: it takes up where this one was stopped", STOPPED)
    if isinstance(error, click.ClickException):
        return _usage(error)
    return _machine(error) or Failure(
        f"this is a bug: {type(error).__name__}: {error}", "run it again with --debug and report what it prints", 70
    )


def _usage(error: click.ClickException) -> Failure:
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "notif-rec"
    message = error.format_message().rstrip(".")
    if isinstance(error, click.NoSuchOption) and error.possibilities:
        message = f"no such option '{error.option_name}'; did you mean '{error.possibilities[0]}'?"
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.message + "\n", err=True)
        message = "a command is missing"
    return Failure(message, f"`{path} --help` shows how it is called", error.exit_code)


def _machine(error: BaseException) -> Failure | None:
    """Memory, disk and permissions in plain words, or None."""
    duckdb = sys.modules.get("duckdb")
    if isinstance(error, MemoryError) or (duckdb and isinstance(error, duckdb.OutOfMemoryException)):
        return Failure(f"out of memory ({error})" if str(error) else "out of memory", "try --jobs 1, or give it more memory", 1)
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return Failure("the store is busy: another process holds its catalogue", "run it again in a moment", 75)
    text = str(error)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or (
        "No space left on device" in text or "database or disk is full" in text
    )
    if full:
        return Failure("the disk is full", "free some space and run it again: nothing was half-written", 1)
    if isinstance(error, OSError) and error.strerror:
        where = f"{os.fsdecode(error.filename)}: " if error.filename is not None else ""
        return Failure(f"{where}{error.strerror}", "check the path and its permissions", 1)
    return None


def _tell(failure: Failure, *, as_json: bool) -> None:
    fix = f"\n  fix: {failure.fix}" if failure.fix else ""
    with suppress(OSError, ValueError):  # a closed stderr must not hide the exit code
        click.echo(f"error: {failure.problem}{fix}", err=True)
    if as_json:
        with suppress(OSError, ValueError):
            click.echo(json.dumps(failure.to_json()))


def _let_go_of_stdout() -> None:
    """stdout to nowhere, so that the interpreter's last flush finds no closed pipe."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
