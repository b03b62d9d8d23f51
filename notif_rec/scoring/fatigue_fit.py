"""How a channel's users tire, from what became of past sends: half-life, strengths by channel, the effect of ignored sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.fatigue import ChannelFatigue, Estimate, FatigueCurve, Written
from notif_rec.scoring.fatigue_likelihood import FURTHER, HALF_LIFE, LINK, SHAPE, SPREAD, Rows, likelihood
from notif_rec.scoring.fatigue_state import CELLS, DAY_US, VISIT, fatigue_and_slope, past_choices

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST_ROWS = 500_000  # of a channel, whole users; more moves no digit that anybody reads
FEWEST_ANSWERS = 20
LONGEST_RUN = 10  # ignored sends in a row beyond which more change nothing
SHORTEST_US, LONGEST_US = 0.02 * DAY_US, 60.0 * DAY_US
# One standard deviation of what is believed beforehand around the config's values: a factor e of the half-life, …
HALF_LIFE_SD, OWN_SD, OTHER_SD, IGNORED_SD, CONTROL_SD, LINK_SD, SHAPE_SD = 1.0, 0.5, 0.25, 0.25, 1.0, 1.0, 2.0
CLOSE, PASSES = 1e-4, 40
AT_95 = 1.959963984540054


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


def fit_fatigue(channels: Sequence[str], history: SendHistory, written: Sequence[Written]) -> FatigueCurve:
    """The curve of every channel. written: what the config says, one a channel, to which thin data is shrunk."""
    n_users = len(history.start) - 1
    tastes = np.zeros((n_users, len(channels)))
    for at in range(len(channels)):
        known = history
        mine = np.flatnonzero((known.channel == at) & known.judged)
        answers = int(known.answered[mine].sum())
        if min(answers, len(mine) - answers) < FEWEST_ANSWERS: continue
        problem = _Problem(known, at, len(channels), written[at], answers / len(mine), tastes[:, :0])
        problem.climb(problem.begin(), np.ones(problem.n, np.bool_))
        tastes[:, at] = problem.modes
    return FatigueCurve(tuple(channels), tuple(_fit_channel(at, channels, history, written[at], tastes) for at in range(len(channels))))


def _fit_channel(target: int, channels: Sequence[str], history: SendHistory, written: Written, tastes) -> ChannelFatigue:
    known = history
    mine = np.flatnonzero((known.channel == target) & known.judged)
    answers = int(known.answered[mine].sum())
    unknown = ChannelFatigue.believed(channels, target, written, len(mine), answers, HALF_LIFE_SD, OWN_SD, OTHER_SD, IGNORED_SD)
    if min(answers, len(mine) - answers) < FEWEST_ANSWERS:
        return unknown
    problem = _Problem(known, target, len(channels), written, answers / len(mine), np.delete(tastes, target, axis=1))
    best = problem.climb(problem.begin(), np.ones(problem.n, np.bool_))
    rate = 1.0 - answers / len(mine)  # a logit's slope, as a share of a probability

    def share(place: int) -> Estimate:
        return problem.interval(best, place).mapped(lambda slope: 1.0 - float(np.exp(-slope * rate)))

    return replace(
        unknown,
        half_life_us=problem.interval(best, problem.half_life).mapped(lambda log: float(np.exp(log))),
        strength=tuple(share(problem.first + source) for source in range(len(channels))),
        ignored=share(problem.first + len(channels)),
        spread=float(np.exp(best.theta[problem.p + SPREAD])),
        fitted=True,
    )


@dataclass(frozen=True)
class _Point:
    """Parameters, the penalised log-likelihood there, its gradient and information."""

    theta: FloatArray
    total: float
    gradient: FloatArray
    information: FloatArray


class _Problem:
    """One channel's likelihood, leaning on what is believed beforehand."""

    def __init__(self, history: SendHistory, target: int, n_channels: int, written: Written, rate: float, tastes: FloatArray) -> None:
        self.history, self.n_channels, of = history, n_channels, history.channel == target
        start, run, visits, self.sent, self.expected = choices(history, target)
        favour = [favours(*choices(history, other)[3:]) for other in range(n_channels) if other != target]
        favour += [t - t.mean() for t in tastes.T]
        judged = history.judged[of]
        self.start, self.asked_us = _starts(start, judged), history.at_us[of][judged]
        self.channel = history.channel.astype(np.int64)
        user = np.repeat(np.arange(len(start) - 1), np.diff(start))[judged]
        controls = [np.ones(judged.sum()), _centred(np.log1p(visits[judged])), *history.control[of][judged].T, *(f[user] for f in favour)]
        self.expected = self.expected * np.exp(_regressed(self.sent, self.expected, np.array(favour).T))
        self.first = len(controls)
        streak = -np.minimum(run[judged], LONGEST_RUN).astype(np.float64)
        self.x = np.column_stack([*controls, np.zeros((len(self.asked_us), n_channels)), streak])
        self.p, self.answered = self.x.shape[1], history.answered[of][judged].astype(np.uint8)
        self.half_life, self.n = self.p + HALF_LIFE, self.p + FURTHER
        self.modes, self.written, self.rate = np.zeros(len(start) - 1), written, rate
        self.mean, self.sd = self._beliefs(target)

    def _beliefs(self, target: int) -> tuple[FloatArray, FloatArray]:
        """Where the parameters are believed to lie, inf where nothing is."""
        mean, sd = np.zeros(self.n), np.full(self.n, np.inf)
        sd[1 : self.first] = CONTROL_SD
        strength = slice(self.first, self.first + self.n_channels)
        mean[strength], sd[strength] = self.written.slopes(self.rate), OTHER_SD
        sd[self.first + target], sd[self.first + self.n_channels] = OWN_SD, IGNORED_SD
        mean[self.half_life], sd[self.half_life] = np.log(self.written.half_life_us), HALF_LIFE_SD
        sd[self.p + LINK], mean[self.p + SHAPE], sd[self.p + SHAPE] = LINK_SD, 1.0, SHAPE_SD
        sd[self.p + SPREAD] = 1.0
        return mean, sd

    def begin(self) -> FloatArray:
        """Where the search starts."""
        theta = self.mean.copy()
        theta[0], theta[self.p + LINK] = np.log(self.rate / (1.0 - self.rate)), 0.1
        return theta

    def at(self, theta: FloatArray) -> _Point:
        """The penalised likelihood at some parameters."""
        half_life, own = float(np.exp(theta[self.half_life])), slice(self.first, self.first + self.n_channels)
        past = self.history
        load, slope = fatigue_and_slope(past.start, past.at_us, self.channel, self.start, self.asked_us, half_life, self.n_channels)
        self.x[:, own] = -load
        rows = Rows(self.start, self.answered, self.x, -(slope @ theta[own]), self.sent, self.expected, self.modes)
        total, gradient, information = likelihood(rows, theta)
        away, tight = theta - self.mean, self.sd**-2.0
        return _Point(theta, total - 0.5 * float(away**2 @ tight), gradient - away * tight, information + np.diag(tight))

    def climb(self, theta: FloatArray, free: BoolArray) -> _Point:
        """The top over the free parameters, by Newton's method with halved steps; information made positive where it is not."""
        here, at = self.at(theta), np.flatnonzero(free)
        for _ in range(PASSES):
            step = _newton(here.information[np.ix_(at, at)], here.gradient[at])
            if here.gradient[at] @ step < CLOSE:
                break
            size = 1.0
            while True:
                moved = here.theta.copy()
                moved[at] += size * step
                moved[self.half_life] = np.clip(moved[self.half_life], np.log(SHORTEST_US), np.log(LONGEST_US))
                there = self.at(moved)
                if there.total > here.total - 1e-9 or size < 1e-3:
                    break
                size *= 0.5
            if there.total <= here.total:
                break
            here = there
        return here

    def interval(self, best: _Point, place: int) -> Estimate:
        """95 % by the profile: where the penalised log-likelihood, highest over all others, lies 1.92 below its top."""
        ends = [self._edge(best, place, side) for side in (-1.0, 1.0)]
        return Estimate(float(best.theta[place]), *ends)

    def _edge(self, best: _Point, place: int, side: float) -> float:
        """Follows the ridge; the signed root of the drop is nearly straight, so that secants find the edge in a few steps."""
        free = np.ones(self.n, np.bool_)
        free[place] = False
        at = np.flatnonzero(free)
        lean = -_newton(best.information[np.ix_(at, at)], best.information[at, place])
        error = 1.0 / np.sqrt(max(best.information[place, place] + best.information[place, at] @ lean, 1e-12))
        step, theta = side * AT_95 * error, best.theta
        for _ in range(6):
            guess = theta.copy()
            guess[place], guess[at] = best.theta[place] + step, theta[at] + lean * (best.theta[place] + step - theta[place])
            there = self.climb(guess, free)
            root = np.sqrt(max(2.0 * (best.total - there.total), 1e-12))
            if abs(root - AT_95) < 0.02:
                break
            step, theta = step * min(max(AT_95 / root, 0.3), 3.0), there.theta
        return float(best.theta[place] + step)


def _newton(information: FloatArray, gradient: FloatArray) -> FloatArray:
    """A step uphill, no parameter by more than 1."""
    values, vectors = np.linalg.eigh(information)
    step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-9 * values.max()))
    return np.asarray(step / max(1.0, float(np.abs(step).max())))


def choices(history: SendHistory, channel: int) -> tuple[IntArray, IntArray, FloatArray, FloatArray, FloatArray]:
    """Starts of a channel's sends, and per send the ignored run and visits before it; per user the sends after the first and the expected ones."""
    of, heard = history.channel == channel, (history.heard_channel == channel) | (history.heard_channel == VISIT)
    start = _starts(history.start, of)
    run, visits, cell, days = past_choices(
        start, history.at_us[of], _starts(history.heard_start, heard), history.heard_us[heard],
        history.heard_channel[heard] == VISIT, np.ascontiguousarray(history.end_us[:, channel]),
    )  # fmt: skip
    return start, run, visits, *expected_sends(start, cell, days)


def favours(sent: FloatArray, expected: FloatArray) -> FloatArray:
    """Log of how much more each user is sent than the sender's habits explain, shrunk (Gamma-Poisson by moments), about 0."""
    strength = float(np.clip((expected**2).sum() / max(((sent - expected) ** 2 - sent).sum(), 1e-9), 0.05, 1000.0))
    return _centred(np.log((sent + strength) / (expected + strength)))


def _regressed(sent: FloatArray, expected: FloatArray, favour: FloatArray) -> FloatArray:
    """What other channels' favours say of a user's log rate on this one, by Poisson regression."""
    if not favour.size:
        return np.zeros(len(sent))
    x, beta = np.column_stack([np.ones(len(sent)), favour]), np.zeros(favour.shape[1] + 1)
    for _ in range(PASSES):
        mean = expected * np.exp(np.clip(x @ beta, -5.0, 5.0))
        step = _newton(x.T @ (x * mean[:, None]) + 1e-6 * np.eye(len(beta)), x.T @ (sent - mean))
        beta += step
        if np.abs(step).max() < CLOSE:
            break
    return np.asarray(x @ beta)


def expected_sends(start: IntArray, cell: IntArray, days: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
    """Per user the sends after the first, and how many the sender's habits explain: days in each cell × the rate there.

    Rates by cell and the users' own factors are found in turn, factors shrunk (Gamma-Poisson), so that a rate is what the same users
    get in one state rather than another.
    """
    user = np.repeat(np.arange(len(start) - 1), np.diff(start))
    later = cell >= 0
    sent = np.bincount(user[later], minlength=len(start) - 1).astype(np.float64)
    in_cell = np.bincount(cell[later], minlength=CELLS).astype(np.float64) + 0.5
    spent = days.sum(axis=0, dtype=np.float64)
    even = in_cell.sum() / max(spent.sum(), 1.0)
    rate, strength = in_cell / (spent + 0.5 / even), 2.0
    for _ in range(200):
        expected = days @ rate
        factor = (sent + strength) / (expected + strength)
        strength = float(np.clip((expected**2).sum() / max(((sent - expected) ** 2 - sent).sum(), 1e-9), 0.05, 1000.0))
        new = in_cell / (factor @ days + 0.5 / even)
        moved, rate = np.abs(np.log(new / rate)).max(), new
        if moved < 1e-3:
            break
    return sent, days @ rate


def _first_users(history: SendHistory, target: int) -> SendHistory:
    """The first users that have MOST_ROWS judged sends on a channel; all of them where there are not so many."""
    per_user = np.diff(_starts(history.start, (history.channel == target) & history.judged))
    n = int(np.searchsorted(np.cumsum(per_user), MOST_ROWS)) + 1
    if n >= len(history.start) - 1:
        return history
    sends, heard = int(history.start[n]), int(history.heard_start[n])
    cut = {name: getattr(history, name)[:sends] for name in ("at_us", "channel", "judged", "answered", "control")}
    told = {name: getattr(history, name)[:heard] for name in ("heard_us", "heard_channel")}
    starts = {name: getattr(history, name)[: n + 1] for name in ("start", "heard_start")}
    return replace(history, **cut, **told, **starts, end_us=history.end_us[:n])


def _starts(start: IntArray, kept: BoolArray) -> IntArray:
    """Where each user's entries begin once only `kept` ones are left."""
    return np.concatenate(([0], np.cumsum(kept)))[start].astype(np.int64)


def _centred(values: FloatArray) -> FloatArray:
    return values - values.mean() if len(values) else values
