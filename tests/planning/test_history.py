"""What training sees of a past send is what planning saw then; nothing that came later reaches it."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.answers import attribute_outcomes
from notif_rec.planning.bucket import read_past, to_us
from notif_rec.planning.past_sends import _outcomes
from notif_rec.planning.prepare import prepare_bucket, read_shared
from notif_rec.planning.sends import gather_sends
from notif_rec.scoring.features import N_FEATURES, SIGNS
from notif_rec.scoring.send_outcomes import SendOutcomes
from tests.planning.test_prepare import WORLD
from tests.planning.world import AS_OF, BUCKET, FACTS, World, connect

DAY = timedelta(days=1)
LATER = AS_OF + 30 * DAY
SHORT = replace(FACTS, leave_us=FACTS.attribution_us)


def planned(world: World) -> dict[tuple[int, int], npt.NDArray[np.float32]]:
    """(user, channel) → features of a plan at AS_OF."""
    with connect(world) as connection:
        rows = prepare_bucket(connection, BUCKET, SHORT, AS_OF).to_pylist()
    features = {row["user"]: np.array(row["features"], np.float32).reshape(-1, N_FEATURES) for row in rows}
    return {(user, channel): of[channel] for user, of in features.items() for channel in range(len(of))}


def learned(world: World) -> SendOutcomes:
    """Every complete send, as training sees it thirty days later."""
    with connect(world) as connection:
        past, shared = read_past(connection, (BUCKET, BUCKET), SHORT), read_shared(connection, SHORT, LATER)
        sends = gather_sends(past, shared.item_log)
        answers = attribute_outcomes(past.events, sends, SHORT, to_us(LATER), len(past.users))
        return _outcomes(past, sends, answers, shared, SHORT, to_us(LATER))


def with_sends(world: World, seed: int) -> World:
    """The world, and on the next day a send to each user on each channel, and a month of whatever."""
    rng = random.Random(seed)
    more: list[dict[str, Any]] = []
    for user in range(4):
        for channel in ("push", "email"):
            at = AS_OF + rng.random() * 0.99 * DAY
            more.append({"user": user, "item": 1, "channel": channel, "event": "sent", "timestamp": at, "seq": 1, "value": 1.0})
        for _ in range(10):
            name = rng.choice(["opened", "clicked", "view", "unsubscribed", "sent"])
            channel, at = rng.choice(["push", "email", ""]), AS_OF + rng.random() * 20 * DAY
            more.append({"user": user, "item": 1, "channel": channel, "event": name, "timestamp": at, "seq": 1, "value": 1.0})
    return {**world, "events": [*world["events"], *more]}


@settings(max_examples=25, deadline=None)
@given(WORLD, st.integers(0, 2**32))
def test_a_training_row_is_what_the_plan_saw(world: World, seed: int) -> None:
    lived = with_sends(world, seed)
    saw, found = planned(lived), learned(lived)
    inside = found.plan_us == to_us(AS_OF)
    assert inside.sum() >= 8
    for row in np.flatnonzero(inside):
        assert found.features[row].tolist() == saw[int(found.user[row]), int(found.channel[row])].tolist()


@settings(max_examples=15, deadline=None)
@given(WORLD, st.integers(0, 2**32), st.integers(0, 2**32))
def test_another_future_changes_no_feature(world: World, seed: int, other: int) -> None:
    past = {**world, "events": [row for row in world["events"] if row["timestamp"] < AS_OF]}
    first, second = planned(with_sends(past, seed)), planned(with_sends(past, other))
    for key, row in planned(past).items():
        assert first[key].tolist() == second[key].tolist() == row.tolist()


def test_another_past_does() -> None:
    """Negative control of the test above."""
    event = {"user": 0, "item": 1, "channel": "push", "event": "sent", "timestamp": AS_OF - DAY, "seq": 1, "value": 1.0}
    world = {"user_ids": [{"user": 0, "user_id": "u", "user_hash": 1}], "events": [event]}
    assert planned(world)[0, 0].tolist() != planned({**world, "events": [event | {"timestamp": AS_OF - 3 * DAY}]})[0, 0].tolist()


def _anything(rng: random.Random) -> dict[str, Any]:
    channel, event = rng.choice(["push", "email", ""]), rng.choice(["sent", "sent", "opened", "clicked", "view"])
    at = AS_OF - rng.random() * 8 * DAY
    return {"user": 0, "item": 1, "channel": channel, "event": event, "timestamp": at, "seq": 1, "value": 1.0}


@pytest.mark.parametrize("hours", [1, 30, 24 * 7])
def test_one_more_unanswered_send_never_helps(hours: int) -> None:
    """Every feature moves the way that its sign forbids to raise p, or stays."""
    rng = random.Random(hours)
    for _ in range(12):
        rows = [_anything(rng) for _ in range(25)]
        rows.append({**rows[0], "event": "view", "channel": "", "timestamp": AS_OF - 20 * DAY})
        extra = {**rows[0], "event": "sent", "channel": "push", "item": 3, "timestamp": AS_OF - timedelta(hours=hours, seconds=1)}
        world = {"user_ids": [{"user": 0, "user_id": "u", "user_hash": 1}], "events": rows}
        before, after = planned(world)[0, 0], planned({**world, "events": [*rows, extra]})[0, 0]
        moved = np.sign(after.astype(float) - before.astype(float))
        assert (moved * SIGNS <= 0).all(), moved * SIGNS
        assert (moved[SIGNS == 0] == 0).all()
