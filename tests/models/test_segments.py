from __future__ import annotations

import numpy as np

from notif_rec.models.segments import MIN_USERS, Attributes, choose_segments, read_attributes
from notif_rec.store.ids import bucket_of
from notif_rec.store.store import Store
from tests.store.rows import add_users, table


def world(tell: bool, n: int = 400) -> tuple[Attributes, np.ndarray, np.ndarray]:
    """Users of two tiers that do (or do not) like different items, and an attribute that says nothing."""
    rng = np.random.default_rng(2)
    tier, noise = rng.integers(0, 2, n), rng.integers(0, 3, n)
    user = np.repeat(np.arange(n), 6)
    item = rng.integers(0, 10, len(user)) + (10 * tier[user] if tell else 5)
    names = {"tier": np.array(["gold", "tin"])[tier], "noise": np.array(["a", "b", "c"])[noise]}
    return Attributes(("noise", "tier"), names), user, item


def test_the_attribute_that_foretells_taste_makes_the_segments() -> None:
    attributes, user, item = world(tell=True)
    segments, rows = choose_segments(attributes, user, item, 30)
    assert segments.attributes == ("tier",)
    assert segments.values == (("gold",), ("tin",))
    assert (rows == (attributes.value["tier"] == "tin")).all()


def test_attributes_that_foretell_nothing_make_none() -> None:
    segments, rows = choose_segments(*world(tell=False), 30)
    assert len(segments) == 0 and (rows == -1).all()


def test_small_groups_and_missing_values_have_no_segment() -> None:
    attributes, user, item = world(tell=True)
    tier = attributes.value["tier"].copy()
    tier[:5], tier[5:9] = "rare", ""
    segments, rows = choose_segments(Attributes(("tier",), {"tier": tier}), user, item, 30)
    assert segments.values == (("gold",), ("tin",))
    assert (rows[:9] == -1).all() and (rows[9:] >= 0).all()


def test_no_attributes_no_segments() -> None:
    segments, _ = choose_segments(Attributes((), {}), np.zeros(0, np.int64), np.zeros(0, np.int64), 3)
    assert len(segments) == 0


def test_only_attributes_with_enough_users_are_read(store: Store) -> None:
    ids = [f"u{i:03}" for i in range(3 * MIN_USERS)]
    codes = add_users(store, ids)
    rows = [
        {"bucket": bucket_of(i), "user": c, "attributes": [("tier", "gold" if c % 3 else "tin"), ("serial", i), ("all", "same")]}
        for i, c in zip(ids, codes, strict=True)
        if c
    ]
    store.commit("users", {"users": table("users", rows + [{**rows[4], "attributes": [("tier", "gold")]}][:0])})
    with store.connect() as con:
        found = read_attributes(con, np.array(codes[::-1], np.int32))
    assert found.names == ()  # tin is one user short
    store.commit("users", {"users": table("users", [{"bucket": bucket_of(ids[0]), "user": codes[0], "attributes": [("tier", "tin")]}])})
    with store.connect() as con:
        found = read_attributes(con, np.array(codes[::-1], np.int32))
    assert found.names == ("tier",)
    assert found.value["tier"].tolist() == ["gold" if c % 3 else "tin" for c in codes[::-1]]
