"""Learned fatigue in plans: who tires whom, what a send takes from those to come, and that nothing is sent at a loss."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.ahead import cost_ahead
from notif_rec.planning.caps import fatigues_of
from notif_rec.planning.choose import choose, pool_of
from notif_rec.planning.context import PlanContext
from notif_rec.planning.offers import Offers, make_offers
from notif_rec.policy.load import rule
from notif_rec.scoring.fatigue import Estimate, FatigueCurve, Written, believed
from notif_rec.scoring.scorer import TREES, bare_scorer
from tests.planning.truth import Option, feasible_sets, options
from tests.planning.worlds import CHANNELS, DAY_US, Person, World, random_world

NAMES = tuple(channel.name for channel in CHANNELS)
RULE = {"rule": "fatigue", "half_life": "3d", "strength": 0.5, "learned": True}


def curve(rng: np.random.Generator) -> FatigueCurve:
    """Half-lives and strengths by chance; some channels help, some do nothing to one another."""
    fits = []
    for at, name in enumerate(NAMES):
        fit = believed(NAMES, at, Written(3 * DAY_US, (0.3,) * 3, True), 0, 0)
        strength = tuple(Estimate(float(s), 0, 1) for s in rng.choice([-0.2, 0.0, 0.1, 0.4, 0.9], 3))
        fits.append(replace(fit, half_life_us=Estimate(float(rng.choice([0.3, 2.0, 9.0]) * DAY_US), 1, 2), strength=strength, channel=name))
    return FatigueCurve(NAMES, tuple(fits))


def learning(seed: int) -> tuple[World, PlanContext, Offers]:
    """A world whose fatigue is learned, with users who are often sent to."""
    rng, world = np.random.default_rng(seed), random_world(seed, 2)
    world.rules = (*(r for r in world.rules if r["rule"] != "fatigue"), RULE)
    for person in world.people:
        for _ in range(int(rng.integers(0, 12))):
            at = world.settings.as_of_us - int(rng.integers(1, 28 * 24)) * 3_600_000_000 - 7
            person.sends.append((at, int(rng.integers(0, 3)), (int(rng.integers(0, world.n_items)),), True))
    context = replace(world.context(), curve=curve(rng))
    return world, context, make_offers(world.batch(context), context)


def slow_cost(world: World, person: Person, option: Option, found: list[Option], curve: FatigueCurve) -> float:
    """By summing over quarter-days of two years what the send takes from each."""
    end, total, start = world.settings.end_us, 0.0, world.settings.as_of_us
    for at, target in enumerate(NAMES):
        fit = curve.of(target)
        strength = fit.used(NAMES.index(option.send.channel))
        marketing = [s for s in person.sends if s[1] == at and not (s[2] and all(i in world.transactional for i in s[2]))]
        rate = sum(start - 28 * DAY_US <= s[0] < start for s in marketing) / 28
        best = max((o.value for o in found if o.send.channel == target), default=0.0)
        days, h = np.arange(0.125, 730, 0.25), fit.half_life_us.value / DAY_US
        age = (end - us_of(option)) / DAY_US + days
        taken = (1 - (1 - strength) ** (2.0 ** (-age / h))).sum() * 0.25 if strength else 0.0
        kept = (1 - strength) ** (rate * h / math.log(2)) if strength else 1.0
        total += rate * best * kept * taken
    return total


def us_of(option: Option) -> int:
    return int((option.send.at - option.send.at.__class__(1970, 1, 1)).total_seconds() * 1e6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 499))
def test_what_a_send_costs_later_ones_equals_a_slow_sum(seed: int) -> None:
    world, context, offers = learning(seed)
    cost = cost_ahead(pool_of(offers, context), offers.users, context)
    for user, person in enumerate(world.people):
        found = options(world, offers, context, user)
        for option in found:
            assert context.curve
            assert cost[option.row] == pytest.approx(slow_cost(world, person, option, found, context.curve), rel=0.03, abs=1e-6)


def net(world: World, person: Person, chosen: list[Option], cost: np.ndarray, curve: FatigueCurve) -> float:
    """Value × what earlier sends leave − cost, by the words of the page."""
    known = [(s[0], NAMES[s[1]]) for s in person.sends]
    total = 0.0
    for option in sorted(chosen, key=lambda o: (o.send.at, o.send.channel)):
        fit, left, at = curve.of(option.send.channel), 1.0, us_of(option)
        for when, channel in known:
            if when <= at:
                left *= (1 - fit.used(NAMES.index(channel))) ** (2.0 ** (-(at - when) / fit.half_life_us.value))
        total += option.value * left - cost[option.row]
        known.append((at, option.send.channel))
    return total


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 499))
def test_a_plan_is_the_best_there_is_and_no_send_of_it_is_at_a_loss(seed: int) -> None:
    world, context, offers = learning(seed)
    assert context.curve
    choice, cost = choose(offers, context), cost_ahead(pool_of(offers, context), offers.users, context)
    plain = replace(world, rules=tuple(r for r in world.rules if r["rule"] != "fatigue"))
    for user, person in enumerate(world.people):
        found = options(world, offers, context, user)
        chosen = [o for o in found if choice.sent[o.row]]
        whole = net(world, person, chosen, cost, context.curve)
        assert choice.value[user] == pytest.approx(whole, abs=1e-9)
        assert sum(o.value * choice.discount[o.row] for o in chosen) == pytest.approx(whole, abs=1e-9)
        best = max(net(world, person, list(s), cost, context.curve) for s in feasible_sets(plain, person, found))
        assert whole == pytest.approx(best, abs=1e-9)
        for option in chosen:
            assert whole - net(world, person, [o for o in chosen if o is not option], cost, context.curve) >= -1e-9


def test_without_the_cost_some_sends_would_be_at_a_loss() -> None:
    """The control: the same worlds, planned as if nothing came after the horizon."""
    lost = 0
    for seed in range(40):
        world, context, offers = learning(seed)
        cost = cost_ahead(pool_of(offers, context), offers.users, context)
        blind = replace(context)
        blind.__dict__["fatigues"] = context.fatigues._replace(ahead=np.zeros_like(context.fatigues.ahead))
        choice = choose(offers, blind)
        for user, person in enumerate(world.people):
            chosen = [o for o in options(world, offers, context, user) if choice.sent[o.row]]
            assert context.curve
            whole = net(world, person, chosen, cost, context.curve)
            lost += any(whole - net(world, person, [o for o in chosen if o is not left], cost, context.curve) < -1e-6 for left in chosen)
    assert lost > 3


def test_a_rule_that_does_not_learn_means_what_it_says_whatever_was_learned() -> None:
    written = rule("fatigue", half_life="3d", strength=0.5)
    with_curve, without = (fatigues_of((written,), NAMES, c) for c in (curve(np.random.default_rng(1)), None))
    assert all(np.array_equal(a, b) for a, b in zip(with_curve, without, strict=True)) and not without.ahead.any()


def test_learned_channels_are_limited_to_those_of_the_rule() -> None:
    learned = fatigues_of((rule("fatigue", channels=("push", "email"), half_life="3d", strength=0.5, learned=True),), NAMES, everywhere())
    assert learned.channels.sum() == learned.tires.sum() == 4 and not learned.channels[:, 2].any() and not learned.tires[:, 2].any()
    untrained = fatigues_of((rule("fatigue", half_life="3d", strength=0.5, learned=True),), NAMES, None)
    assert untrained.keep.tolist() == [0.5] and not untrained.ahead.any()


def test_probabilities_that_know_of_earlier_sends_are_not_lowered_for_them_again() -> None:
    """Of known sends only those after as-of, which no feature has seen, tire by the rule; what is chosen tires as ever."""
    before, tired = 0, 0
    for seed in range(12):
        world, context, offers = learning(seed)
        knowing = replace(context, engagement=replace(context.engagement, scorers=((replace(bare_scorer(), kind=TREES),) * 3,) * 3))
        assert knowing.engagement.knowing == set(NAMES) and not context.engagement.knowing
        choice, cost = choose(offers, knowing), cost_ahead(pool_of(offers, knowing), offers.users, knowing)
        for user, person in enumerate(world.people):
            later = replace(person, sends=[s for s in person.sends if s[0] >= context.settings.as_of_us])
            chosen = [o for o in options(world, offers, knowing, user) if choice.sent[o.row]]
            assert context.curve
            assert choice.value[user] == pytest.approx(net(world, later, chosen, cost, context.curve), abs=1e-9)
            told = net(world, person, chosen, cost, context.curve)
            before, tired = before + bool(chosen), tired + (told < choice.value[user] - 1e-6)
    assert tired > before / 4  # the control: most have earlier sends that would have lowered it


def everywhere() -> FatigueCurve:
    fits = tuple(believed(NAMES, at, Written(3 * DAY_US, (0.3,) * 3, True), 0, 0) for at in range(3))
    return FatigueCurve(NAMES, fits)


@pytest.mark.parametrize(("strength", "days"), [(0.0, 7), (0.3, 10), (0.99, 21)])
def test_back_off_waits_until_nine_tenths_are_back_and_never_less_than_it_says(strength: float, days: int) -> None:
    fits = tuple(replace(f, strength=(Estimate(strength, 0, 1),) * 3) for f in everywhere().fits)
    written: Any = rule("back_off", channels=("push",), after_ignored=3, wait="7d", max_wait="30d", learned=True)
    wait = written.with_curve(FatigueCurve(NAMES, fits), ("push",)).wait.total_seconds() / 86_400
    recovered = 3 * math.log2(max(1.0, 3 * -math.log1p(-strength) / -math.log(0.9)))
    assert wait == pytest.approx(min(max(7.0, recovered), 30.0), abs=0.001) and wait == pytest.approx(days, abs=0.5)
    plain: Any = rule("back_off", channels=("push",), after_ignored=3, wait="7d", max_wait="30d")
    assert plain.with_curve(FatigueCurve(NAMES, fits), ("push",)) is plain
