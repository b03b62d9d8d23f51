"""What a plan could have held: the same sends and probabilities as the plan itself, action by action."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.chances import CHANCES, NOTHING_US, action_ids, chances_batch, item_marks
from notif_rec.planning.context import PlanContext
from notif_rec.planning.plan_batch import plan_batch
from tests.planning.truth import moment, rows_of
from tests.planning.worlds import World, random_world

SEEDS = st.integers(0, 149)


@cache
def exploring(seed: int) -> tuple[World, PlanContext, list[dict[str, Any]], list[dict[str, Any]]]:
    world = random_world(seed, 4, max_offers=10)
    changed = type(world.settings)(**{**vars(world.settings), "exploration": 0.25, "seed": seed})
    world = World(**{**vars(world), "settings": changed})
    context = world.context()
    batch = world.batch(context)
    return world, context, chances_batch(batch, context).to_pylist(), plan_batch(batch, context).to_pylist()


def name_of(user: int, channel: int, us: int, items: list[int]) -> int:
    marks = item_marks(np.array(items, dtype=np.int64)).sum(dtype=np.uint64) if items else np.uint64(0)
    return int(action_ids(np.array([user]), np.array([channel]), np.array([us]), np.array([marks], dtype=np.uint64))[0])


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_what_was_taken_is_the_plan_with_its_propensities(seed: int) -> None:
    world, _, chances, decisions = exploring(seed)
    for row, decided in zip(chances, decisions, strict=True):
        taken = {a: p for a, p, t in zip(row["action"], row["likely"], row["taken"], strict=True) if t}
        sends = [s for s in rows_of([decided]) if s["kind"] == "send" and s["item_class"] == "marketing"]
        expected = {name_of(row["user"], world.names.index(s["channel"]), us(s), s["items"]): s["propensity"] for s in sends}
        silent = set(range(3)) - {world.names.index(s["channel"]) for s in sends}
        assert set(taken) == set(expected) | {name_of(row["user"], c, NOTHING_US, []) for c in silent}
        assert {a: taken[a] for a in expected} == pytest.approx(expected)
        drawn = {a for a, d in zip(row["action"], row["drawn"], strict=True) if d}
        explored = [s for s in rows_of([decided]) if s["explored"]]
        told = [(us(s), s["items"]) if s["kind"] == "send" else (NOTHING_US, []) for s in explored]
        kinds = {name_of(row["user"], world.names.index(s["channel"]), *what) for s, what in zip(explored, told, strict=True)}
        assert kinds <= drawn and len(drawn) <= 1


def us(send: dict[str, Any]) -> int:
    return (send["send_at"] - moment(0)) // timedelta(microseconds=1)


@settings(max_examples=80, deadline=None)
@given(SEEDS)
def test_what_chance_may_do_on_a_channel_adds_up(seed: int) -> None:
    _, context, chances, _ = exploring(seed)
    for row in chances:
        for channel in range(3):
            mine = [i for i, c in enumerate(row["channel"]) if c == channel]
            if not row["held"]:
                assert sum(row["by_chance"][i] for i in mine) == pytest.approx(0.25)
                assert sum(row["likely"][i] for i in mine) >= 1.0 - 1e-9  # several messages may go out on one channel
            assert all(0 <= row["by_chance"][i] <= row["likely"][i] + 1e-12 for i in mine)
            worth = context.settings.worth
            assert all(worth.opened * row["opened"][i] + worth.clicked * row["clicked"][i] >= 0 for i in mine)


def test_a_batch_without_users_gives_a_table_without_rows() -> None:
    world = random_world(0, 2)
    context = world.context()
    made = chances_batch(world.batch(context).slice(0, 0), context)
    assert made.num_rows == 0 and made.schema.equals(CHANCES)


def test_another_user_channel_moment_or_set_of_items_is_another_action() -> None:
    one = name_of(3, 1, 900, [4, 5])
    assert one == name_of(3, 1, 900, [5, 4])
    others = [name_of(4, 1, 900, [4, 5]), name_of(3, 2, 900, [4, 5]), name_of(3, 1, 901, [4, 5]), name_of(3, 1, 900, [4])]
    assert len({one, *others}) == 5
    assert pa.types.is_uint64(CHANCES.field("action").type.value_type)
