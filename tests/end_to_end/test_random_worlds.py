"""Random worlds through the front door: whatever they hold, no rule is broken, by the audit and by plain Python.

NOTIF_REC_WORLDS says how many; `make soak` lives through hundreds.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.lives import Life, live
from tests.end_to_end.worlds import HOUR, Chance, event, random_world

WORLDS = int(os.environ.get("NOTIF_REC_WORLDS", "3"))


@pytest.mark.parametrize("seed", range(WORLDS))
def test_no_rule_is_broken_in_a_random_world(seed: int, tmp_path: Path) -> None:
    life = live(seed, tmp_path)
    assert life.faults == []
    assert life.did["plans"] >= 2


LOOSE = {"rules": [], "quotas": [], "holdout": 0, "exploration": 0, "unknown_timezone": "default", "lead": "0m", "horizon": "2d"}
FREE = {"items_per_send": 2, "max_sends": 3, "consent": "yes", "exclude_seen": False}
BROKEN = {
    "a rolling cap": {"rule": "frequency_cap", "max": 1, "per": "7d"},
    "a cap by category": {"rule": "frequency_cap", "max": 1, "per": "7d", "category": "promo"},
    "a cap by calendar": {"rule": "frequency_cap", "max": 1, "per": "calendar_day"},
    "a gap": {"rule": "min_gap", "gap": "9h"},
    "a repeat": {"rule": "no_repeat", "within": "30d"},
    "quiet hours": {"rule": "quiet_hours", "from": "08:00", "to": "20:00"},
    "a wait": {"rule": "back_off", "after_ignored": 1, "wait": "9d", "factor": 2, "max_wait": "9d"},
    "consent": {"rule": "opt_in", "allow": ["provisional"]},
    "a zone": {"rule": "known_timezone"},
}


def test_the_book_finds_what_a_plan_without_rules_breaks(tmp_path: Path) -> None:
    """Negative control: sends of a planner that was told of no rule, judged by rules; and by facts that it could not know."""
    world = random_world(1, n_users=40, **LOOSE, channels={"push": FREE, "email": FREE})
    life = Life(world, Desk(tmp_path), Chance(1))
    life.begin()
    plan_id = life.round(world.as_of, {}, newer=False)
    assert life.faults == []
    assert life.did["sends"] > 100

    def faults(**changes: Any) -> list[str]:
        return life.book.faults(plan_id, {**world.policy, **changes}, world.as_of)

    assert [name for name, rule in BROKEN.items() if not faults(rules=[rule])] == []
    assert faults(unknown_timezone="block")
    assert faults(quotas=[{"item": "any", "max_sends": 0}])
    assert faults(quotas=[{"channel": "push", "max_sends": 5}])
    assert faults(channels={"push": {**FREE, "max_sends": 1}, "email": FREE})
    assert faults(channels={"push": {**FREE, "exclude_seen": True}, "email": FREE})
    some = next(iter(life.book.sends.values()))
    for tell in (
        lambda: life.book.suppressed.add((some.user, "")),
        lambda: life.book.tell_events([event(some.user, "", "", "complained", world.as_of + HOUR)]),
        lambda: life.book.items.pop(some.items[0]),
        lambda: life.book.paused.add("email"),
    ):
        before = faults()
        tell()
        assert len(faults()) > len(before)
