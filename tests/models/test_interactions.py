from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.models.interactions import MOST, Interactions, read_interactions, read_seen
from notif_rec.store.ids import bucket_of
from notif_rec.store.store import Store
from tests.store.rows import table

NOW = datetime(2026, 3, 10)
WEIGHTS = {"view": 1.0, "save": 4.0, "skip": 0.0}


def fill(store: Store, events: list[tuple[str, str, str, str, float, float | None]], items: list[str] = ("i1", "i2", "i3")) -> None:  # type: ignore[assignment]
    """Events as (user, item, channel, event, age in days, value), in the order given."""
    with store.lock():
        users = sorted({e[0] for e in events}, key=lambda u: [e[0] for e in events].index(u))
        codes, new_users = store.user_codes(pa.array(users, pa.string()), create=True)
        item_codes, new_items = store.item_codes(pa.array(list(items), pa.string()), create=True)
        user, item = dict(zip(users, codes.to_pylist(), strict=True)), dict(zip(items, item_codes.to_pylist(), strict=True)) | {"": -1}
        rows: list[dict[str, Any]] = [
            {
                "bucket": bucket_of(u),
                "user": user[u],
                "item": item[i],
                "channel": c,
                "event": e,
                "timestamp": NOW - timedelta(days=age),
                "value": v,
            }
            for u, i, c, e, age, v in events
        ]
        store.commit("events", {"user_ids": new_users, "item_ids": new_items, "events": table("events", rows)})


def read(store: Store, half_life: timedelta | None = None) -> Interactions:
    with store.connect() as con:
        return read_interactions(con, NOW, events=WEIGHTS, channels=("push", "email"), half_life=half_life)


def plain(found: Interactions) -> dict[tuple[int, str, int], float]:
    user = np.repeat(np.arange(found.taste.n_users), np.diff(found.taste.offsets))
    items = [found.item_ids[i] for i in found.taste.item_index]
    return dict(zip(zip(user.tolist(), items, found.taste.channel.tolist(), strict=True), found.taste.weight.tolist(), strict=True))


EVENTS = [
    ("zoe", "i2", "push", "view", 1.0, 1.0),
    ("zoe", "i2", "push", "view", 3.0, 2.0),
    ("zoe", "i2", "", "save", 2.0, 1.0),
    ("amy", "i1", "email", "save", 1.0, 0.5),
    ("amy", "i1", "fax", "view", 1.0, 1.0),
    ("amy", "i3", "email", "skip", 1.0, 1.0),
    ("bob", "i3", "email", "skip", 1.0, 1.0),
    ("amy", "", "email", "save", 1.0, 1.0),
    ("amy", "i2", "email", "ping", 1.0, 1.0),
]


def test_weights_are_summed_by_user_item_and_channel(store: Store) -> None:
    fill(store, EVENTS)
    found = read(store)
    assert found.item_ids == ("i1", "i2", "i3")
    assert plain(found) == {(0, "i1", -1): 1.0, (0, "i1", 1): 2.0, (1, "i2", -1): 4.0, (1, "i2", 0): 3.0}
    assert found.last_us.tolist()[-1] == int((NOW - timedelta(days=1) - datetime(1970, 1, 1)).total_seconds() * 1e6)
    with store.connect() as con:
        names = con.execute('SELECT user_id FROM user_ids WHERE "user" IN (?, ?) ORDER BY user_id', found.user_codes.tolist()).fetchall()
    assert names == [("amy",), ("zoe",)]  # bob's only event weighs nothing


def test_an_event_fades_by_half_each_half_life(store: Store) -> None:
    fill(store, EVENTS)
    found = plain(read(store, timedelta(days=2)))
    assert found[1, "i2", 0] == pytest.approx(2**-0.5 + 2 * 2**-1.5)
    assert found[1, "i2", -1] == pytest.approx(2.0)


def test_recency_is_of_the_last_event(store: Store) -> None:
    fill(store, EVENTS)
    assert read(store).recency(NOW, timedelta(days=1)).tolist() == [0.5, 0.5, 0.25, 0.5]


def test_nothing_at_or_after_as_of_is_seen(store: Store) -> None:
    fill(store, [("amy", "i1", "", "view", 0.0, 1.0), ("amy", "i2", "", "view", -1.0, 1.0), ("amy", "i3", "", "view", 1e-6, 1.0)])
    assert list(plain(read(store))) == [(0, "i3", -1)]
    with store.connect() as con:
        assert len(read_seen(con, NOW, WEIGHTS)[0]) == 1


def test_values_that_say_nothing_are_left_out_and_huge_ones_are_bounded(store: Store) -> None:
    values = [0.0, -3.0, float("nan"), float("inf"), None]
    fill(store, [("amy", "i1", "", "view", 1.0, v) for v in values] + [("amy", "i2", "", "view", 1.0, 1e300)])
    assert plain(read(store)) == {(0, "i2", -1): MOST}


def test_what_was_seen_counts_whatever_it_weighs(store: Store) -> None:
    fill(store, EVENTS)
    with store.connect() as con:
        users, items = read_seen(con, NOW, WEIGHTS)
        ids = con.execute('SELECT "user", user_id FROM user_ids').fetchall()
    name = dict(ids)
    assert sorted((name[u], i) for u, i in zip(users.tolist(), items.tolist(), strict=True)) == [
        ("amy", 0), ("amy", 2), ("bob", 2), ("zoe", 1),
    ]  # fmt: skip


def test_the_order_of_events_changes_no_bit(tmp_path: Path) -> None:
    chance = random.Random(5)
    many = [
        (
            f"u{chance.randrange(9)}",
            f"i{chance.randrange(1, 4)}",
            chance.choice(["", "push"]),
            "view",
            chance.random() * 30,
            chance.random(),
        )
        for _ in range(300)
    ]
    found = []
    for trial in range(2):
        store = Store.create(tmp_path / str(trial))
        fill(store, many, ["i1", "i2", "i3"] if trial else ["i3", "i1", "i2"])
        found.append(read(store, timedelta(days=7)))
        chance.shuffle(many)
    assert found[0].taste.weight.tobytes() == found[1].taste.weight.tobytes()
    assert found[0].taste.item_index.tobytes() == found[1].taste.item_index.tobytes()
    assert found[0].last_us.tobytes() == found[1].last_us.tobytes()


def test_an_empty_store_has_no_taste(store: Store) -> None:
    found = read(store)
    assert found.taste.n_users == 0 and found.item_ids == ()
