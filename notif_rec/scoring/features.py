"""What was known of a user before a moment, as numbers: one row per (user, channel, moment), the same for training and planning.

Nothing here looks at or after the moment: an open that came later is no open yet, and so a row that is built today of a send made last
month is the row that planning saw then. Fields are plain counts, hours and rates, so that people can read them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Ints = npt.NDArray[np.int64]
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
JUDGED_US = DAY_US  # a send without an answer counts as one once this has passed
NEVER = np.iinfo(np.int64).max
LOG, LOGIT, PLAIN = range(3)


class Feature(NamedTuple):
    """sign: +1 where p_open and p_click never fall as it rises, −1 where they never rise, 0 = free. scale: how a linear model takes it.
    words: what it is called before people."""

    name: str
    sign: int
    scale: int
    words: str


FEATURES = (
    Feature("sends", -1, LOG, "sends on the channel in 180 days"),
    Feature("opens", 1, LOG, "opens on the channel in 180 days"),
    Feature("items", -1, LOG, "items sent on the channel in 180 days"),
    Feature("clicks", 1, LOG, "clicks on the channel in 180 days"),
    Feature("sends_1d", -1, LOG, "sends on the channel in a day"),
    Feature("sends_7d", -1, LOG, "sends on the channel in 7 days"),
    Feature("sends_30d", -1, LOG, "sends on the channel in 30 days"),
    Feature("all_sends_1d", -1, LOG, "sends on any channel in a day"),
    Feature("all_sends_7d", -1, LOG, "sends on any channel in 7 days"),
    Feature("all_sends_30d", -1, LOG, "sends on any channel in 30 days"),
    Feature("gap_h", 1, LOG, "hours since the last send on the channel"),
    Feature("all_gap_h", 1, LOG, "hours since the last send on any channel"),
    Feature("fatigue", -1, PLAIN, "fatigue of earlier sends"),
    Feature("ignored", -1, LOG, "sends ignored in a row"),
    Feature("unopened", -1, LOG, "sends unopened in a row"),
    Feature("open_rate", 1, LOGIT, "share opened in 180 days"),
    Feature("open_rate_fast", 1, LOGIT, "share opened of the last few"),
    Feature("open_rate_slow", 1, LOGIT, "share opened of the last dozen"),
    Feature("click_rate", 1, LOGIT, "clicks per item in 180 days"),
    Feature("click_rate_slow", 1, LOGIT, "share clicked of the last dozen"),
    Feature("all_open_rate", 1, LOGIT, "share opened on all channels"),
    Feature("all_click_rate", 1, LOGIT, "clicks per item on all channels"),
    Feature("answer_h", 0, LOG, "hours since the last answer on the channel"),
    Feature("all_answer_h", 0, LOG, "hours since the last answer on any channel"),
    Feature("visit_h", 0, LOG, "hours since the last visit"),
    Feature("visits_1d", 0, LOG, "visits in a day"),
    Feature("visits_7d", 0, LOG, "visits in 7 days"),
    Feature("visits_30d", 0, LOG, "visits in 30 days"),
    Feature("tenure_d", 0, LOG, "days since first known"),
    Feature("provisional", 0, PLAIN, "consent is provisional"),
)
N_FEATURES = len(FEATURES)
SENDS, OPENS, ITEMS, CLICKS = range(4)
SIGNS = np.array([feature.sign for feature in FEATURES], np.int8)
SCALES = np.array([feature.scale for feature in FEATURES], np.int8)


# What sums over a user's sends hold while they are counted; places in the kernel below are those of FEATURES.
FAST, SLOW = 3.0, 12.0  # half-lives, in sends, of the shares of the last few
OPEN_PRIOR, CLICK_PRIOR, FEW_PRIOR = 5.0, 20.0, 1.0  # sends, items and newest sends that a benchmark rate is worth


N_SUMS = 11
(FAST_HITS, FAST_TRIES, SLOW_HITS, SLOW_TRIES, CLICK_HITS, CLICK_TRIES, NEWER, ALL_OPENS, ALL_SENDS, ALL_CLICKS, ALL_ITEMS) = range(N_SUMS)


class History(NamedTuple):
    """Some users' past: user u owns rows start[u] to start[u + 1] of each group, in order of time (µs).

    Sends: opened_us, clicked_us (first open or click, first click; NEVER where none), n_items, blind (a machine opened it, so that
    nobody knows). Clicks: one entry a clicked item of a send. Answers: opens and clicks on a channel. first_us: (n_users,) first known.
    provisional_us: (n_users, n_channels) since when consent is provisional, NEVER where it is not.
    """

    send_start: Ints
    send_us: Ints
    send_channel: npt.NDArray[np.int8]
    n_items: npt.NDArray[np.int32]
    opened_us: Ints
    clicked_us: Ints
    blind: npt.NDArray[np.bool_]
    click_start: Ints
    click_us: Ints
    click_channel: npt.NDArray[np.int8]
    answer_start: Ints
    answer_us: Ints
    answer_channel: npt.NDArray[np.int8]
    visit_start: Ints
    visit_us: Ints
    first_us: Ints
    provisional_us: Ints


class Lens(NamedTuple):
    """What features depend on beside the past. lookback_us: what is older says nothing. benchmarks: (n_channels, 2) rates of opens and
    clicks that thin histories lean on. Sends tire: F(c) = Σ over earlier sends of spill[c′, c] · 2^(−age / half_life_us[c]), c′ the
    channel of the send.
    """

    lookback_us: int
    benchmarks: npt.NDArray[np.float64]
    half_life_us: npt.NDArray[np.float64]
    spill: npt.NDArray[np.float64]


def features_of(
    history: History,
    user: npt.NDArray[np.integer[Any]],
    channel: npt.NDArray[np.integer[Any]],
    moment_us: Ints,
    lens: Lens,
) -> npt.NDArray[np.float32]:
    """(n, N_FEATURES) what was known of each user before each moment, seen from a channel."""
    found = np.zeros((len(user), N_FEATURES), np.float32)
    _fill(history, user.astype(np.int64), channel.astype(np.int64), moment_us, lens, found)
    return found


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _fill(history: Any, user: Any, channel: Any, moment_us: Any, lens: Any, found: Any) -> None:
    sums = np.zeros(N_SUMS)
    for i in range(len(user)):
        u, c, now, row = user[i], channel[i], moment_us[i], found[i]
        since = now - lens.lookback_us
        last, last_any = _answered(history, u, c, now, since)
        last_visit = _visits(history, u, now, since, row)
        sums[:] = 0.0
        _sends(history, u, c, now, max(last, last_visit), lens, sums, row)
        _clicks(history, u, c, now, since, sums, row)
        _rates(sums, lens.benchmarks[c], row)
        row[22], row[23], row[24] = (now - last) / HOUR_US, (now - last_any) / HOUR_US, (now - last_visit) / HOUR_US
        row[28] = max(0, now - history.first_us[u]) / DAY_US
        row[29] = history.provisional_us[u, c] <= now


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _before(start: Any, us: Any, u: int, now: int) -> int:
    """The row after the user's last one before `now`."""
    return int(start[u] + np.searchsorted(us[start[u] : start[u + 1]], now))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _answered(history: Any, u: int, c: int, now: int, since: int) -> tuple[int, int]:
    """When the user last answered on the channel, and on any, before now; `since` where longer ago."""
    last_any = since
    for k in range(_before(history.answer_start, history.answer_us, u, now) - 1, history.answer_start[u] - 1, -1):
        at = history.answer_us[k]
        last_any = max(last_any, at)
        if at <= since:
            break
        if history.answer_channel[k] == c:
            return at, last_any
    return since, last_any


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _visits(history: Any, u: int, now: int, since: int, row: Any) -> int:
    """Counts visits; when the last was, `since` where longer ago."""
    end = _before(history.visit_start, history.visit_us, u, now)
    for k in range(end - 1, history.visit_start[u] - 1, -1):
        if not _count(row, 25, now - history.visit_us[k]):
            break
    return max(since, history.visit_us[end - 1]) if end > history.visit_start[u] else since


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _count(row: Any, place: int, age: int) -> bool:
    """Counts into a day, 7 days and 30 days; whether it is of the last 30."""
    row[place] += age <= DAY_US
    row[place + 1] += age <= 7 * DAY_US
    row[place + 2] += age <= 30 * DAY_US
    return age <= 30 * DAY_US


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _sends(history: Any, u: int, c: int, now: int, answered: int, lens: Any, sums: Any, row: Any) -> None:
    """Everything about the sends before now, from the newest back."""
    row[10] = row[11] = lens.lookback_us / HOUR_US
    for j in range(_before(history.send_start, history.send_us, u, now) - 1, history.send_start[u] - 1, -1):
        age, channel = now - history.send_us[j], history.send_channel[j]
        if age > lens.lookback_us:
            break
        _count(row, 7, age)
        row[11] = min(row[11], age / HOUR_US)
        row[12] += lens.spill[channel, c] * 2.0 ** (-age / lens.half_life_us[c])
        opened, clicked = history.opened_us[j] < now, history.clicked_us[j] < now
        judged = opened or clicked or age >= JUDGED_US
        if judged:
            sums[ALL_ITEMS] += history.n_items[j]
            if not history.blind[j] or opened:
                sums[ALL_SENDS] += 1.0
                sums[ALL_OPENS] += opened
        if channel == c:
            _count(row, 4, age)
            row[10] = min(row[10], age / HOUR_US)
            row[13] += age >= JUDGED_US and history.send_us[j] > answered
            if judged:
                _own(opened, clicked, history.n_items[j], history.blind[j] and not opened, sums, row)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _own(opened: bool, clicked: bool, n_items: int, blind: bool, sums: Any, row: Any) -> None:
    """One judged send on the channel; newer ones were counted before."""
    weight = 2.0 ** (-sums[NEWER] / SLOW)
    sums[CLICK_TRIES] += weight
    sums[CLICK_HITS] += weight * clicked
    sums[NEWER] += 1.0
    row[2] += n_items
    if blind:
        return
    fast, slow = 2.0 ** (-row[0] / FAST), 2.0 ** (-row[0] / SLOW)
    sums[FAST_TRIES] += fast
    sums[FAST_HITS] += fast * opened
    sums[SLOW_TRIES] += slow
    sums[SLOW_HITS] += slow * opened
    row[14] += 1.0 if row[1] == 0.0 and not opened else 0.0
    row[0] += 1.0
    row[1] += opened


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _clicks(history: Any, u: int, c: int, now: int, since: int, sums: Any, row: Any) -> None:
    for k in range(_before(history.click_start, history.click_us, u, now) - 1, history.click_start[u] - 1, -1):
        if history.click_us[k] <= since:
            break
        sums[ALL_CLICKS] += 1.0
        row[3] += history.click_channel[k] == c


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _rates(sums: Any, benchmark: Any, row: Any) -> None:
    opens, clicks = benchmark[0], benchmark[1]
    row[15] = (row[1] + OPEN_PRIOR * opens) / (row[0] + OPEN_PRIOR)
    row[16] = (sums[FAST_HITS] + FEW_PRIOR * opens) / (sums[FAST_TRIES] + FEW_PRIOR)
    row[17] = (sums[SLOW_HITS] + FEW_PRIOR * opens) / (sums[SLOW_TRIES] + FEW_PRIOR)
    row[18] = _share(row[3] + CLICK_PRIOR * clicks, row[2] + CLICK_PRIOR)
    row[19] = (sums[CLICK_HITS] + FEW_PRIOR * clicks) / (sums[CLICK_TRIES] + FEW_PRIOR)
    row[20] = (sums[ALL_OPENS] + OPEN_PRIOR * opens) / (sums[ALL_SENDS] + OPEN_PRIOR)
    row[21] = _share(sums[ALL_CLICKS] + CLICK_PRIOR * clicks, sums[ALL_ITEMS] + CLICK_PRIOR)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _share(hits: float, tries: float) -> float:
    """A ratio of at most 1: a click in the window may answer a send from before it."""
    return min(hits / tries, 1.0)
