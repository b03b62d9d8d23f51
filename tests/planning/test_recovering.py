"""Items that recover: what they lose, where they stand then, and that a rule left out changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.context import PlanContext
from notif_rec.planning.fates import fates_of
from notif_rec.planning.offered import Offers
from notif_rec.planning.offers import Considered, consider
from tests.oracles.caps import span
from tests.planning.truth import options
from tests.planning.worlds import DAY_US, Person, World, random_world, us
from tests.planning.worlds import settings as plan_settings

RULES = (
    {"rule": "recovering", "channels": ["push", "email"], "penalty": 0.02, "half_life": "10d"},
    {"rule": "recovering", "penalty": 0.003},
)


def lost(world: World, person: Person, channel: str, items: list[int], at: int) -> float:
    """By the words of the page, sends scanned one by one."""
    total = 0.0
    for entry in RULES:
        names: Any = entry.get("channels", world.names)
        for item in items:
            times = [s[0] for s in person.sends if world.names[s[1]] in names and item in s[2] and s[0] <= at]
            if channel in names and times:
                half_life = span(str(entry.get("half_life", "15d"))).total_seconds() * 1e6
                total += float(entry["penalty"]) * 2.0 ** (-(at - max(times)) / half_life)
    return total


def seen_in(world: World, rules: tuple[dict[str, Any], ...]) -> tuple[PlanContext, Considered]:
    context = replace(world, rules=(*world.rules, *rules)).context()
    return context, consider(world.batch(context), context)


def plain_value(offers: Offers, context: PlanContext, row: int, person: int, items: list[int], value: dict[int, float]) -> float:
    """Worth of the outcomes that the offer's own probabilities promise."""
    channel, weight, worth = int(context.lanes.channel[offers.lane[row]]), offers.weight[row], context.settings.worth
    inside = lambda p: min(max(p, 1e-9), 1 - 1e-9)  # noqa: E731
    chances = offers.p_click[row, : offers.size[row]]
    clicks = sum(value.get(i, 1.0) * inside(p * weight) for i, p in zip(items, chances, strict=True))
    opened = worth.opened * inside(offers.p_open[row] * weight)
    return float(opened + worth.clicked * clicks + worth.unsubscribed * offers.p_unsubscribe[person, channel])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 499))
def test_each_offer_is_worth_less_by_what_its_items_lose(seed: int) -> None:
    world = random_world(seed, 2)
    context, seen = seen_in(world, RULES)
    offers = seen.offers
    for user, person in enumerate(world.people):
        for option in options(world, offers, context, user):
            items = [int(i) for i in option.send.items]
            at = context.grid.first_us + 900_000_000 * int(offers.moment[option.row])
            whole = plain_value(offers, context, option.row, user, items, world.value)
            assert option.value == pytest.approx(whole - lost(world, person, option.send.channel, items, at), abs=1e-9)
            assert option.value > 0


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 499))
def test_only_items_that_lose_move_and_they_stand_where_their_worth_puts_them(seed: int) -> None:
    world = random_world(seed, 2)
    (context, before), (_, after) = seen_in(world, ()), seen_in(world, RULES)
    assert after.ranking.penalty is not None
    value, first = context.facts.value, context.grid.first_us
    for lane in range(len(context.lanes.channel)):
        name = context.names[context.lanes.channel[lane]]
        for user, person in enumerate(world.people):
            old, new = before.ranking.item[lane, user], after.ranking.item[lane, user]
            n = int((old >= 0).sum())
            assert sorted(old[:n]) == sorted(new[:n]) and (new[n:] < 0).all()
            taken = [lost(world, person, name, [int(context.model.item_codes[i])], first) for i in old[:n]]
            assert after.ranking.penalty[lane, user, :n] == pytest.approx([taken[list(old).index(i)] for i in new[:n]], abs=1e-12)
            gain = np.minimum.accumulate(value[old[:n]] * before.ranking.p_click[lane, user, :n]) - taken
            order = sorted(range(n), key=lambda r: (-gain[r], r))
            assert new[:n].tolist() == [old[r] for r in order]


def test_a_fresh_item_goes_out_in_place_of_one_sent_yesterday_and_explain_says_less() -> None:
    as_of = us("2026-03-10T06:00:00")
    person = Person("u1", 1, sends=[])
    world = World(plan_settings(), [person], rules=({"rule": "recovering", "penalty": 0.5, "half_life": "15d"},))
    context = world.context()
    first = [f for f in fates_of(world.batch(context), context) if f.channel == "push" and f.send_at]
    assert len(first) == 2
    (best,) = (int(f.item_id.rsplit("-", 1)[1]) for f in first if f.rank == 1)
    person.sends = [(as_of - DAY_US, 0, (best,), True)]
    again = [f for f in fates_of(world.batch(context), context) if f.channel == "push"]
    (told,) = (f for f in again if f.item_id == world.item_id(best))
    assert told.send_at is None and told.rank == len(again) and told.value < 0
