"""A store of people who like one of two halves of the items, for backtests: what they do is a list that a test can read too."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from notif_rec.config import Config, parse_config
from notif_rec.store.ids import bucket_of
from notif_rec.store.store import Store
from tests.store.rows import table

AS_OF = datetime(2026, 3, 1)
SPLIT = AS_OF - timedelta(days=7)
CONFIG = """
version: 1
events: {view: 1, save: 4, skip: 0, clicked: 4, opened: 1}
channels:
  push: {consent: yes}
  email: {consent: yes, exclude_seen: false}
  sms: {consent: yes}
model: {factors: 16, iterations: 3}
"""


@dataclass(frozen=True)
class Event:
    """One event; `days` before AS_OF."""

    user: str
    item: str
    days: float
    channel: str = ""
    event: str = "view"
    value: float = 1.0


def config(more: str = "") -> Config:
    return parse_config(CONFIG + more, "test.yml")


def past(seed: int = 1, users: int = 60, items: int = 30) -> list[Event]:
    """Events of the weeks before the split."""
    rng = random.Random(seed)
    found = []
    for user in range(users):
        for _ in range(rng.randrange(3, 12)):
            item = rng.randrange(user % 2, items, 2) if rng.random() < 0.9 else rng.randrange(items)
            channel = rng.choice(["push", "push", "email", ""])
            found.append(Event(f"u{user:02d}", f"i{item:02d}", rng.uniform(7.01, 40), channel, rng.choice(["view", "save"])))
    return found


def future(seed: int = 2, users: int = 60, items: int = 30) -> list[Event]:
    """Events of the last week."""
    rng = random.Random(seed)
    return [
        Event(f"u{user:02d}", f"i{rng.randrange(user % 2, items, 2):02d}", rng.uniform(0.1, 6.9), rng.choice(["push", "email", ""]))
        for user in range(users)
        for _ in range(3)
    ]


def build(root: Path, events: Sequence[Event], items: Sequence[dict[str, Any]] = ()) -> Store:
    """A store with these events and rows of items (`item_id` and columns of the items table)."""
    store = Store.create(root)
    user_ids = sorted({e.user for e in events}, key=lambda user: user[::-1])  # codes in another order than ids
    item_ids = sorted({e.item for e in events if e.item} | {row["item_id"] for row in items}, key=lambda item: item[::-1])
    with store.lock():
        users, new_users = store.user_codes(pa.array(user_ids, pa.string()), create=True)
        things, new_items = store.item_codes(pa.array(item_ids, pa.string()), create=True)
        user = dict(zip(user_ids, users.to_pylist(), strict=True))
        item = dict(zip(item_ids, things.to_pylist(), strict=True)) | {"": -1}
        rows = [
            {
                "bucket": bucket_of(e.user),
                "user": user[e.user],
                "item": item[e.item],
                "channel": e.channel,
                "event": e.event,
                "timestamp": AS_OF - timedelta(days=e.days),
                "value": e.value,
            }
            for e in events
        ]
        catalogue = [{"channels": [], **row, "item": item[row["item_id"]]} for row in items]
        store.commit(
            "test", {"user_ids": new_users, "item_ids": new_items, "events": table("events", rows), "items": table("items", catalogue)}
        )
    return store
