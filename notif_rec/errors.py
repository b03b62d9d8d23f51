"""Every failure that a user can meet: what is wrong, where, and how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class NotifRecError(Exception):
    """A handled failure: `problem` says place and value, `fix` says what to do about it."""

    exit_code = 1

    def __init__(self, problem: str, fix: str = "") -> None:
        super().__init__(problem, fix)  # positional, so that it survives a process boundary
        self.problem = problem
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.problem}\n  fix: {self.fix}" if self.fix else self.problem


class UsageError(NotifRecError):
    """The command line asks for something that does not exist."""

    exit_code = 2


class DataError(NotifRecError):
    """Data, a guard or a check failed; nothing was published."""

    exit_code = 3


class BugError(NotifRecError):
    """An invariant of ours is broken: never the user's fault."""

    exit_code = 70


class TryAgainError(NotifRecError):
    """Another run holds the lock, or the plan is stale."""

    exit_code = 75


class ConfigError(NotifRecError):
    """The config, or the environment, is refused."""

    exit_code = 78


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the nearest known word, or an empty text."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.5)
    return f"; did you mean '{near[0]}'?" if near else ""
