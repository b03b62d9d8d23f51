"""The choice within a user against brute force over every set, by a checker that shares no code with the planner."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.cells import Quota
from notif_rec.planning.choose import choose, past_of, pool_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.offered import Offers
from notif_rec.planning.offers import make_offers
from notif_rec.planning.select import Selection, agreeing, select
from tests.planning.truth import Option, best_worth, excludes, feasible, feasible_sets, options, worth
from tests.planning.worlds import Channel, Person, World, random_world, us
from tests.planning.worlds import settings as plan_settings

SEEDS = st.integers(0, 499)  # few enough that tests share their worlds, and each is met
WORLDS = settings(max_examples=500, deadline=None)


def offers_in(world: World) -> tuple[PlanContext, Offers]:
    context = world.context()
    return context, make_offers(world.batch(context), context)


@cache
def world_of(seed: int) -> tuple[World, PlanContext, Offers]:
    """A world of one user and eight offers."""
    world = random_world(seed)
    return world, *offers_in(world)


def selected(offers: Offers, context: PlanContext, order: np.ndarray | None = None, node_limit: int = 20_000) -> Selection:
    """The selection over the offers in another order of rows."""
    pool = pool_of(offers, context)
    if order is not None:
        flat = {name: getattr(pool, name)[order] for name in pool._fields if name not in ("start", "period")}
        pool = pool._replace(**flat, period=np.ascontiguousarray(pool.period[:, order]))
    return select(pool, past_of(offers), offers.verdict.room, context.caps, context.fatigues, node_limit)


def priced(rng: np.random.Generator, plain: World) -> tuple[PlanContext, np.ndarray]:
    """The world's context with a market of some prices: of each channel, then of each item."""
    quotas = (*(Quota(channel=name, max_sends=9) for name in plain.names), Quota(item="any", max_sends=9))
    prices = np.concatenate([rng.choice([0.0, 0.02, 0.05], size=3), rng.choice([0.0, 0.0, 0.03], size=plain.n_items)])
    cells = np.arange(len(prices))
    market = Market(cells.astype(np.int32), prices, np.ones(len(cells)), np.zeros(len(cells), dtype=bool))
    return replace(plain, quotas=quotas).context().with_market(market), prices


@WORLDS
@given(SEEDS)
def test_every_offer_is_feasible_alone_and_the_chosen_set_is_the_best_feasible_one(seed: int) -> None:
    world, context, offers = world_of(seed)
    choice, found, person = choose(offers, context), options(world, offers, context, 0), world.people[0]
    assert all(feasible(world, person, [option.send]) for option in found)
    chosen = [option for option in found if choice.sent[option.row]]
    assert feasible(world, person, [option.send for option in chosen])
    assert worth(world, person, chosen) == pytest.approx(float(choice.value[0]), abs=1e-12)
    assert best_worth(world, person, found) == pytest.approx(float(choice.value[0]), abs=1e-9)
    assert choice.bound[0] == pytest.approx(float(choice.value[0]), abs=1e-12)


@settings(WORLDS, max_examples=500)
@given(SEEDS)
def test_with_prices_the_best_set_pays_them_undiscounted(seed: int) -> None:
    world, _, offers = world_of(seed)
    context, prices = priced(np.random.default_rng(seed), world)
    choice, person = choose(offers, context), world.people[0]
    channel = context.lanes.channel[offers.lane]
    paid = prices[channel] + np.where(offers.item >= 0, prices[3 + offers.item], 0.0).sum(axis=1)

    def net(chosen: tuple[Option, ...]) -> float:
        return worth(world, person, chosen) - sum(paid[option.row] for option in chosen)

    best = max(net(chosen) for chosen in feasible_sets(world, person, options(world, offers, context, 0)))
    assert choice.bound[0] == pytest.approx(best, abs=1e-9)


@settings(WORLDS, max_examples=500)
@given(SEEDS)
def test_the_order_of_offers_changes_nothing(seed: int) -> None:
    _, context, offers = world_of(seed)
    owner = offers.owner()
    order = np.lexsort((np.random.default_rng(seed).random(offers.n), owner))
    plain, shuffled = selected(offers, context), selected(offers, context, order)
    assert np.array_equal(plain.chosen[order], shuffled.chosen)
    assert np.array_equal(plain.value, shuffled.value)


@settings(WORLDS, max_examples=500)
@given(SEEDS)
def test_a_search_that_is_cut_short_has_a_plan_and_an_honest_bound(seed: int) -> None:
    _, context, offers = world_of(seed)
    exact, short = selected(offers, context), selected(offers, context, node_limit=seed % 4)
    assert np.all(short.value <= exact.value + 1e-12)
    assert np.all(exact.value <= short.bound + 1e-12)


@WORLDS
@given(SEEDS)
def test_a_stricter_rule_never_raises_the_best_value_at_fixed_offers_and_prices(seed: int) -> None:
    (world, context, offers), rng = world_of(seed), np.random.default_rng(seed)
    stricter = [dict(rule) for rule in world.rules]
    caps = [rule for rule in stricter if rule["rule"] == "frequency_cap"]
    caps[int(rng.integers(len(caps)))]["max"] = int(rng.integers(0, 2))
    if rng.random() < 0.5:
        stricter.append({"rule": "min_gap", "channels": ["push", "email", "in_app"], "gap": "5h"})
    tight = World(**{**vars(world), "rules": tuple(stricter)})
    usable = [feasible(tight, world.people[0], [o.send]) for o in options(world, offers, context, 0)]
    for own in (context, priced(rng, world)[0]):
        pool = pool_of(offers, own)
        loose = select(pool, past_of(offers), offers.verdict.room, own.caps, own.fatigues, 20_000)
        pool = pool._replace(usable=np.array(usable, dtype=np.uint8))
        inside = select(pool, past_of(offers), offers.verdict.room, tight.context().caps, own.fatigues, 20_000)
        assert inside.bound[0] <= loose.bound[0] + 1e-12


@settings(WORLDS, max_examples=500)
@given(SEEDS)
def test_what_agrees_with_fixed_sends_is_what_may_join_them(seed: int) -> None:
    world, context, offers = world_of(seed)
    found, person = options(world, offers, context, 0), world.people[0]
    fixed = selected(offers, context).chosen & (np.random.default_rng(seed).random(offers.n) < 0.5)
    agrees = agreeing(pool_of(offers, context), past_of(offers), offers.verdict.room, context.caps, context.fatigues, fixed)
    stay = [o for o in found if fixed[o.row]]
    for option in found:
        joins = not fixed[option.row] and not any(excludes(option, o) for o in stay) and worth(world, person, [option]) > 0
        assert agrees[option.row] == (joins and feasible(world, person, [o.send for o in (*stay, option)])), option


def test_where_caps_cross_greedy_by_value_would_lose() -> None:
    """Sending the most valuable offer first leaves one e-mail; two pushes are worth more together."""
    person = Person("u1", consent=(2, 2, 0), past=((100, 60, 5, 33), (100, 70, 6, 100), (0, 0, 0, 0)))
    rules = ({"rule": "min_gap", "channels": ["push", "email"], "gap": "5h"},)
    window = plan_settings("2026-06-10T06:00:00", horizon_us=6 * 3_600_000_000)
    world = World(
        window, [person], n_items=6, rules=rules, channels=(Channel("push", 1, 2), Channel("email", 3, 1), Channel("in_app", 1, 0))
    )
    context, offers = offers_in(world)
    choice = choose(offers, context)
    channels = context.lanes.channel[offers.lane]
    assert offers.value.argmax() in np.flatnonzero(channels == 1)
    assert best_worth(world, person, options(world, offers, context, 0)) == pytest.approx(float(choice.value[0]))
    assert choice.sent.sum() == 2


def test_known_sends_that_breach_a_cap_already_forbid_only_what_adds_to_it() -> None:
    at = us("2026-06-10T05:00:00")
    person = Person("u1", sends=[(at - h * 3_600_000_000, 0, (h,), False) for h in range(4)], consent=(2, 0, 0))
    rules = ({"rule": "frequency_cap", "channels": ["push"], "max": 2, "per": "6h"},)
    world = World(plan_settings("2026-06-10T06:00:00"), [person], rules=rules)
    context, offers = offers_in(world)
    times = context.grid.first_us + 900_000_000 * offers.moment
    assert offers.n > 0
    assert times.min() >= at - 3_600_000_000 + 6 * 3_600_000_000
