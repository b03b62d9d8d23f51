"""Is a known fatigue curve found again? Worlds of sends with known half-lives and strengths, fitted, and how often the intervals hold.

    python benchmarks/fatigue_recovery.py [--worlds N] [--sends N] [--kind NAME] [--seed S] [--jobs N] [--log FILE]

A world has two channels that tire each other, users who differ, unsubscribes, and a sender who prefers active users, sends more to those
who answered of late and backs off from those who ignore: what a fit must see through. `--kind` changes one thing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage

import numpy as np
from numba import njit

from notif_rec.scoring.fatigue import ChannelFatigue, Written
from notif_rec.scoring.fatigue_fit import fit_fatigue
from notif_rec.scoring.fatigue_habits import SendHistory
from notif_rec.scoring.fatigue_state import DAY_US

Found = tuple[str, float, float, float, float]
CHANNELS = ("push", "email")
HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class World:
    """The truth. base: logit of a fresh user on each channel. slope: (source, target) logit lost per unit of F. spread: of users' logits.

    rate: sends a day. favour: how much more a user one spread above the mean is sent (log). warm: log rate per answer in the last
    week; back_off: log rate lost per ignored send. shape: of a Gamma by which rates differ besides, 0 = not at all.
    mood: spread of a daily mood that moves visits, sends and answers alike. gone: chance to unsubscribe after a send.
    """

    base: tuple[float, float] = (-1.6, -1.0)
    slope: tuple[tuple[float, float], tuple[float, float]] = ((0.5, 0.15), (0.2, 0.35))
    half_life_days: tuple[float, float] = (3.0, 7.0)
    ignored: tuple[float, float] = (0.06, 0.03)
    rate: tuple[float, float] = (0.5, 0.25)
    spread: float = 0.8
    favour: float = 0.4
    warm: float = 0.2
    back_off: float = 0.15
    shape: float = 4.0
    gone: float = 0.0008
    days: int = 120
    people: str = "normal"


KINDS = {
    "usual": World(),
    "fair": World(favour=0.0, warm=0.0, back_off=0.0),  # a sender who looks at nobody
    "favour": World(favour=0.8, warm=0.4, back_off=0.3),  # one who looks hard
    "two kinds": World(people="two"),  # people are of two kinds, not normal
    "skewed": World(people="skewed"),
    "weak": World(slope=((0.15, 0.0), (0.0, 0.1)), half_life_days=(2.0, 4.0)),
}


def simulate(world: World, n_sends: int, seed: int) -> SendHistory:
    """About `n_sends` sends of as many users as that takes."""
    rng = np.random.default_rng(seed)
    users = int(n_sends / (sum(world.rate) * world.days) * 2.6) + 1
    taste = {
        "normal": lambda: rng.normal(0, 1, users),
        "two": lambda: np.where(rng.random(users) < 0.3, 1.53, -0.65),
        "skewed": lambda: rng.exponential(1, users) - 1,
    }[world.people]()
    own = rng.gamma(world.shape, 1 / world.shape, users) if world.shape else np.ones(users)
    most = int(n_sends * 4)
    columns = _live(
        seed, world.days, taste * world.spread, np.exp(world.favour * taste) * own, np.array(world.base), np.array(world.slope),
        np.array(world.half_life_days), np.array(world.ignored), np.array(world.rate), world.warm, world.back_off, world.gone, most,
    )  # fmt: skip
    user, at_us, channel, answered, gone_us = columns
    kept = slice(0, int(np.searchsorted(user, user[min(n_sends, len(user) - 1)])))
    user, at_us, channel, answered = user[kept], at_us[kept], channel[kept], answered[kept]
    n = int(user.max()) + 1
    start, heard = np.searchsorted(user, np.arange(n + 1)), answered
    return SendHistory(
        start=start,
        at_us=at_us,
        channel=channel,
        judged=np.ones(len(user), np.bool_),
        answered=answered,
        control=np.zeros((len(user), 0)),
        heard_start=np.searchsorted(user[heard], np.arange(n + 1)),
        heard_us=at_us[heard] + HOUR_US // 2,
        heard_channel=channel[heard],
        end_us=np.tile(np.minimum(gone_us[:n], world.days * DAY_US)[:, None], (1, 2)),
    )


@njit  # not cached: a script and a test call this module by two names
def _live(seed, days, taste, own, base, slope, half_life, ignored, rate, warm, back_off, gone, most):  # type: ignore[no-untyped-def]
    """Hour by hour: sends by the sender's habits, answers by taste and tiredness, now and then a farewell."""
    np.random.seed(seed)
    n_channels, n = len(base), 0
    user, at, channel = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most, np.int8)
    answered, gone_us = np.zeros(most, np.bool_), np.full(len(taste), np.int64(1) << np.int64(62))
    load = np.zeros((n_channels, n_channels))  # by source and target
    heard, run, recent = np.zeros(n_channels), np.zeros(n_channels, np.int64), np.zeros(n_channels, np.int64)
    fade = 2.0 ** (-1.0 / 24.0 / half_life)
    for u in range(len(taste)):
        load[:] = 0.0
        heard[:] = -1e9
        run[:] = 0
        recent[:] = 0
        judged = old = n  # the next send to be called ignored, and the next answer to be forgotten
        for hour in range(days * 24):
            for target in range(n_channels):
                load[:, target] *= fade[target]
            while judged < n and hour - at[judged] >= 24:
                run[channel[judged]] += at[judged] + 0.5 > heard[channel[judged]]
                judged += 1
            while old < n and hour - at[old] >= 7 * 24:
                recent[channel[old]] -= answered[old]
                old += 1
            for c in range(n_channels):
                pull = warm * min(recent[c], 3) - back_off * min(run[c], 10)
                if n < most and np.random.random() < rate[c] * own[u] * np.exp(pull) / 24.0:
                    logit = base[c] + taste[u] - ignored[c] * min(run[c], 10)
                    for source in range(n_channels):
                        logit -= slope[source, c] * load[source, c]
                    user[n], at[n], channel[n] = u, hour, c
                    answered[n] = np.random.random() < 1.0 / (1.0 + np.exp(-logit))
                    if answered[n]:
                        heard[c], run[c] = hour + 0.5, 0
                        recent[c] += 1
                    load[c, :] += 1.0
                    n += 1
                    if np.random.random() < gone * np.exp(0.3 * load[c, c]):
                        gone_us[u] = (hour + 1) * 3_600_000_000
            if gone_us[u] < (hour + 2) * 3_600_000_000:
                break
        if n == most:
            break
    return user[:n], at[:n] * 3_600_000_000 + channel[:n], channel[:n], answered[:n], gone_us


def fitted(world: World, n_sends: int, seed: int) -> list[Found]:
    """(what, truth, estimate, low, high) of one world, from config values that are wrong by half."""
    history = simulate(world, n_sends, seed)
    written = [Written(1.5 * h * DAY_US, (0.3, 0.3), True) for h in world.half_life_days]
    curve = fit_fatigue(CHANNELS, history, written)
    found = []
    for at, fit in enumerate(curve.fits):
        mine = history.channel == at
        left = 1.0 - history.answered[mine].mean()
        found += _compared(fit, world, at, float(left))
    return found


def _compared(fit: ChannelFatigue, world: World, at: int, left: float) -> Iterator[Found]:
    h = fit.half_life_us
    yield f"{fit.channel}: half-life", world.half_life_days[at], h.value / DAY_US, h.low / DAY_US, h.high / DAY_US
    for source, name in enumerate(CHANNELS):
        s = fit.strength[source]
        yield f"{fit.channel}: strength of {name}", 1 - np.exp(-left * world.slope[source][at]), s.value, s.low, s.high
    yield f"{fit.channel}: ignored", 1 - np.exp(-left * world.ignored[at]), fit.ignored.value, fit.ignored.low, fit.ignored.high


def spread_over(jobs: int, kind: str, n_sends: int, seeds: range, log: Path | None) -> list[list[Found]]:
    """The worlds of `seeds`, `jobs` at once; with `log` each is written down as soon as it is known, so that a killed run loses none."""
    with ProcessPoolExecutor(jobs) as pool:
        results = []
        for seed, found in zip(seeds, pool.map(partial(fitted, KINDS[kind], n_sends), seeds), strict=True):
            results.append(found)
            if log is not None:
                with log.open("a") as file:
                    file.writelines(f"{kind}\t{n_sends}\t{seed}\t" + "\t".join(map(str, one)) + "\n" for one in found)
    return results


def judged(results: list[list[Found]]) -> None:
    """Prints, for each parameter, how near the worlds came and how often their intervals held the truth."""
    print("what\ttruth\tmedian\tmedian error\tinside 95 %\tof worlds\tmedian width")
    for place, (what, *_) in enumerate(results[0]):
        truth, value, low, high = np.array([r[place][1:] for r in results]).T
        error = np.median(np.abs(value / truth - 1)) if truth.all() else np.nan
        inside, (least, most) = (low <= truth) & (truth <= high), wilson(int(((low <= truth) & (truth <= high)).sum()), len(truth))
        told = f"{inside.mean():.1%} ({least:.1%} to {most:.1%})\t{len(truth)}\t{np.median(high - low):.4f}"
        print(f"{what}\t{np.median(truth):.4f}\t{np.median(value):.4f}\t{error:.1%}\t{told}", flush=True)


def wilson(hits: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson, JASA 22, 1927)."""
    z, share = 1.96, hits / n
    middle, half = (share + z * z / (2 * n)) / (1 + z * z / n), z * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return float(middle - half), float(middle + half)


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--sends", type=int, default=200_000)
    parser.add_argument("--kind", choices=[*KINDS, "all"], default="usual")
    parser.add_argument("--seed", type=int, default=0, help="of the first world; the others follow it")
    parser.add_argument("--jobs", type=int, default=1, help="processes, one world each")
    parser.add_argument("--log", type=Path, help="a file to which each world is added as soon as it is known")
    given = parser.parse_args()
    for kind in KINDS if given.kind == "all" else [given.kind]:
        before = getrusage(RUSAGE_CHILDREN)
        results = spread_over(given.jobs, kind, given.sends, range(given.seed, given.seed + given.worlds), given.log)
        after = getrusage(RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"\n{kind}: {given.worlds} worlds of {given.sends:,} sends, {spent / given.worlds:.1f} core-s a world")
        judged(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
