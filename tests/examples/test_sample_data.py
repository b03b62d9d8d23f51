"""The sample data is what its script writes, small, and holds what the demo needs to show."""

from __future__ import annotations

import csv
import gzip
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from notif_rec.config import load_config

SAMPLE = Path(__file__).parents[2] / "sample_data"
TABLES = ("*.csv", "*.csv.gz")


def files(folder: Path) -> dict[str, Path]:
    return {path.name: path for pattern in TABLES for path in sorted(folder.glob(pattern))}


def plain(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def rows(path: Path) -> Iterator[dict[str, str]]:
    return csv.DictReader(plain(path).decode().splitlines())


@pytest.fixture(scope="module")
def events() -> list[dict[str, str]]:
    return [row for name, path in files(SAMPLE).items() if name.startswith("events") for row in rows(path)]


def test_the_script_writes_the_same_bytes_again(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(SAMPLE / "generate.py"), str(tmp_path)], check=True, timeout=120)
    assert set(files(tmp_path)) == set(files(SAMPLE))
    for name, path in files(SAMPLE).items():
        assert plain(tmp_path / name) == plain(path), name


def test_it_is_small_and_as_large_as_promised() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir() if path.is_file()) < 3_000_000
    users, items = list(rows(SAMPLE / "users.csv")), list(rows(SAMPLE / "items.csv"))
    assert (len(users), len(items)) == (1980, 400)
    assert len({u["timezone"] for u in users} - {""}) == 12
    assert sum(u["timezone"] == "" for u in users) > 50
    assert len({i["title"] for i in items}) == 400


def test_every_channel_and_outcome_is_there(events: list[dict[str, str]]) -> None:
    found = Counter((e["channel"], e["event"]) for e in events)
    for event in ("view", "save", "purchase"):
        assert found["", event] > 1000
    for channel in ("push", "email", "in_app"):
        assert found[channel, "sent"] > found[channel, "opened"] > found[channel, "clicked"] > found[channel, "unsubscribed"] > 0
    assert found["push", "delivered"] > found["push", "dismissed"] > 0


def test_sixty_days_that_end_on_the_day_before_the_demo(events: list[dict[str, str]]) -> None:
    days = {e["timestamp"][:10] for e in events if e["timestamp"][:10] != "2026-11-31"}
    assert (len(days), min(days), max(days)) == (60, "2026-09-23", "2026-11-21")


def test_three_bad_rows_and_no_more(events: list[dict[str, str]]) -> None:
    names = {"", "push", "email", "in_app"}
    bad = [e for e in events if e["channel"] not in names or not e["user_id"] or e["timestamp"].startswith("2026-11-31")]
    assert len(bad) == 3


def test_clicks_fall_with_fatigue(events: list[dict[str, str]]) -> None:
    """Users who were sent a push on the day before open fewer than those who were left alone for five days."""
    sent: dict[str, list[str]] = {}
    for e in sorted((e for e in events if e["channel"] == "push" and e["event"] == "sent"), key=lambda e: e["timestamp"]):
        sent.setdefault(e["user_id"], []).append(e["timestamp"])
    opened = Counter((e["user_id"], e["timestamp"][:10]) for e in events if e["channel"] == "push" and e["event"] == "opened")
    rates = {True: [0, 0], False: [0, 0]}
    for user, times in sent.items():
        for before, at in pairwise(times):
            gap = int(at[8:10]) - int(before[8:10]) if at[:7] == before[:7] else 9
            if gap <= 1 or gap >= 5:
                rates[gap <= 1][0] += 1
                rates[gap <= 1][1] += (user, at[:10]) in opened
    tired, rested = (rates[k][1] / rates[k][0] for k in (True, False))
    assert tired < 0.8 * rested


def test_the_demo_config_is_sound_and_names_the_files() -> None:
    config = load_config(SAMPLE / "notif_rec.yml")
    named = {
        path.name
        for table in ("events", "users", "items", "suppressions")
        for p in getattr(config.sources, table)
        for path in SAMPLE.glob(p)
    }
    assert named == set(files(SAMPLE))
