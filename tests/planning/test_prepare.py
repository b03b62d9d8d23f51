"""PLANNING_INPUT against the slow oracle of world.py, on made-up stores."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.prepare import prepare_bucket
from notif_rec.tables import PLANNING_INPUT
from tests.planning.world import AS_OF, BUCKET, FACTS, World, connect, expected, user_ids

HOUR = timedelta(hours=1)
IDS = ["zoë", "b-2", "B-2", "a,1", "suppressed only"]
WHEN = st.one_of(  # few moments, so that many meet
    st.sampled_from([-72, -30, -24, 0]).map(lambda h: AS_OF + h * HOUR),
    st.sampled_from([-96, -72, -48, -24, -24, 0, 24]).map(lambda h: AS_OF + h * HOUR),
    st.integers(-24 * 20, 24 * 3).map(lambda h: AS_OF + h * HOUR / 2),
)
CHANNEL = st.sampled_from(["push", "push", "email", "", "fax"])
USER, ITEM, KEY = st.integers(0, 3), st.integers(-1, 4), st.sampled_from([None, None, "k1", "k2"])
EVENT_NAMES = ["sent", "sent", "opened", "clicked", "view", "save", "unsubscribed", "subscribed", "complained", "ghost"]
EVENT = st.fixed_dictionaries(
    {
        "user": USER, "item": ITEM, "channel": CHANNEL, "timestamp": WHEN, "value": st.sampled_from([1.0, 0.5, -1.0]), "send_key": KEY,
        "event": st.sampled_from(EVENT_NAMES),
        "confirms": st.sampled_from([None, None, None, "k1"]), "seq": st.integers(1, 4),
    }
)  # fmt: skip
CLASS, CATEGORY = st.sampled_from(["marketing", "transactional"]), st.sampled_from(["promo", "news", "other"])
LEDGER_ROW = st.fixed_dictionaries(
    {
        "user": USER, "item": ITEM.filter(lambda item: item >= 0), "channel": st.sampled_from(["push", "email"]),
        "actual_at": WHEN, "send_at": WHEN,
        "send_key": st.sampled_from(["k1", "k2", "k3"]), "item_class": CLASS, "category": CATEGORY,
        "released": st.booleans(), "confirmed": st.booleans(),
    }
)  # fmt: skip
WORD = st.sampled_from(["yes", "no", "provisional"])
USERS_ROW = st.fixed_dictionaries(
    {
        "timezone": st.sampled_from([None, "Asia/Kathmandu", "America/New_York", "Mars/Olympus"]),
        "consent": st.dictionaries(st.sampled_from(["push", "email"]), WORD),
        "consent_at": st.dictionaries(st.sampled_from(["push", "email"]), WHEN),
        "attributes": st.dictionaries(st.sampled_from(["country", "tier"]), st.sampled_from(["DE", "AT", "gold"])),
        "created_at": st.sampled_from([None, AS_OF - 90 * HOUR, AS_OF + HOUR]),
    }
)
BARRED = st.fixed_dictionaries({"user": st.integers(0, 4), "channel": st.sampled_from(["", "push", "fax"])})
ITEM_ROW = st.fixed_dictionaries({"item": st.integers(0, 3), "seq": st.integers(1, 4), "item_class": CLASS, "category": CATEGORY})
WORLD = st.fixed_dictionaries(
    {
        "events": st.lists(EVENT, max_size=25),
        "ledger": st.lists(LEDGER_ROW, max_size=8, unique_by=lambda row: (row["user"], row["channel"], row["send_key"], row["item"])),
        "users": st.dictionaries(USER, USERS_ROW).map(lambda rows: [{"user": user, **row} for user, row in rows.items()]),
        "items_log": st.lists(ITEM_ROW, max_size=8, unique_by=lambda row: (row["item"], row["seq"])),
        "suppressions": st.lists(BARRED, max_size=2),
        "user_ids": st.just(user_ids(IDS)),
    }
)


def prepared(world: World, **more: Any) -> list[dict[str, Any]]:
    with connect(world) as connection:
        batch = prepare_bucket(connection, BUCKET, FACTS, AS_OF, **more)
    batch.validate(full=True)
    assert batch.schema == PLANNING_INPUT
    return batch.to_pylist()


def same(got: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
    assert [row["user_id"] for row in got] == [row["user_id"] for row in wanted]
    for left, right in zip(got, wanted, strict=True):
        for name in PLANNING_INPUT.names:
            close = name in ("taste_weight", "hours", "features")
            assert left[name] == (pytest.approx(right[name], rel=1e-6, abs=1e-9) if close else right[name]), (name, left["user_id"])


@settings(max_examples=100, deadline=None)
@given(WORLD)
def test_every_column_is_what_the_slow_oracle_says(world: World) -> None:
    same(prepared(world), expected(world))


@settings(max_examples=25, deadline=None)
@given(WORLD, st.integers(0, 2**32))
def test_the_order_of_rows_changes_no_byte(world: World, seed: int) -> None:
    shuffled = {name: random.Random(seed).sample(rows, len(rows)) for name, rows in world.items()}
    assert prepared(world) == prepared(shuffled)
