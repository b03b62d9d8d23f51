"""What a user's history weighs at a moment: fading sums of earlier sends, runs of ignored ones, and how the sender chose till then."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from notif_rec.scoring.fatigue import DAY_US

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
RECENT_US = 7 * DAY_US
VISIT = -1  # the channel of an answer that no message caused
RUN_LEVELS, RECENT_LEVELS, AGE_LEVELS = 11, 4, 3
CELLS = RUN_LEVELS * RECENT_LEVELS * AGE_LEVELS


def fatigue_before(
    start: IntArray, at_us: IntArray, channel: npt.NDArray[np.integer[Any]], asked_start: IntArray, asked_us: IntArray,
    half_life_us: float, n_channels: int,
) -> FloatArray:  # fmt: skip
    """(n_asked, n_channels): F by the channel that tires, Σ over a user's sends before each asked moment of 2^(−age / half_life).

    start, asked_start: where each user's sends and moments begin, one entry more than users; both ascend in time within a user.
    A send at the very moment does not count. Nothing else goes in, so a row made for training equals the one made for a plan.
    """
    load, slope = (np.empty((len(asked_us), n_channels)) for _ in range(2))
    _fade(start, at_us, np.asarray(channel, np.int64), asked_start, asked_us, half_life_us, load, slope)
    return load


def fatigue_and_slope(
    start: IntArray, at_us: IntArray, channel: IntArray, asked_start: IntArray, asked_us: IntArray, half_life_us: float, n_channels: int
) -> tuple[FloatArray, FloatArray]:
    """`fatigue_before`, and its derivative by the logarithm of the half-life."""
    load, slope = (np.empty((len(asked_us), n_channels)) for _ in range(2))
    _fade(start, at_us, channel, asked_start, asked_us, half_life_us, load, slope)
    return load, slope


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fade(start: Any, at_us: Any, channel: Any, asked_start: Any, asked_us: Any, half_life: float, load: Any, slope: Any) -> None:
    rate, n_channels = np.log(2.0) / half_life, load.shape[1]
    now, moved = np.zeros(n_channels), np.zeros(n_channels)
    for u in range(len(start) - 1):
        i, last = start[u], np.int64(0)
        now[:] = 0.0
        moved[:] = 0.0
        for a in range(asked_start[u], asked_start[u + 1]):
            while i < start[u + 1] and at_us[i] < asked_us[a]:
                _age(now, moved, (at_us[i] - last) * rate)
                last = at_us[i]
                now[channel[i]] += 1.0
                i += 1
            _age(now, moved, (asked_us[a] - last) * rate)
            last = asked_us[a]
            for c in range(n_channels):
                load[a, c], slope[a, c] = now[c], moved[c]


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _age(now: Any, moved: Any, by: float) -> None:
    """Lets sums of e^(−age) and of age · e^(−age) grow older by `by` (in units of half_life / ln 2)."""
    left = np.exp(-by)
    for c in range(len(now)):
        moved[c] = (moved[c] + now[c] * by) * left
        now[c] *= left


def past_choices(
    start: IntArray, at_us: IntArray, heard_start: IntArray, heard_us: IntArray, visit: npt.NDArray[np.bool_], end_us: IntArray
) -> tuple[IntArray, FloatArray, IntArray, npt.NDArray[np.float32]]:
    """What was known of a user at each send on one channel, and how long the user was in each state of being known.

    start, at_us: sends on the channel by user. heard_*: opens, clicks and visits that end a run of ignored sends; visit: those that no
    message caused. end_us: (n_users,) the channel was open to the user until then.
    Returns per send: ignored in a row (24 h without an answer), visits in the 7 days before, cell of the state (-1 for a user's first
    send); and (n_users, CELLS) days spent in each cell from the first send on. A cell is (ignored in a row, answers of the last 7
    days, time since the last send).
    """
    n = len(at_us)
    run, cell = np.zeros(n, np.int64), np.full(n, -1, np.int64)
    visits, days = np.zeros(n), np.zeros((len(start) - 1, CELLS), np.float32)
    _walk(start, at_us, heard_start, heard_us, visit, end_us, run, visits, cell, days)
    return run, visits, cell, days


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _cell(run: int, recent: int, age_us: int) -> int:
    level = min(run, RUN_LEVELS - 1)
    age = 0 if age_us < DAY_US else 1 if age_us < 3 * DAY_US else 2
    return (level * RECENT_LEVELS + min(recent, RECENT_LEVELS - 1)) * AGE_LEVELS + age


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _walk(
    start: Any, at_us: Any, heard_start: Any, heard_us: Any, visit: Any, end_us: Any, run: Any, visits: Any, cell: Any, days: Any
) -> None:
    """Goes from change to change: a send, its judgement a day later, an answer, its end after a week, the end."""
    for u in range(len(start) - 1):
        first, after = start[u], start[u + 1]
        send, judged, heard, gone = first, first, heard_start[u], heard_start[u]
        ignored, recent, calls, answer = 0, 0, 0, np.int64(-1) << np.int64(62)
        now = prev = np.int64(-1) << np.int64(61)
        while send < after or now < end_us[u]:
            change, kind = end_us[u] if send == after else at_us[send], 0
            if judged < send and at_us[judged] + DAY_US <= change:
                change, kind = at_us[judged] + DAY_US, 1
            if heard < heard_start[u + 1] and heard_us[heard] < change:
                change, kind = heard_us[heard], 2
            if gone < heard and heard_us[gone] + RECENT_US <= change:
                change, kind = heard_us[gone] + RECENT_US, 3
            if send > first:
                for edge in (prev + DAY_US, prev + 3 * DAY_US, change):
                    upto = min(edge, change, end_us[u])
                    if upto > now:
                        days[u, _cell(ignored, recent, now - prev)] += (upto - now) / DAY_US
                        now = upto
            now = max(now, change)
            if kind == 0 and send < after:
                run[send], visits[send] = ignored, calls
                cell[send] = _cell(ignored, recent, now - prev) if send > first else -1
                prev = now
                send += 1
            elif kind == 1:
                ignored += 1 if at_us[judged] > answer else 0
                judged += 1
            elif kind == 2:
                ignored, recent, calls, answer = 0, recent + 1, calls + visit[heard], heard_us[heard]
                heard += 1
            elif kind == 3:
                recent, calls = recent - 1, calls - visit[gone]
                gone += 1
