"""What was known of a user's hours before each send, against the table of a moment."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.bucket import read_past, to_us
from notif_rec.planning.hours import local_hours, own_before
from notif_rec.planning.prepare import read_shared
from notif_rec.planning.taste import zone_rows
from notif_rec.scoring.send_time import week_hour
from tests.planning.test_prepare import IDS, WORLD
from tests.planning.world import AS_OF, BUCKET, FACTS, World, connect, user_ids


@settings(max_examples=20, deadline=None)
@given(WORLD, st.lists(st.integers(1, 24 * 8), min_size=1, max_size=4, unique=True))
def test_before_a_send_is_as_of_the_beginning_of_its_hour(world: World, hours_ago: list[int]) -> None:
    world["user_ids"] = user_ids(IDS)
    connection = connect(world)
    past, shared = read_past(connection, (BUCKET, BUCKET), FACTS), read_shared(connection, FACTS, AS_OF)
    zone = zone_rows(past.users.timezone, shared.zones.names, FACTS.timezone)
    moments = np.array(sorted(to_us(AS_OF) - h * 3_600_000_000 + 1_700_000_000 for h in hours_ago), np.int64)
    row = np.repeat(np.arange(len(past.users), dtype=np.int32), len(moments))
    at_us = np.tile(moments, len(past.users))
    found = own_before(past.events, zone, shared.zones, FACTS, row, at_us)
    for place, at in enumerate(at_us.tolist()):
        user = int(row[place])
        table, wall = known(past, zone, shared, at, user)
        cell = int(week_hour(wall))
        near = 0.5 * table + 0.25 * (np.roll(table, 1) + np.roll(table, -1))
        told = near[cell], near.reshape(7, 24).sum(axis=0)[cell % 24], table.sum()
        assert found[place] == pytest.approx(told, rel=2e-3, abs=1e-5)


def known(past: Any, zone: Any, shared: Any, at: int, user: int) -> tuple[np.ndarray, int]:
    """The user's week at the start of the clock hour of `at`, with nothing of that hour; decayed to it. And the wall clock."""
    wall = int(shared.zones.wall_us(zone[[user]], np.array([at]))[0])
    begin = at - wall % 3_600_000_000
    table = local_hours(past.events, zone, shared.zones, FACTS, begin)[user].astype(np.float64)
    last = int(shared.zones.wall_us(zone[[user]], np.array([begin - 1]))[0]) // 3_600_000_000
    return table * 2.0 ** (-(wall // 3_600_000_000 - last) / (FACTS.hours_half_life_us / 3_600_000_000)), wall
