"""Do hours foretell answers? Hour weights fitted to a store's earlier sends, judged on later ones, beside a week without hours.

    python benchmarks/send_hours.py [--config FILE] --as-of T [--held-out DAYS]

Each send is foretold by its channel's rate, times its weight. Prints the log loss a send, its difference from the flat week with a 95 %
interval (bootstrap over users; below 0 is better), and observed over expected, which shows whether weights make probability.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.config import load_config
from notif_rec.planning.bucket import read_past, to_us
from notif_rec.planning.hours import local_hours
from notif_rec.planning.past_sends import collect_sends
from notif_rec.planning.prepare import bucket_spans, read_shared
from notif_rec.planning.taste import zone_rows
from notif_rec.scoring.send_time import WEEK, HourProfile, fit_hours, fit_level, fit_pull, hour_weights, lift_before
from notif_rec.store.store import Store
from notif_rec.workflows.facts import facts_of

BOOTSTRAPS, AT_ONCE = 1000, 4096
FloatArray = npt.NDArray[np.float64]
Profiles = Mapping[str, HourProfile | None]


def own_hours(con: Any, facts: Any, as_of: datetime, n_users: int) -> npt.NDArray[np.float32]:
    """(n_users, 168) by user code, of what was known at `as_of`."""
    shared, hours = read_shared(con, facts, as_of), np.zeros((n_users, WEEK), np.float32)
    for span in bucket_spans(con):
        past = read_past(con, span, facts)
        inside = past.users.user < n_users
        zone = zone_rows(past.users.timezone, shared.zones.names, facts.timezone)
        hours[past.users.user[inside]] = local_hours(past.events, zone, shared.zones, facts, to_us(as_of))[inside]
    return hours


def profiles_of(
    sends: Any, early: npt.NDArray[np.bool_], hours: npt.NDArray[np.float32], n_channels: int
) -> Mapping[str, HourProfile | None]:
    """What is compared, fitted to the early sends."""
    cell = sends.channel[early].astype(np.int64) * WEEK + sends.hour[early]
    said = sends.opened[early].astype(np.float64)
    counts = [np.bincount(cell, w, n_channels * WEEK).reshape(n_channels, WEEK).astype(np.float64) for w in (np.ones(len(cell)), said)]
    plain = fit_hours(*counts, hours.sum(axis=0, dtype=np.float64)[None])
    lift = lift_before(plain, sends.own_before[early], sends.segment[early], sends.hour[early])
    full = fit_pull(plain, lift, sends.channel[early], sends.hour[early], sends.opened[early])
    some = np.flatnonzero(early)[-20_000:]
    full = fit_level(full, hours[sends.user[some]], np.full(len(some), -1), sends.channel[some], sends.hour[some])
    print(f"{early.sum():,} earlier sends; pull of own hours {np.round(full.pull, 2)}, level {np.round(full.level, 3)}")
    return {"flat week": None, "channel's hours": replace(plain, pull=np.zeros(n_channels)), "and own hours": full}


def judge(name: str, at: int, sends: Any, of: npt.NDArray[np.int64], rate: float, profiles: Any, hours: npt.NDArray[np.float32]) -> None:
    """Prints how each profile foretells the sends `of` one channel."""
    answered, flat = sends.opened[of], np.zeros(0)
    for label, profile in profiles.items():
        p = np.clip(rate * (np.ones(len(of)) if profile is None else weights(profile, at, sends, of, hours)), 1e-6, 1 - 1e-6)
        loss = -np.log(np.where(answered, p, 1 - p))
        flat = loss if profile is None else flat
        gain = interval(sends.user[of], loss - flat)
        print(f"{name}\t{label}\t{len(of)}\t{loss.mean():.5f}\t{gain}\t{answered.sum() / p.sum():.3f}")


def weights(profile: HourProfile, at: int, sends: Any, of: npt.NDArray[np.int64], hours: npt.NDArray[np.float32]) -> FloatArray:
    """The weight of each send, a few at once."""
    parts = [of[i : i + AT_ONCE] for i in range(0, len(of), AT_ONCE)]
    found = [hour_weights(profile, hours[sends.user[part]], np.full(len(part), -1))[:, at] for part in parts]
    return np.concatenate([w[np.arange(len(part)), sends.hour[part]] for w, part in zip(found, parts, strict=True)])


def interval(user: npt.NDArray[np.int32], gain: FloatArray) -> str:
    """Mean and 95 % interval, users drawn whole."""
    _, of = np.unique(user, return_inverse=True)
    draws = np.random.default_rng(1).poisson(1.0, (BOOTSTRAPS, int(of.max()) + 1))
    low, high = np.quantile((draws @ np.bincount(of, gain)) / (draws @ np.bincount(of)), (0.025, 0.975))
    return f"{gain.mean():+.5f} ({low:+.5f} to {high:+.5f})"


def main() -> int:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("notif_rec.yml"))
    parser.add_argument("--as-of", type=datetime.fromisoformat, required=True)
    parser.add_argument("--held-out", type=float, default=14, help="days of judged sends that are foretold")
    given = parser.parse_args()
    config, store = load_config(given.config), Store(given.config.parent / ".notif_rec")
    split = given.as_of - config.attribution - timedelta(days=given.held_out)
    with store.connect() as con:
        facts = facts_of(config)
        sends, _ = collect_sends(con, facts, given.as_of)
        hours = own_hours(con, facts, split, int(sends.user.max()) + 1)
    early, late = sends.at_us < to_us(split - config.attribution), sends.at_us >= to_us(split)
    profiles = profiles_of(sends, early, hours, len(config.channel_names))
    print("channel\tforetold by\tsends\tlog loss\tdifference from flat\tobserved/expected")
    for at, name in enumerate(config.channel_names):
        before, of = sends.opened[early & (sends.channel == at)], np.flatnonzero(late & (sends.channel == at))
        if len(of) and before.any():
            judge(name, at, sends, of, float(before.mean()), profiles, hours)
    return 0


if __name__ == "__main__":
    sys.exit(main())
