"""Rivals obey every rule, and choose as they say they do."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from notif_rec.config import Config
from notif_rec.engines.local import LocalEngine
from notif_rec.planning.choose import pool_of
from notif_rec.planning.offers import make_offers
from notif_rec.planning.plan_batch import DECISIONS, plan_batch
from notif_rec.simulation.presets import PRESETS, preset
from notif_rec.simulation.rivals import Instead, Planner, careless, popular_first, score_first
from tests.planning.truth import Option, excludes, feasible, options, rows_of, sent
from tests.planning.worlds import World, random_world

SEEDS = range(40)
PEOPLE = 3


def planned(seed: int, planner: Planner) -> tuple[World, list[dict[str, Any]]]:
    world = random_world(seed, PEOPLE, max_offers=24)
    context = world.context()
    decisions = planner(world.batch(context), context)
    assert decisions.schema.equals(DECISIONS)
    return world, rows_of(decisions.to_pylist())


@pytest.mark.parametrize("planner", [score_first, popular_first])
def test_rivals_break_no_rule(planner: Planner) -> None:
    n_sends = 0
    for seed in SEEDS:
        world, sends = planned(seed, planner)
        for person in world.people:
            mine = [s for s in sends if s["user"] == person.code]
            assert feasible(world, person, [sent(world, person, microseconds(s), s["channel"], s["items"], True) for s in mine])
            n_sends += len(mine)
    assert n_sends > 60


def microseconds(send: dict[str, Any]) -> int:
    return int(np.datetime64(send["send_at"], "us").astype(np.int64))


def test_score_first_takes_by_falling_score_whatever_still_fits() -> None:
    """Against plain Python that tries offers one after the other."""
    compared = 0
    for seed in SEEDS:
        world = random_world(seed, PEOPLE, max_offers=24)
        context = careless(world.context())
        offers = make_offers(world.batch(context), context)
        tie = pool_of(offers, context).tie
        _, found = planned(seed, score_first)
        for user, person in enumerate(world.people):
            if offers.verdict.held[user]:
                continue
            mine = options(world, offers, context, user)
            score = {o.row: offers.score[o.row, 0] for o in mine}
            taken: list[Option] = []
            for option in sorted(mine, key=lambda o: (-score[o.row], tie[o.row])):
                alone = not any(excludes(option, other) for other in taken)
                if alone and feasible(world, person, [o.send for o in (*taken, option)]):
                    taken.append(option)
            wanted = sorted((o.send.channel, o.send.at, o.send.items) for o in taken)
            got = sorted((s["channel"], s["send_at"], tuple(map(str, s["items"]))) for s in found if s["user"] == person.code)
            assert got == wanted, seed
            compared += len(wanted)
    assert compared > 60


def test_popular_first_ranks_alike_for_everybody() -> None:
    """Two users who may have the same items get the same: tastes say nothing, though with scores they would."""
    differ = {score_first: 0, popular_first: 0}
    for seed in SEEDS:
        world = random_world(seed, PEOPLE, max_offers=24)
        for person in world.people[1:]:
            first = world.people[0]
            for name in ("timezone", "consent", "suppressed", "audience", "sends", "seen", "ignored", "ignored_us"):
                setattr(person, name, getattr(first, name))
        context = world.context()
        for planner in differ:
            rows = rows_of(planner(world.batch(context), context).to_pylist())
            held = make_offers(world.batch(context), context).verdict.held
            kinds = {tuple(sorted((s["channel"], *s["items"]) for s in rows if s["user"] == p.code)) for p in world.people}
            differ[planner] += len(kinds) > 1 and not held.any()
    assert differ[popular_first] == 0
    assert differ[score_first] > 5


def test_an_engine_with_another_planner_leaves_other_tasks_alone() -> None:
    class Seen(LocalEngine):
        def map_parts(self, task: Any, *others: Any) -> Any:
            return task.function

    from notif_rec.workflows.plan import PLAN

    other = PLAN.__class__(len, PLAN.load_context, PLAN.reads, PLAN.writes)  # type: ignore[arg-type]
    engine = Instead(Seen(), score_first)
    nothing: Any = None
    assert engine.map_parts(PLAN, [], nothing, nothing, nothing) is score_first
    assert engine.map_parts(other, [], nothing, nothing, nothing) is len


def test_presets_keep_the_rules_that_they_say() -> None:
    config = Config.model_validate_json(
        """{"rules": [
        {"rule": "quiet_hours", "from": "21:00", "to": "08:00"}, {"rule": "frequency_cap", "max": 2, "per": "1d"},
        {"rule": "min_gap", "gap": "4h"}, {"rule": "no_repeat", "within": "30d"}, {"rule": "fatigue", "half_life": "3d", "strength": 0.5},
        {"rule": "back_off", "after_ignored": 3, "wait": "7d", "factor": 2, "max_wait": "30d"}], "exploration": 0.1, "holdout": 0.05}"""
    )
    kept = {name: {rule.rule for rule in preset(name, config).config.rules} for name in PRESETS}
    everything = {"quiet_hours", "frequency_cap", "min_gap", "no_repeat", "fatigue", "back_off"}
    assert kept["ours"] == kept["score-first"] == everything
    assert kept["popular-flat-cap"] == everything - {"fatigue", "back_off"}
    assert kept["no-caps"] == {"quiet_hours", "no_repeat"}
    assert preset("ours", config).planner is plan_batch and preset("ours", config).config == config
    assert preset("score-first", config).config.exploration.share == 0 and preset("no-caps", config).config.exploration.share == 0.1
    assert all(preset(name, config).config.holdout == 0.05 for name in PRESETS)
    assert [preset(name, config).config.candidates for name in PRESETS] == [50, 300, 50, 50]
