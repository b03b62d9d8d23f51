"""Menus over several passes: what was told before is kept, but for those for whom chance decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from notif_rec.planning import allot as allotting
from notif_rec.planning.allot import allot, reach_of
from notif_rec.planning.cells import Quota, rooms_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.menu_table import Listed, menu_batch, read_menus
from notif_rec.planning.menus import best_entries, margins, net_values, of_users
from notif_rec.planning.offers import offer_batch
from tests.planning.worlds import random_world

PRICE = 0.05


def passes(prices: tuple[float, ...]) -> tuple[PlanContext, list[Listed]]:
    """What 60 users, half of whom explore, would do at each price of a push; nobody has seen the other price."""
    plain = random_world(6, 60, max_offers=6)
    world = replace(
        plain, settings=replace(plain.settings, exploration=0.33, temperature=0.05), quotas=(Quota(channel="push", max_sends=9),)
    )
    context, told = world.context(), []
    offers = offer_batch(world.batch(context), context)
    for price in prices:
        market = Market(np.zeros(1, np.int32), np.array([price]), np.ones(1), np.zeros(1, np.bool_))
        told.append(read_menus([menu_batch(offers, context.with_market(market))]))
    return context, told


def entries(listed: Listed, user: int) -> list[int]:
    return listed.bits[listed.menus.start[user] : listed.menus.start[user + 1]].tolist()


def test_a_later_pass_adds_to_what_was_known_but_chance_is_heard_once() -> None:
    context, (before, now) = passes((0.0, PRICE))
    both = now.after(before)
    moved = 0
    for user in range(len(now.user)):
        if now.alone[user]:
            assert entries(both, user) == entries(now, user)
            moved += entries(before, user) != entries(now, user)
        else:
            known = entries(before, user)
            assert entries(both, user) == known + [bits for bits in entries(now, user) if bits not in known]
    assert moved > 0  # prices do move what chance draws

    found = allot(both, rooms_of(context.quotas, context.all_limits), np.array([PRICE]))
    for user in np.flatnonzero(now.alone):
        assert found.bits[user] in (0, *entries(now, user)), "a draw of an earlier pass"


def test_menus_within_reach_hold_what_is_near_the_best_and_quotas_are_kept_with_them() -> None:
    plain = random_world(6, 200, max_offers=6)
    quotas = (Quota(channel="push", max_sends=30), Quota(item="any", max_sends=25))
    world = replace(plain, settings=replace(plain.settings, exploration=0.1), quotas=quotas)
    context = world.context()
    rooms, price = rooms_of(context.quotas, context.all_limits), np.full(len(context.all_limits.place), 0.02)
    market, offers = Market(context.all_limits.place, price, rooms.unit, rooms.high == 0), offer_batch(world.batch(context), context)
    whole, reach = read_menus([menu_batch(offers, context.with_market(market))]), 0.02
    few = read_menus([menu_batch(offers, context.with_market(market, reach=reach))])
    net, left_out = net_values(whole.menus, price, rooms.unit), 0
    for user in range(len(whole.user)):
        own = slice(whole.menus.start[user], whole.menus.start[user + 1])
        least = -np.inf if whole.alone[user] else max(net[own].max(initial=0.0), 0.0) - reach
        assert entries(few, user) == whole.bits[own][net[own] >= least].tolist()
        left_out += int((net[own] < least).sum())
    assert left_out > 30
    assert (few.bound == whole.bound).all() and (few.own == whole.own).all()
    plans = [allot(listed, rooms, price) for listed in (whole, few)]
    assert all((plan.taken <= rooms.high).all() for plan in plans)
    assert plans[1].value == pytest.approx(plans[0].value, rel=0.05)


def test_the_reach_is_the_margin_of_as_many_as_a_sample_may_misjudge(monkeypatch: pytest.MonkeyPatch) -> None:
    _, (listed,) = passes((PRICE,))
    menus, _ = of_users(listed.menus, ~listed.alone)
    rooms, price = rooms_of((Quota(channel="push", max_sends=9),), passes((PRICE,))[0].all_limits), np.array([PRICE])
    net = net_values(menus, price, np.ones(1))
    margin = margins(menus, net, best_entries(menus, net))
    for user in range(menus.n):
        own = slice(menus.start[user], menus.start[user + 1])
        nets, paid = [0.0, *net[own]], [0.0, *(menus.value - net)[own]]
        best = int(np.argmax(nets))
        others = [nets[best] - n for n, p in zip(nets, paid, strict=True) if abs(p - paid[best]) > 1e-12]
        assert margin[user] == pytest.approx(min(others, default=np.inf), abs=1e-12)
    monkeypatch.setattr(allotting, "LEAST", 0.0)
    for times in (1.0, 2.0):
        monkeypatch.setattr(allotting, "MISJUDGED", times)
        closer = int((margin <= reach_of(listed, rooms, price)).sum())
        assert closer == pytest.approx(times * np.sqrt(menus.n), abs=1.0)
    monkeypatch.setattr(allotting, "MISJUDGED", 100.0)
    assert reach_of(listed, rooms, price) == np.inf
