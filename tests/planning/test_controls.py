"""Negative controls: a planner that was not told of something, judged by those who know, is caught by the checks of every plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from notif_rec.planning.plan_batch import plan_batch
from notif_rec.tables import CONSENTS
from tests.planning.test_plan_batch import PEOPLE, check_items, check_moment, microseconds, permitted, sends_to
from tests.planning.truth import feasible, sent
from tests.planning.worlds import Person, World, random_world


def everybody(world: World, **facts: Any) -> World:
    """The world with other facts of each person."""
    return replace(world, people=[Person(**{**vars(person), **facts}) for person in world.people])


UNTOLD: dict[str, Callable[[World], World]] = {
    "rules": lambda world: replace(world, rules=()),
    "earlier sends": lambda world: everybody(world, sends=[]),
    "sends of others": lambda world: replace(
        world, people=[Person(**{**vars(p), "sends": [s for s in p.sends if s[3]]}) for p in world.people]
    ),
    "consent": lambda world: everybody(world, consent=(2, 2, 2)),
    "suppressions": lambda world: everybody(world, suppressed=(False, False, False)),
    "what was seen": lambda world: everybody(world, seen=()),
    "time zones": lambda world: everybody(world, timezone="Asia/Tokyo"),
    "a pause": lambda world: replace(world, paused=()),
    "births and expiries": lambda world: replace(world, created_us={}, expires_us={}),
    "channels of items": lambda world: replace(world, fits={}),
    "the lead": lambda world: replace(world, settings=replace(world.settings, lead_us=-3_600_000_000)),
}


@pytest.mark.parametrize("what", UNTOLD)
def test_what_the_planner_was_not_told_is_found(what: str) -> None:
    for seed in range(500):
        world = random_world(seed, PEOPLE, max_offers=24)
        untold = UNTOLD[what](world)
        if untold == world:
            continue
        context = untold.context()
        if is_caught(world, plan_batch(untold.batch(context), context).to_pylist()):
            return
    pytest.fail(f"500 plans made without {what} were found sound")


def is_caught(world: World, rows: list[dict[str, Any]]) -> bool:
    return any(not is_sound(world, person, sends_to(rows, person.code)) for person in world.people)


def is_sound(world: World, person: Person, sends: list[dict[str, Any]]) -> bool:
    """What test_plan_batch holds of every plan."""
    plan = [sent(world, person, microseconds(s), s["channel"], s["items"], True) for s in sends]
    try:
        for send in sends:
            channel = world.names.index(send["channel"])
            assert CONSENTS[person.consent[channel]] in permitted(world, send["channel"])
            assert not person.suppressed[channel]
            assert send["channel"] not in world.paused
            check_items(world, person, send, channel)
            check_moment(world, microseconds(send))
    except AssertionError:
        return False
    return feasible(world, person, plan)
