"""A generated world of any size: Zipf items, log-normal users, sends with outcomes; CSV files, seeded, the same bytes every time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

AS_OF = datetime(2026, 11, 22)
DAYS, GROUPS, SEED = 60, 40, 1
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney", "")
CHANNELS = ("push", "email", "in_app")
SENT = 0.15  # share of events that are sends of an older system; a third as many are outcomes of them

CONFIG = """version: 1
horizon: 24h
events: {view: 1, save: 4, purchase: 8, clicked: 4, opened: 1}
channels:
  push:   {items_per_send: 1, max_sends: 2, consent: yes}
  email:  {items_per_send: 6, max_sends: 1, consent: yes}
  in_app: {items_per_send: 3, max_sends: 2, consent: yes}
rules:
  - {rule: quiet_hours, channels: [push], from: "21:00", to: "08:00"}
  - {rule: frequency_cap, channels: [push], max: 2, per: 1d}
  - {rule: frequency_cap, channels: [email], max: 1, per: calendar_day}
  - {rule: frequency_cap, channels: [push, email, in_app], max: 6, per: 7d}
  - {rule: min_gap, channels: [push, email], gap: 4h}
  - {rule: no_repeat, channels: [push, email, in_app], within: 30d}
model: {factors: 64, iterations: 12, transfer: 0.5, half_life: 90d}
"""


@dataclass(frozen=True)
class Size:
    """How many of each."""

    users: int
    items: int
    events: int


SIZES = {"XS": Size(1_000, 300, 30_000), "S": Size(50_000, 10_000, 2_000_000), "M": Size(200_000, 20_000, 8_000_000)}


def make_world(folder: Path, size: Size) -> None:
    """Writes events-*.csv, users.csv, items.csv and notif_rec.yml into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(SEED)
    n_sent = int(size.events * SENT)
    n_outcomes = n_sent // 3
    n_own = size.events - n_sent - n_outcomes
    group = rng.integers(0, GROUPS, size.users)
    own = _behaviour(rng, size, group, n_own)
    sent = _sends(rng, size, group, n_sent)
    outcomes = _outcomes(rng, sent, n_outcomes)
    table = pa.concat_tables([own, sent, outcomes]).sort_by(
        [("timestamp", "ascending"), ("user_id", "ascending"), ("item_id", "ascending")]
    )
    halves = (table.slice(0, table.num_rows // 2), table.slice(table.num_rows // 2))
    for number, part in enumerate(halves):
        _write(part, folder / f"events-{number}.csv")
    _write(_users(rng, size), folder / "users.csv")
    _write(_items(rng, size), folder / "items.csv")
    (folder / "notif_rec.yml").write_text(CONFIG, encoding="utf-8")


def _behaviour(rng: np.random.Generator, size: Size, group: npt.NDArray[np.int64], n: int) -> pa.Table:
    activity = np.exp(rng.normal(0, 1, size.users))
    user = rng.choice(size.users, n, p=activity / activity.sum())
    event = np.array(["view", "save", "purchase"])[np.searchsorted([0.8, 0.95], rng.random(n))]
    return _table(user, _item(rng, size, group[user]), np.full(n, ""), event, _seconds(rng, n))


def _sends(rng: np.random.Generator, size: Size, group: npt.NDArray[np.int64], n: int) -> pa.Table:
    user = rng.integers(0, size.users, n)
    return _table(user, _item(rng, size, group[user]), np.array(CHANNELS)[rng.integers(0, 3, n)], np.full(n, "sent"), _seconds(rng, n))


def _outcomes(rng: np.random.Generator, sent: pa.Table, n: int) -> pa.Table:
    of = sent.take(pa.array(rng.permutation(sent.num_rows)[:n]))
    event = np.array(["opened", "clicked", "unsubscribed"])[np.searchsorted([0.7, 0.995], rng.random(n))]
    at = pc.add(of.column("timestamp"), pa.array(rng.integers(10, 7200, n), pa.duration("s")))
    return of.set_column(3, "event", pa.array(event)).set_column(4, "timestamp", at.cast(pa.timestamp("s")))


def _item(rng: np.random.Generator, size: Size, group: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Zipf (0.9) items, six of ten from the user's own group: items of a group are those with its remainder."""
    weight = np.arange(1, size.items + 1) ** -0.9
    drawn = rng.choice(size.items, len(group), p=weight / weight.sum())
    own = np.minimum(drawn - drawn % GROUPS + group, size.items - 1)
    return np.where(rng.random(len(group)) < 0.6, own, drawn)


def _seconds(rng: np.random.Generator, n: int) -> npt.NDArray[np.int64]:
    """Moments up to two hours and a bit before AS_OF, so that outcomes come before it too."""
    return rng.integers(7300, DAYS * 86400, n)


def _table(
    user: npt.NDArray[np.int64],
    item: npt.NDArray[np.int64],
    channel: npt.NDArray[np.str_],
    event: npt.NDArray[np.str_],
    ago: npt.NDArray[np.int64],
) -> pa.Table:
    at = np.datetime64(AS_OF, "s") - ago.astype("timedelta64[s]")
    columns = [_ids("u", user), _ids("i", item), pa.array(channel), pa.array(event), pa.array(at)]
    return pa.table(columns, names=["user_id", "item_id", "channel", "event", "timestamp"])


def _ids(letter: str, codes: npt.NDArray[np.int64]) -> pa.Array:
    return pc.binary_join_element_wise(letter, pc.utf8_lpad(pa.array(codes).cast(pa.string()), 7, "0"), "")


def _users(rng: np.random.Generator, size: Size) -> pa.Table:
    n = size.users
    consent = {c: pa.array(np.where(rng.random(n) < 0.1, "no", "yes")) for c in CHANNELS}
    return pa.table({"user_id": _ids("u", np.arange(n)), "timezone": pa.array(np.array(ZONES)[rng.integers(0, len(ZONES), n)]), **consent})


def _items(rng: np.random.Generator, size: Size) -> pa.Table:
    n = size.items
    ends = [(AS_OF + timedelta(days=int(d))).isoformat() + "Z" if d > -20 else "" for d in rng.integers(-200, 30, n)]
    names = [f"Item {i} of group {i % GROUPS}" for i in range(n)]
    return pa.table(
        {"item_id": _ids("i", np.arange(n)), "title": names, "category": [f"g{i % GROUPS}" for i in range(n)], "expires_at": ends}
    )


def _write(table: pa.Table, path: Path) -> None:
    columns = [pc.strftime(c, "%Y-%m-%dT%H:%M:%SZ") if pa.types.is_timestamp(c.type) else c for c in table.columns]
    options = pcsv.WriteOptions(quoting_style="none")
    pcsv.write_csv(pa.table(columns, names=table.column_names), str(path), options)
