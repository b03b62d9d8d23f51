"""A small shop cut out of the sample data, and what its users do with what they are sent."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from tests.end_to_end.desk import Desk

SAMPLE = Path(__file__).parents[2] / "sample_data"
START = datetime(2026, 11, 22)
POLICY = """
version: 1
timezone: Europe/Berlin
retrain_after: 10d
events: {view: 1, save: 4, purchase: 8}
value: {opened: 0.1, clicked: 1.0, unsubscribed: -1}
sources: {events: ["events/*.csv"], users: [users.csv], items: [items.csv]}
channels:
  push:   {items_per_send: 1, max_sends: 2, consent: yes}
  email:  {items_per_send: 4, max_sends: 1, consent: yes}
  in_app: {items_per_send: 3, max_sends: 2, consent: yes}
rules:
  - {rule: quiet_hours, channels: [push], from: "21:00", to: "08:00"}
  - {rule: frequency_cap, channels: [push], max: 2, per: 1d}
  - {rule: frequency_cap, channels: [push, email, in_app], max: 9, per: 7d}
  - {rule: frequency_cap, channels: [email], max: 1, per: calendar_day}
  - {rule: frequency_cap, channels: [push], category: promo, max: 1, per: 3d}
  - {rule: min_gap, channels: [push, email], gap: 4h}
  - {rule: no_repeat, channels: [push, email, in_app], within: 30d}
  - {rule: fatigue, channels: [push], half_life: 3d, strength: 0.5}
  - {rule: back_off, channels: [push], after_ignored: 3, wait: 7d, factor: 2, max_wait: 30d}
quotas: [{channel: email, max_sends: 30}]
holdout: 0.05
exploration: 0.05
"""


def open_shop(folder: Path, users: int = 100) -> Desk:
    """A workspace whose sources hold the history of some users of the sample up to START."""
    desk = Desk(folder)
    desk.configure(yaml.load(POLICY, Loader=yaml.BaseLoader) | _typed())
    people = list(_rows(SAMPLE / "users.csv"))[:users]
    kept = {row["user_id"] for row in people}
    desk.write("users.csv", people)
    desk.write("items.csv", list(_rows(SAMPLE / "items.csv"))[:150])
    known = {row["item_id"] for row in list(_rows(SAMPLE / "items.csv"))[:150]}
    events = [row for path in sorted(SAMPLE.glob("events-*")) for row in _rows(path) if row["user_id"] in kept]
    sound = [r for r in events if r["channel"] in ("push", "email", "in_app", "") and r["timestamp"][:4] == "2026"]
    desk.write("events/day-000.csv", [row for row in sound if not row["item_id"] or row["item_id"] in known])
    return desk


def _typed() -> dict[str, Any]:
    """The keys of POLICY that are not text."""
    config: dict[str, Any] = yaml.safe_load(POLICY.replace("consent: yes", "consent: 'yes'"))
    return config


def _rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") if path.suffix == ".gz" else path.open(encoding="utf-8", newline="") as stream:
        yield from csv.DictReader(stream)


def live_a_day(desk: Desk, number: int, plan_id: str, as_of: datetime) -> None:
    """Writes the next day's events: receipts of what was sent, answers to some of it, and people who come by themselves."""
    chance, rows = np.random.default_rng(number), list[dict[str, str]]()
    sends: dict[str, list[dict[str, str]]] = {}
    for row in desk.listed(plan_id):
        sends.setdefault(row["send_key"], []).append(row)
    for key, items in sorted(sends.items()):
        first = items[0]
        if chance.random() < 0.9:
            rows += [_event(r, "sent", r["send_at"], send_key=key) for r in items]
        if chance.random() < 0.3:
            rows.append(_event(first, "opened", _later(first["send_at"], 20), send_key=key))
        if chance.random() < 0.1:
            rows.append(_event(first, "clicked", _later(first["send_at"], 21), send_key=key))
        if chance.random() < 0.004:
            rows.append(_event(first, "unsubscribed", _later(first["send_at"], 30)))
    users = [row["user_id"] for row in _rows(desk.folder / "users.csv")]
    items = [row["item_id"] for row in _rows(desk.folder / "items.csv")]
    for user in chance.choice(users, 40):
        at = (as_of + timedelta(minutes=int(chance.integers(1, 1400)))).strftime("%Y-%m-%dT%H:%M:%SZ")
        rows.append({"user_id": str(user), "item_id": str(chance.choice(items)), "channel": "", "event": "view", "timestamp": at})
    desk.write(f"events/day-{number:03}.csv", [r for r in rows if r["timestamp"] < _text(as_of + timedelta(days=1))], COLUMNS)


COLUMNS = ("user_id", "item_id", "channel", "event", "timestamp", "send_key")


def _event(row: dict[str, str], name: str, at: str, **more: str) -> dict[str, str]:
    return {"user_id": row["user_id"], "item_id": row["item_id"], "channel": row["channel"], "event": name, "timestamp": at, **more}


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _later(at: str, minutes: int) -> str:
    return _text(datetime.strptime(at, "%Y-%m-%dT%H:%M:%SZ") + timedelta(minutes=minutes))
