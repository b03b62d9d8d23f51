"""How a channel's users tire, from what became of past sends: half-life, strengths by channel, the effect of ignored sends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.scoring.fatigue import DAY_US, ChannelFatigue, Estimate, FatigueCurve, Written, believed
from notif_rec.scoring.fatigue_habits import Habits, SendHistory, centred, explained, habits_of, starts
from notif_rec.scoring.fatigue_likelihood import FURTHER, HALF_LIFE, LINK, SHAPE, SPREAD, Rows, likelihood
from notif_rec.scoring.fatigue_state import fatigue_and_slope

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MOST_SENDS = 200_000  # whole users; more moves no digit that anybody reads
FEWEST_ANSWERS = 20
LONGEST_RUN = 10  # ignored sends in a row beyond which more change nothing
BOUNDS = np.log(0.02 * DAY_US), np.log(60.0 * DAY_US)  # of the log of a half-life; sends of a few months tell of none beyond
CONTROL_SD, LINK_SD, SHAPE_SD, SPREAD_SD = 1.0, 1.0, 2.0, 1.0  # of what is believed beforehand
CLOSE, CLOSE_TO_RIDGE, PASSES = 1e-4, 5e-3, 40
MOST_TOLD = 0.99  # of a user's variance, by other channels
AT_95, EDGE, TRIES = 1.959963984540054, 0.15, 6


def fit_fatigue(channels: Sequence[str], history: SendHistory, written: Sequence[Written]) -> FatigueCurve:
    """The curve of every channel. written: what the config says, one a channel, to which thin data is shrunk.

    Each channel is fitted again once the others are: what a user's answers there say of that user, and how firmly, is known then.
    """
    history, n = history.first_users(MOST_SENDS), len(channels)
    habits = [habits_of(history, at) for at in range(n)]
    tastes, firmly, spread = np.zeros((history.n_users, n)), np.zeros((history.n_users, n)), np.zeros(n)
    for at in range(n):
        if _enough(history, at):
            problem = _Problem(history, habits, tastes[:, :0], at, written[at])
            spread[at] = problem.climb(problem.begin()).theta[problem.p + SPREAD]
            tastes[:, at], firmly[:, at] = problem.modes, problem.curves - 1.0
    others = [_Known(np.delete(tastes, at, axis=1), np.delete(firmly, at, axis=1).sum(axis=1), float(spread[at])) for at in range(n)]
    fits = [_fit_channel(at, channels, history, habits, others[at], written[at]) for at in range(n)]
    return FatigueCurve(tuple(channels), tuple(fits))


class _Known(NamedTuple):
    """What the other channels say of each user: tastes (n_users, n_channels − 1), and how firmly, in information about N(0, 1); and log σ
    of the channel without them."""

    tastes: FloatArray
    firmly: FloatArray
    spread: float


def _enough(history: SendHistory, channel: int) -> bool:
    answered = history.answered[(history.channel == channel) & history.judged]
    return min(int(answered.sum()), int((~answered).sum())) >= FEWEST_ANSWERS


def _fit_channel(
    target: int, channels: Sequence[str], history: SendHistory, habits: Sequence[Habits], known: _Known, written: Written
) -> ChannelFatigue:
    answered = history.answered[(history.channel == target) & history.judged]
    start = believed(channels, target, written, len(answered), int(answered.sum()))
    if not _enough(history, target):
        return start
    problem = _Problem(history, habits, known.tastes, target, written)
    best = problem.climb(problem.begin())
    if known.firmly.any():
        problem.narrow(known, float(best.theta[problem.p + SPREAD]))
        best = problem.climb(best.theta)

    def share(place: int) -> Estimate:
        """A slope of the logit as a share of a probability at the channel's mean."""
        return problem.interval(best, place).mapped(lambda slope: 1.0 - float(np.exp(-slope * (1.0 - problem.rate))))

    return replace(
        start,
        half_life_us=problem.interval(best, problem.half_life).mapped(lambda log: float(np.exp(np.clip(log, *BOUNDS)))),
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
    """One channel's likelihood, leaning on what is believed beforehand.

    Columns: 1, visits, controls, then what other channels say of the user (favours, tastes, and squares), −F by source, −ignored in a row.
    """

    def __init__(self, history: SendHistory, habits: Sequence[Habits], tastes: FloatArray, target: int, written: Written) -> None:
        self.history, self.channel, self.n_channels, own = history, history.channel.astype(np.int64), len(habits), habits[target]
        of = history.channel == target
        judged = history.judged[of]
        self.start, self.asked_us = starts(own.start, judged), history.at_us[of][judged]
        self.answered = history.answered[of][judged].astype(np.uint8)
        self.rate = float(self.answered.mean())
        others = [centred(t) for t in (*(h.favour for at, h in enumerate(habits) if at != target), *tastes.T)]
        others += [centred(t**2) for t in others]  # those who are sent most like it most, more than in proportion
        self.sent, self.expected = own.sent, explained(own.sent, own.expected, np.array(others).reshape(len(others), len(own.sent)).T)
        self.user = user = np.repeat(np.arange(history.n_users), np.diff(self.start))
        visits = centred(np.log1p(own.visits[judged]))
        controls = [np.ones(len(user)), visits, *history.control[of][judged].T, *(known[user] for known in others)]
        run = np.minimum(own.run[judged], LONGEST_RUN).astype(np.float64)
        self.first = len(controls)
        self.x = np.column_stack([*controls, np.zeros((len(user), self.n_channels)), -run])
        self.p = self.x.shape[1]
        self.half_life, self.n = self.p + HALF_LIFE, self.p + FURTHER
        self.width, self.modes, self.curves = np.ones(history.n_users), np.zeros(history.n_users), np.ones(history.n_users)
        self.mean, self.sd = self._beliefs(target, written)

    def _beliefs(self, target: int, written: Written) -> tuple[FloatArray, FloatArray]:
        """Where the parameters are believed to lie, sd inf where nothing is."""
        mean, sd = np.zeros(self.n), np.full(self.n, np.inf)
        sd[1 : self.first] = CONTROL_SD
        places = slice(self.first, self.first + self.n_channels)
        mean[places], sd[places] = written.slopes(self.rate), written.slope_sd(target)
        sd[self.first + self.n_channels] = written.ignored_sd
        mean[self.half_life], sd[self.half_life] = np.log(written.half_life_us), written.half_life_sd
        sd[self.p + SPREAD], sd[self.p + LINK], mean[self.p + SHAPE], sd[self.p + SHAPE] = SPREAD_SD, LINK_SD, 1.0, SHAPE_SD
        return mean, sd

    def narrow(self, known: _Known, spread: float) -> None:
        """Makes u narrower for users of whom other channels have said more: they leave 1 − R² · firmness of its variance.

        R² is what tastes took from the variance, over their mean firmness. With one width for all, those who are sent little look too much
        like those who are sent a lot, and a half-life comes out a quarter of its error too long.
        """
        firm = known.firmly / (1.0 + known.firmly)
        taken = 1.0 - float(np.exp(2.0 * (spread - known.spread)))
        left = 1.0 - np.clip(taken / max(firm[self.user].mean(), 1e-9), 0.0, MOST_TOLD) * firm
        self.width = np.sqrt(left / left[self.user].mean())

    def begin(self) -> FloatArray:
        """Where the search starts."""
        theta = self.mean.copy()
        theta[0], theta[self.p + LINK] = np.log(self.rate / (1.0 - self.rate)), 0.1
        return theta

    def at(self, theta: FloatArray) -> _Point:
        """The penalised likelihood at some parameters."""
        past, half_life, own = self.history, float(np.exp(theta[self.half_life])), slice(self.first, self.first + self.n_channels)
        load, slope = fatigue_and_slope(past.start, past.at_us, self.channel, self.start, self.asked_us, half_life, self.n_channels)
        self.x[:, own] = -load
        rows = Rows(self.start, self.answered, self.x, -(slope @ theta[own]), self.sent, self.expected, self.width, self.modes, self.curves)
        total, gradient, information = likelihood(rows, theta)
        away, tight = theta - self.mean, self.sd**-2.0
        return _Point(theta, total - 0.5 * float(away**2 @ tight), gradient - away * tight, information + np.diag(tight))

    def climb(self, theta: FloatArray, fixed: int = -1, close: float = CLOSE) -> _Point:
        """The top over all parameters, or over all but one, by Newton's method with halved steps, until one gains less than `close`."""
        here, at = self.at(theta), np.delete(np.arange(self.n), [fixed] if fixed >= 0 else [])
        for _ in range(PASSES):
            step = _newton(here.information[np.ix_(at, at)], here.gradient[at])
            if here.gradient[at] @ step < close:
                break
            size = 1.0
            while True:
                moved = here.theta.copy()
                moved[at] += size * step
                moved[self.half_life] = np.clip(moved[self.half_life], *BOUNDS)
                there = self.at(moved)
                if there.total > here.total or size < 1e-3:
                    break
                size *= 0.5
            here, before = (there if there.total > here.total else here), here.total
            if here.total < before + close:
                break
        return here

    def interval(self, best: _Point, place: int) -> Estimate:
        """95 % by the profile: where the penalised log-likelihood, highest over all others, lies 1.92 below its top."""
        return Estimate(float(best.theta[place]), *(self._edge(best, place, side) for side in (-1.0, 1.0)))

    def _edge(self, best: _Point, place: int, side: float) -> float:
        """Follows the ridge; the root of the drop is nearly straight, so that a few steps in proportion find the edge."""
        at = np.delete(np.arange(self.n), place)
        lean = -np.linalg.lstsq(best.information[np.ix_(at, at)], best.information[at, place], rcond=None)[0]
        error = 1.0 / np.sqrt(max(best.information[place, place] + best.information[place, at] @ lean, 1e-12))
        step, theta = side * AT_95 * error, best.theta
        for _ in range(TRIES):
            guess = theta.copy()
            guess[place], guess[at] = best.theta[place] + step, theta[at] + lean * (best.theta[place] + step - theta[place])
            there = self.climb(guess, fixed=place, close=CLOSE_TO_RIDGE)
            root = np.sqrt(max(2.0 * (best.total - there.total), 1e-12))
            step, theta = step * min(max(AT_95 / root, 0.3), 3.0), there.theta
            if abs(root - AT_95) < EDGE:
                break
        return float(best.theta[place] + step)


def _newton(information: FloatArray, gradient: FloatArray) -> FloatArray:
    """A step uphill even where the likelihood is not curved downwards; no parameter moves by more than 1."""
    values, vectors = np.linalg.eigh(information)
    step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-9 * np.abs(values).max()))
    return np.asarray(step / max(1.0, float(np.abs(step).max())))
