"""Menus over several passes: what was told before is kept, but for those for whom chance decides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from notif_rec.planning.allot import allot
from notif_rec.planning.cells import Quota, rooms_of
from notif_rec.planning.context import Market, PlanContext
from notif_rec.planning.menu_table import Listed, menu_batch, read_menus
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
            assert entries(both, user) == entries(before, user) + entries(now, user)
    assert moved > 0  # prices do move what chance draws

    found = allot(both, rooms_of(context.quotas, context.all_limits), np.array([PRICE]))
    for user in np.flatnonzero(now.alone):
        assert found.bits[user] in (0, *entries(now, user)), "a draw of an earlier pass"
