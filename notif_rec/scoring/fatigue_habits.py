"""How a sender chose whom to send to, as far as what became of earlier sends explains it: what a fit must know to see past it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.fatigue_state import CELLS, VISIT, past_choices

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
ROUNDS, STILL = 200, 1e-3
WEAKEST, STRONGEST = 0.05, 1000.0  # bounds of the shape of users' own factors
WIDEST = 5.0  # of a log factor


@dataclass(frozen=True)
class SendHistory:
    """Every known send of some users, by user and time.

    start: (n_users + 1,). channel: places in the config. judged: the attribution window is over, so that `answered` is final.
    control: (n_sends, k) what else moves an answer, known before the send, each about 0. heard_*: opens, clicks and visits by user and
    time, VISIT for a channel that is none. end_us: (n_users, n_channels) until when a channel was open to the user.
    """

    start: IntArray
    at_us: IntArray
    channel: npt.NDArray[np.int8]
    judged: BoolArray
    answered: BoolArray
    control: FloatArray
    heard_start: IntArray
    heard_us: IntArray
    heard_channel: npt.NDArray[np.int8]
    end_us: IntArray

    @property
    def n_users(self) -> int:
        return len(self.start) - 1

    def first_users(self, most: int) -> SendHistory:
        """Of the first users, whole, those who make up the first `most` sends."""
        n = int(np.searchsorted(self.start, most))
        if n >= self.n_users:
            return self
        sends, heard = int(self.start[n]), int(self.heard_start[n])
        cut = {name: getattr(self, name)[:sends] for name in ("at_us", "channel", "judged", "answered", "control")}
        told = {name: getattr(self, name)[:heard] for name in ("heard_us", "heard_channel")}
        starts = {name: getattr(self, name)[: n + 1] for name in ("start", "heard_start")}
        return replace(self, **cut, **told, **starts, end_us=self.end_us[:n])


class Habits(NamedTuple):
    """On one channel. start: of its sends by user. run, visits: per send, what was known before it. sent, expected: (n_users,) sends
    after the first, and how many of them the sender's habits explain. favour: log of what is left, shrunk, about 0."""

    start: IntArray
    run: IntArray
    visits: FloatArray
    sent: FloatArray
    expected: FloatArray
    favour: FloatArray


def starts(start: IntArray, kept: BoolArray) -> IntArray:
    """Where each user's entries begin once only `kept` ones are left."""
    return np.concatenate(([0], np.cumsum(kept)))[start].astype(np.int64)


def centred(values: FloatArray) -> FloatArray:
    """`values` less their mean."""
    return values - values.mean() if len(values) else values


def habits_of(history: SendHistory, channel: int) -> Habits:
    """The sender's habits on a channel."""
    of, heard = history.channel == channel, (history.heard_channel == channel) | (history.heard_channel == VISIT)
    start = starts(history.start, of)
    run, visits, cell, days = past_choices(
        start, history.at_us[of], starts(history.heard_start, heard), history.heard_us[heard],
        history.heard_channel[heard] == VISIT, np.ascontiguousarray(history.end_us[:, channel]),
    )  # fmt: skip
    sent, expected = _expected(start, cell, days)
    shape = _shape(sent, expected)
    return Habits(start, run, visits, sent, expected, centred(np.log((sent + shape) / (expected + shape))))


def _expected(start: IntArray, cell: IntArray, days: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Per user the sends after the first, and the days in each cell × the rate there.

    Rates by cell and the users' own factors are found in turn, factors shrunk (Gamma-Poisson), so that a cell's rate is what the same
    users get in one state rather than another.
    """
    user, later = np.repeat(np.arange(len(start) - 1), np.diff(start)), cell >= 0
    sent = np.bincount(user[later], minlength=len(start) - 1).astype(np.float64)
    in_cell = np.bincount(cell[later], minlength=CELLS).astype(np.float64) + 0.5
    spent = days.sum(axis=0, dtype=np.float64)
    even = in_cell.sum() / max(spent.sum(), 1.0)
    rate = in_cell / (spent + 0.5 / even)
    for _ in range(ROUNDS):
        expected = days @ rate
        shape = _shape(sent, expected)
        new = in_cell / (((sent + shape) / (expected + shape)) @ days + 0.5 / even)
        moved, rate = float(np.abs(np.log(new / rate)).max()), new
        if moved < STILL:
            break
    return sent, np.asarray(days @ rate, np.float64)


def _shape(sent: FloatArray, expected: FloatArray) -> float:
    """Shape of the Gamma of users' factors, by the method of moments: Var = E + E²/shape."""
    extra = float(((sent - expected) ** 2 - sent).sum())
    return float(np.clip(float((expected**2).sum()) / max(extra, 1e-9), WEAKEST, STRONGEST))


def explained(sent: FloatArray, expected: FloatArray, known: FloatArray) -> FloatArray:
    """`expected` times what `known`, (n_users, k) columns, say of a user's rate, by Poisson regression."""
    x, beta = np.column_stack([np.ones(len(sent)), known]), np.zeros(known.shape[1] + 1)
    for _ in range(ROUNDS):
        mean = expected * np.exp(np.clip(x @ beta, -WIDEST, WIDEST))
        step = np.linalg.solve(x.T @ (x * mean[:, None]) + 1e-3 * np.eye(len(beta)), x.T @ (sent - mean) - 1e-3 * beta)
        beta += step / max(1.0, float(np.abs(step).max()))
        if np.abs(step).max() < STILL:
            break
    return np.asarray(expected * np.exp(np.clip(x @ beta, -WIDEST, WIDEST)))
