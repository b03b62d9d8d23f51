"""No send in quiet hours, on days when a clock changes, in eight time zones that change it in eight ways."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.plan_batch import plan_batch
from tests.oracles.caps import is_quiet, wall
from tests.planning.truth import rows_of
from tests.planning.worlds import HOUR_US, Channel, Person, World, random_people
from tests.planning.worlds import settings as plan_settings

# zone → the days on which it moves its clock forward and back, and what its clock would be if it never did
ZONES: dict[str, tuple[tuple[str, str], str]] = {
    "America/New_York": (("2026-03-08", "2026-11-01"), "Etc/GMT+5"),
    "Europe/London": (("2026-03-29", "2026-10-25"), "Etc/GMT"),
    "America/Santiago": (("2026-09-06", "2026-04-05"), "Etc/GMT+4"),
    "Australia/Lord_Howe": (("2026-10-04", "2026-04-05"), "Etc/GMT-11"),  # by half an hour
    "Africa/Casablanca": (("2026-03-22", "2026-02-15"), "Etc/GMT"),  # back for Ramadan
    "America/St_Johns": (("2026-03-08", "2026-11-01"), "Etc/GMT+3"),  # half an hour off
    "America/Sao_Paulo": (("2018-11-04", "2018-02-18"), "Etc/GMT+3"),  # at midnight, so that a day began at one
    "Pacific/Apia": (("2011-12-30", "2012-04-01"), "Etc/GMT+11"),  # a day that never was
}
NAMES = tuple(ZONES)
SEEDS = st.integers(0, 499)
WORLDS = settings(max_examples=500, deadline=None)


@cache
def world_of(seed: int) -> World:
    """A person in each zone on a day when one of them sets its clock; quiet hours on every channel, often around the change."""
    rng = np.random.default_rng(seed)
    day = datetime.fromisoformat(ZONES[NAMES[seed % 8]][0][seed // 8 % 2])
    start, length = int(rng.choice([0, 60, 120, 150, 180, 1260, 1350])), int(rng.choice([15, 60, 90, 300, 660, 900]))
    as_of = day - timedelta(hours=int(rng.integers(4, 18)))
    made = plan_settings(as_of.isoformat(), horizon_us=int(rng.choice([24, 36, 48])) * HOUR_US)
    people = random_people(rng, 8, 8, made.as_of_us, [None])
    for person, zone in zip(people, NAMES, strict=True):
        person.timezone, person.consent, person.suppressed, person.sends = zone, (2,), (False,), []
        person.ignored, person.ignored_us, person.past = (0,), (0,), person.past[:1]
        night = rng.permutation([0, 1, 2, 3, 4, 23])[:3]  # when they like to read, so that sends come close to the change
        person.hours = tuple(9.0 * (cell % 24 in night) for cell in range(168))
    quiet = {"rule": "quiet_hours", "from": clock(start), "to": clock((start + length) % 1440)}
    rules = (quiet, {"rule": "min_gap", "gap": "30m"})
    return World(made, people, n_items=8, channels=(Channel("push", 1, 4),), rules=rules, seed=seed)


def clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


@cache
def sends_of(world_key: int, blind: bool = False) -> list[dict[str, Any]]:
    """The plan of a world; `blind`: of one in which no clock is ever set."""
    world = world_of(world_key)
    if blind:
        fixed = [Person(**{**vars(p), "timezone": ZONES[p.timezone][1]}) for p in world.people if p.timezone]
        world = replace(world, people=fixed)
    context = world.context()
    return rows_of(plan_batch(world.batch(context), context).to_pylist())


def in_quiet_hours(seed: int, *, blind: bool = False) -> list[tuple[str, datetime]]:
    world = world_of(seed)
    zones = {person.code: person.timezone for person in world.people}
    rule = world.rules[0]
    sends = [(zones[send["user"]] or "", send["send_at"].replace(tzinfo=None)) for send in sends_of(seed, blind)]
    return [(zone, at) for zone, at in sends if is_quiet(at, rule["from"], rule["to"], zone)]


@WORLDS
@given(SEEDS)
def test_nobody_is_woken(seed: int) -> None:
    assert in_quiet_hours(seed) == []


def test_every_zone_is_sent_to_within_an_hour_of_its_change() -> None:
    near = set()
    for seed in range(160):
        zones = {person.code: person.timezone for person in world_of(seed).people}
        for send in sends_of(seed):
            zone = zones[send["user"]] or ""
            at = send["send_at"].replace(tzinfo=None)
            if offset(zone, at - timedelta(hours=1)) != offset(zone, at + timedelta(hours=1)):
                near.add(zone)
    assert near == set(NAMES)


def offset(zone: str, at: datetime) -> timedelta:
    return wall(at, zone) - at


def test_a_planner_that_never_sets_a_clock_is_caught_in_every_zone() -> None:
    missing = set(NAMES)
    for seed in range(400):
        missing -= {zone for zone, _ in in_quiet_hours(seed, blind=True)}
        if not missing:
            return
    assert missing == set()
