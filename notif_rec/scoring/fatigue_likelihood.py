"""The likelihood of a channel's past: who answered which send, and how many sends each user got, given how the sender chose.

Users differ: user i answers with logit p = x'β + σu and is sent to at e^(a + ρu) times the rate that the sender's habits explain, times a
Gamma of shape k, with one u ~ N(0, width²) for both. So a sender who favours active users, or backs off from those who ignore, bends
no estimate: the outcomes' and the sends' likelihoods are multiplied under one integral over u.
Sources: Heckman, "The incidental parameters problem …" (1981) for the bias without it; Wooldridge, J. Appl. Econometrics 20 (2005);
adaptive Gauss-Hermite quadrature: Pinheiro & Bates, J. Comp. Graph. Stat. 4 (1995); information: Louis, JRSS B 44 (1982).
"""

from __future__ import annotations

from math import lgamma
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
FURTHER = 5  # parameters after the coefficients: log half-life, log σ, a, ρ, log k
HALF_LIFE, SPREAD, LEVEL, LINK, SHAPE = range(FURTHER)  # their places after the coefficients
TIGHT = FURTHER  # after them, of a user: one over width²
NODES = 7
STEPS, NEAR = 20, 1e-3  # of the search for the mode of a user's u


class Rows(NamedTuple):
    """The answered and unanswered sends of a channel by user.

    x: (n, p) features; slope: (n,) derivative of x'β by the log half-life. sent, expected: (n_users,) sends after the first, and how
    many the sender's habits explain. width: (n_users,) standard deviation of each user's u, about 1. modes, curves: (n_users,) scratch,
    where each user's u was last found and how firmly (one over its variance).
    """

    start: IntArray
    answered: npt.NDArray[np.uint8]
    x: FloatArray
    slope: FloatArray
    sent: FloatArray
    expected: FloatArray
    width: FloatArray
    modes: FloatArray
    curves: FloatArray


def likelihood(rows: Rows, theta: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Log-likelihood, gradient and observed information of the parameters (β, log half-life, log σ, a, ρ, log k)."""
    p = rows.x.shape[1]
    nodes, weights = np.polynomial.hermite.hermgauss(NODES)
    gradient, information = np.zeros(p + FURTHER), np.zeros((p + FURTHER, p + FURTHER))
    log_weights = np.log(weights) + nodes**2 - 0.5 * np.log(np.pi)
    total = _sum_users(rows, theta, p, np.sqrt(2.0) * nodes, log_weights, gradient, information)
    return total, gradient, np.asarray(information + np.tril(information, -1).T)


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _sum_users(rows: Any, theta: Any, p: int, nodes: Any, log_weights: Any, gradient: Any, information: Any) -> float:
    """Adds up users; fills the gradient and the lower half of the information."""
    longest, n_nodes, total = 1, len(nodes), 0.0
    for user in range(len(rows.start) - 1):
        longest = max(longest, rows.start[user + 1] - rows.start[user])
    odds, u, weight, score = np.empty(longest), np.empty(n_nodes), np.empty(n_nodes), np.empty((n_nodes, p + FURTHER))
    habit = np.empty(FURTHER + 1)
    habit[SPREAD], habit[LINK], habit[SHAPE] = np.exp(theta[p + SPREAD]), theta[p + LINK], np.exp(theta[p + SHAPE])
    for user in range(len(rows.start) - 1):
        low, high = rows.start[user], rows.start[user + 1]
        if low == high:
            continue
        habit[LEVEL] = rows.expected[user] * np.exp(theta[p + LEVEL])
        said, line = 0.0, 0.0
        for r in range(low, high):
            eta = 0.0
            for j in range(p):
                eta += rows.x[r, j] * theta[j]
            odds[r - low] = np.exp(min(max(eta, -30.0), 30.0))
            said += rows.answered[r]
            line += rows.answered[r] * eta
        own = odds[: high - low]
        habit[TIGHT] = rows.width[user] ** -2.0
        rows.modes[user], rows.curves[user] = _mode(own, said, rows.sent[user], habit, rows.modes[user])
        total += _weigh(own, said, line, rows.sent[user], habit, rows.modes[user], rows.curves[user], nodes, log_weights, u, weight)
        score[:] = 0.0
        _of_answers(rows, low, high, own, habit[SPREAD], u, weight, score, information, p)
        _of_sends(rows.sent[user], habit, u, weight, score, information, p)
        _louis(weight, score, gradient, information)
    return total


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _mode(odds: Any, said: float, sent: float, habit: Any, u: float) -> tuple[float, float]:
    """The u at which a user's past is likeliest, by Newton's method, and the curvature there."""
    spread, expected, link, shape, curve = habit[SPREAD], habit[LEVEL], habit[LINK], habit[SHAPE], 1.0
    for _ in range(STEPS):
        e, hoped, varied = np.exp(spread * u), 0.0, 0.0
        for w in odds:
            chance = w * e / (1.0 + w * e)
            hoped += chance
            varied += chance * (1.0 - chance)
        slope, curve = spread * (said - hoped) - u * habit[TIGHT], spread * spread * varied + habit[TIGHT]
        if expected > 0.0:
            share = expected * np.exp(link * u)
            share /= shape + share
            slope += link * (sent - (sent + shape) * share)
            curve += link * link * (sent + shape) * share * (1.0 - share)
        u += min(max(slope / curve, -2.0), 2.0)
        if abs(slope) < NEAR * curve:
            break
    return u, curve


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _weigh(
    odds: Any, said: float, line: float, sent: float, habit: Any, mode: float, curve: float, nodes: Any, log_weights: Any, u: Any,
    weight: Any,
) -> float:  # fmt: skip
    """Fills the nodes of a user and what each weighs; returns the log of the integral."""
    spread, expected, link, shape, top = habit[SPREAD], habit[LEVEL], habit[LINK], habit[SHAPE], -np.inf
    fixed = 0.5 * np.log(habit[TIGHT])
    if expected > 0.0:
        fixed += lgamma(sent + shape) - lgamma(shape) - lgamma(sent + 1.0) + shape * np.log(shape) + sent * np.log(expected)
    for k in range(len(nodes)):
        u[k] = mode + nodes[k] / np.sqrt(curve)
        e, logs, product = np.exp(spread * u[k]), 0.0, 1.0
        for w in odds:
            product *= 1.0 + w * e
            if product > 1e200:  # one logarithm for many factors
                logs += np.log(product)
                product = 1.0
        weight[k] = line + said * spread * u[k] - logs - np.log(product) - 0.5 * habit[TIGHT] * u[k] * u[k] + log_weights[k] + fixed
        if expected > 0.0:
            weight[k] += sent * link * u[k] - (sent + shape) * np.log(shape + expected * np.exp(link * u[k]))
        top = max(top, weight[k])
    total = 0.0
    for k in range(len(nodes)):
        weight[k] = np.exp(weight[k] - top)
        total += weight[k]
    for k in range(len(nodes)):
        weight[k] /= total
    return float(top + np.log(total) - 0.5 * np.log(curve))


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _of_answers(
    rows: Any, low: int, high: int, odds: Any, spread: float, u: Any, weight: Any, score: Any, information: Any, p: int
) -> None:
    """Adds a user's answers to the scores at each node and to the information."""
    factor, n_nodes = np.exp(spread * u), len(u)
    for r in range(low, high):
        plain, once, twice = 0.0, 0.0, 0.0
        for k in range(n_nodes):
            chance = odds[r - low] * factor[k] / (1.0 + odds[r - low] * factor[k])
            left, heavy, su = rows.answered[r] - chance, weight[k] * chance * (1.0 - chance), spread * u[k]
            for j in range(p):
                score[k, j] += left * rows.x[r, j]
            score[k, p + HALF_LIFE] += left * rows.slope[r]
            score[k, p + SPREAD] += left * su
            plain += heavy
            once += heavy * su
            twice += heavy * su * su
        for j in range(p):
            for i in range(j + 1):
                information[j, i] += plain * rows.x[r, j] * rows.x[r, i]
            information[p + HALF_LIFE, j] += plain * rows.x[r, j] * rows.slope[r]
            information[p + SPREAD, j] += once * rows.x[r, j]
        information[p + HALF_LIFE, p + HALF_LIFE] += plain * rows.slope[r] * rows.slope[r]
        information[p + SPREAD, p + HALF_LIFE] += once * rows.slope[r]
        information[p + SPREAD, p + SPREAD] += twice
    for k in range(n_nodes):  # log σ bends the line itself
        information[p + SPREAD, p + SPREAD] -= weight[k] * score[k, p + SPREAD]


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _of_sends(sent: float, habit: Any, u: Any, weight: Any, score: Any, information: Any, p: int) -> None:
    """Adds how many sends a user got: negative binomial with mean expected · e^(ρu)."""
    expected, link, shape = habit[LEVEL], habit[LINK], habit[SHAPE]
    if expected <= 0.0:
        return
    known = _digamma(sent + shape) - _digamma(shape) + np.log(shape) + 1.0
    mean_shape = 0.0
    for k in range(len(u)):
        mean = expected * np.exp(link * u[k])
        share = mean / (shape + mean)
        beyond, varied = sent - (sent + shape) * share, weight[k] * (sent + shape) * share * (1.0 - share)
        score[k, p + LEVEL], score[k, p + LINK] = beyond, beyond * u[k]
        score[k, p + SHAPE] = shape * (known - np.log(shape + mean) - (sent + shape) / (shape + mean))
        mean_shape += weight[k] * score[k, p + SHAPE]
        information[p + LEVEL, p + LEVEL] += varied
        information[p + LINK, p + LEVEL] += varied * u[k]
        information[p + LINK, p + LINK] += varied * u[k] * u[k]
        mixed = weight[k] * shape * (share - (sent + shape) * mean / (shape + mean) ** 2)
        information[p + SHAPE, p + LEVEL] += mixed
        information[p + SHAPE, p + LINK] += mixed * u[k]
    information[p + SHAPE, p + SHAPE] += mean_shape * mean_shape
    for k in range(len(u)):  # of the shape, the outer product alone: its second derivative need not be positive
        information[p + SHAPE, p + SHAPE] += weight[k] * (score[k, p + SHAPE] - mean_shape) ** 2


@njit(cache=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator]
def _louis(weight: Any, score: Any, gradient: Any, information: Any) -> None:
    """The gradient is the mean score over u; the information loses the variance of the score."""
    n = score.shape[1]
    for j in range(n):
        mean = 0.0
        for k in range(len(weight)):
            mean += weight[k] * score[k, j]
        gradient[j] += mean
        for k in range(len(weight)):
            score[k, j] -= mean
    for j in range(n):
        for i in range(j + 1):
            for k in range(len(weight)):
                information[j, i] -= weight[k] * score[k, j] * score[k, i]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _digamma(x: float) -> float:
    """ψ(x) for x > 0: recurrence up to 6, then the asymptotic series."""
    total = 0.0
    while x < 6.0:
        total -= 1.0 / x
        x += 1.0
    square = 1.0 / (x * x)
    return float(total + np.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252)))
