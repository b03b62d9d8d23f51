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
from notif_rec.planning.item_counts import read_item_counts, read_item_index
from notif_rec.planning.past_sends import _outcomes
from notif_rec.planning.prepare import prepare_bucket, read_shared
from notif_rec.planning.sends import gather_sends
from notif_rec.planning.users import unpack_users
from notif_rec.scoring.features import N_FEATURES, SIGNS
from notif_rec.scoring.item_cells import Candidates, candidate_cells
from notif_rec.scoring.item_parts import AGE, N_PARTS, POPULARITY, age_of, cells_of
from notif_rec.scoring.send_outcomes import SendOutcomes
from tests.planning.test_prepare import WORLD
from tests.planning.world import AS_OF, BUCKET, FACTS, World, connect

DAY = timedelta(days=1)
LATER = AS_OF + 30 * DAY
SHORT = replace(FACTS, leave_us=FACTS.attribution_us, lookback_us=31 * 86_400_000_000)


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
        counts = read_item_counts(connection, SHORT, LATER, SHORT.learn_us)
        return _outcomes(past, sends, answers, shared, counts, SHORT, to_us(LATER))


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


def cells_planned(world: World) -> dict[tuple[int, int, int], tuple[int, int]]:
    """(user, channel, item) → cells by opens and by clicks of an item ranked first, in a plan at AS_OF."""
    codes, channels = np.arange(5, dtype=np.int32), range(len(SHORT.channels))
    with connect(world) as connection:
        index, counts = read_item_index(connection), read_item_counts(connection, SHORT, AS_OF, 0)
        users = unpack_users(prepare_bucket(connection, BUCKET, SHORT, AS_OF), codes, len(channels), len(SHORT.audiences))
    rows, found = np.arange(users.n), {}
    category, created_us = index.of(codes)
    for at in channels:
        popularity = np.stack(counts.popularity(codes.astype(np.int64), np.full(5, at), np.zeros(5, np.int64)), axis=1)
        known = Candidates(
            popularity, age_of(created_us, np.full(5, to_us(AS_OF))), category, index.n_categories,
            users.liked_start, users.liked_category, users.liked_count, users.sent_items.start, users.sent_items.item, users.sent_items.us,
        )  # fmt: skip
        opened, clicked = candidate_cells(np.tile(codes, (users.n, 1)), np.zeros((users.n, 5), np.int64), rows, to_us(AS_OF), known)
        found |= {(int(users.user[u]), at, i): (int(opened[u, i]), int(clicked[u, i])) for u in rows for i in range(5)}
    return found


@settings(max_examples=25, deadline=None)
@given(WORLD, st.integers(0, 2**32))
def test_a_training_row_knows_of_its_items_what_the_plan_knew(world: World, seed: int) -> None:
    lived = with_sends(world, seed)
    saw, found = cells_planned(lived), learned(lived)
    send = found.of_item()
    parts = np.zeros((2, len(send), N_PARTS), np.int8)  # by opens and by clicks, all ranked first
    parts[0, :, POPULARITY], parts[1, :, POPULARITY] = found.item_parts[:, 0], found.item_parts[:, 1]
    parts[:, :, AGE:] = found.item_parts[None, :, 2:]
    checked = np.flatnonzero(found.plan_us[send] == to_us(AS_OF))
    assert len(checked) >= 8
    for m in checked:
        key = (int(found.user[send[m]]), int(found.channel[send[m]]), int(found.item[m]))
        assert tuple(int(cells_of(of[m : m + 1])[0]) for of in parts) == saw[key]


@settings(max_examples=15, deadline=None)
@given(WORLD, st.integers(0, 2**32), st.integers(0, 2**32))
def test_another_future_changes_no_feature_and_no_cell(world: World, seed: int, other: int) -> None:
    past = {**world, "events": [row for row in world["events"] if row["timestamp"] < AS_OF]}
    first, second = planned(with_sends(past, seed)), planned(with_sends(past, other))
    for key, row in planned(past).items():
        assert first[key].tolist() == second[key].tolist() == row.tolist()
    first_cells, second_cells, cells = (cells_planned(of) for of in (with_sends(past, seed), with_sends(past, other), past))
    assert first_cells == second_cells and all(first_cells[key] == cell for key, cell in cells.items())


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
