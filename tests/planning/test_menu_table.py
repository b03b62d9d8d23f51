"""Menus over several passes: what was told before is kept, but for those for whom chance decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from notif_rec.planning import allot as allotting
from notif_rec.planning.allot import allot
from notif_rec.planning.cells import Quota, rooms_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.dual import find_prices
from notif_rec.planning.menu_table import Listed, menu_batch, read_menus
from notif_rec.planning.menus import best_entries, margins, net_values
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


def test_of_many_users_those_of_a_clear_choice_are_left_out_and_the_quotas_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = random_world(6, 200, max_offers=6)
    world = replace(plain, quotas=(Quota(channel="push", max_sends=30), Quota(item="any", max_sends=25)))
    context = world.context()
    rooms, price = rooms_of(context.quotas, context.all_limits), np.full(len(context.all_limits.place), 0.02)
    market = Market(context.all_limits.place, price, rooms.unit, rooms.high == 0)
    listed = read_menus([menu_batch(offer_batch(world.batch(context), context), context.with_market(market))])
    net = net_values(listed.menus, price, rooms.unit)
    margin, all_of_them = margins(listed.menus, net, best_entries(listed.menus, net)), allot(listed, rooms, price)
    for user in range(0, len(margin), 7):
        own = slice(listed.menus.start[user], listed.menus.start[user + 1])
        nets, paid = [0.0, *net[own]], [0.0, *(listed.menus.value - net)[own]]
        best = int(np.argmax(nets))
        others = [nets[best] - n for n, p in zip(nets, paid, strict=True) if abs(p - paid[best]) > 1e-12]
        assert margin[user] == pytest.approx(min(others, default=np.inf), abs=1e-12)
    monkeypatch.setattr(allotting, "CLOSE", 60)
    monkeypatch.setattr(allotting, "CLOSE_A_CELL", 0)
    looked = []
    monkeypatch.setattr(allotting, "find_prices", lambda menus, *rest: looked.append(menus.n) or find_prices(menus, *rest))
    few = allot(listed, rooms, price)
    assert looked[0] < 100 < 200
    assert (few.taken <= rooms.high).all()
    assert few.value == pytest.approx(all_of_them.value, rel=0.01)
