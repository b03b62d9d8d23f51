"""A generated newsletter: two years, some 620,000 mails, 18 % opened, 2.4 % clicked, and what real logs have in them; seeded.

People differ, tire, drift away and come back; issues differ; mail programs open for people; clicks come twice, clocks disagree.
Other shapes of it, to see that nothing is fitted to one: lists that rise or fall, weekends, many machines, a flood of new readers.

    python benchmarks/newsletter.py FOLDER [--users 11000] [--seed 5] [--shape usual]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pcsv

END, DAYS = datetime(2026, 11, 22), 730
TOPICS = ("politics", "business", "science", "sport", "culture", "food", "travel", "tech")
ZONES = ("Europe/Berlin", "Europe/London", "America/New_York", "Asia/Kolkata")
DAY_S = 86_400
CONFIG = """version: 1
timezone: Europe/Berlin
horizon: 24h
events: {clicked: 4, opened: 1}
channels:
  email: {items_per_send: 1, max_sends: 1, consent: yes}
rules:
  - {rule: frequency_cap, channels: [email], max: 3, per: 7d}
  - {rule: no_repeat, channels: [email], within: 30d}
"""
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shape:
    """trend: log-odds over the whole time. weekend: log-odds more on Saturdays and Sundays. machine: share of readers whose mail
    program opens everything. flood: share of readers who all join within sixty days, a year and a half in. sleep, wake: chances a day."""

    trend: float = -0.2
    season: float = 0.15
    weekend: float = 0.0
    machine: float = 0.03
    flood: float = 0.0
    sleep: float = 0.004
    wake: float = 0.0025


SHAPES = {
    "usual": Shape(),
    "rising": Shape(trend=0.8),
    "falling": Shape(trend=-1.0),
    "still": Shape(trend=0.0, season=0.0),
    "weekly": Shape(weekend=-0.5),
    "machines": Shape(machine=0.3),
    "flood": Shape(flood=0.35),
    "restless": Shape(sleep=0.012, wake=0.0075),
}


@dataclass
class Readers:
    """Who they are, and how they stand at the moment. left: gone for good."""

    joined: Ints  # day
    keen: Floats  # log-odds of an open
    clicky: Floats  # log-odds of a click where opened
    taste: Floats  # (n, topics)
    share: Floats  # of issues they are sent
    machine: Ints  # day from which a mail program opens everything
    awake: npt.NDArray[np.bool_]
    fatigue: Floats
    left: npt.NDArray[np.bool_]


def make_readers(rng: np.random.Generator, n: int, shape: Shape = SHAPES["usual"]) -> Readers:
    """Half of them there from the start, the others join on the way."""
    joined = np.where(rng.random(n) < 0.45, -rng.integers(0, 400, n), rng.integers(0, DAYS, n))
    machine = np.where(rng.random(n) < shape.machine, rng.integers(200, DAYS, n), DAYS + 1)
    if shape.flood:
        joined = np.where(rng.random(n) < shape.flood, rng.integers(540, 600, n), joined)
    return Readers(
        joined=joined,
        keen=rng.normal(-1.1, 1.25, n),
        clicky=rng.normal(-2.1, 0.9, n),
        taste=rng.normal(0, 0.55, (n, len(TOPICS))),
        share=rng.choice([1.0, 0.5, 0.25], n, p=[0.6, 0.25, 0.15]),
        machine=machine,
        awake=rng.random(n) < 0.75,
        fatigue=np.zeros(n),
        left=np.zeros(n, np.bool_),
    )


def make_events(
    rng: np.random.Generator, people: Readers, days: Ints, topic: Ints, shape: Shape = SHAPES["usual"]
) -> dict[str, list[npt.NDArray[np.generic]]]:
    """Issue after issue: who is sent it, who opens, clicks, leaves."""
    columns: dict[str, list[npt.NDArray[np.generic]]] = {"user": [], "issue": [], "event": [], "at": []}
    hour = rng.choice([6, 7, 16, 18], len(days), p=[0.3, 0.4, 0.1, 0.2])
    appeal = rng.normal(0, 0.22, len(days))
    last = -1
    for issue, day in enumerate(days.tolist()):
        gap, last = day - last, day
        people.fatigue *= 0.5 ** (gap / 4.0)
        n = len(people.keen)
        awake = rng.random(n)
        people.awake = np.where(people.awake, awake > shape.sleep * gap, awake < shape.wake * gap)
        sent = np.flatnonzero((people.joined <= day) & ~people.left & (rng.random(n) < people.share))
        new = np.exp(-(day - people.joined[sent]) / 30.0)
        season = shape.season * np.cos(2 * np.pi * day / 365) + shape.trend * day / DAYS
        season += shape.weekend * ((END - timedelta(days=DAYS - day)).weekday() >= 5)
        odds = people.keen[sent] + people.taste[sent, topic[issue]] + appeal[issue] + 0.8 * new + season
        odds += np.where(people.awake[sent], 0.35, -3.2) - 0.3 * people.fatigue[sent]
        at = int(day * DAY_S + hour[issue] * 3600)
        moment = at + rng.integers(0, 240, len(sent))
        opened = rng.random(len(sent)) < 1 / (1 + np.exp(-odds))
        click = people.clicky[sent] + 0.5 * people.taste[sent, topic[issue]] + 0.5 * appeal[issue] - 0.15 * people.fatigue[sent]
        clicked = opened & (rng.random(len(sent)) < 1 / (1 + np.exp(-click)))
        leaves = rng.random(len(sent)) < 0.0007 * np.exp(0.5 * people.fatigue[sent] - 0.3 * people.keen[sent])
        _record(rng, columns, issue, sent, moment, opened, clicked, leaves, people.machine[sent] <= day)
        people.fatigue[sent] += 1.0
        people.left[sent[leaves]] = True
    return columns


def _record(
    rng: np.random.Generator, columns: dict[str, list[npt.NDArray[np.generic]]], issue: int, sent: Ints, moment: Ints,
    opened: npt.NDArray[np.bool_], clicked: npt.NDArray[np.bool_], leaves: npt.NDArray[np.bool_], machine: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    delay = np.minimum(60 + rng.gamma(0.6, 30_000, len(sent)), 6.5 * DAY_S).astype(np.int64)
    again = clicked & (rng.random(len(sent)) < 0.2)
    parts = [
        ("sent", np.ones(len(sent), np.bool_), moment),
        ("opened", machine, moment + rng.integers(1, 6, len(sent))),
        ("opened", opened, moment + delay),
        ("opened", opened & (rng.random(len(sent)) < 0.25), moment + 2 * delay),
        ("clicked", clicked, moment + delay + rng.integers(5, 90, len(sent))),
        ("clicked", again, moment + delay + rng.integers(90, 900, len(sent))),
        ("unsubscribed", leaves, moment + rng.integers(60, 12 * DAY_S, len(sent))),
        ("opened", rng.random(len(sent)) < 0.0003, moment - rng.integers(60, 1800, len(sent))),  # a clock that is behind
    ]
    for name, which, at in parts:
        columns["user"].append(sent[which])
        columns["issue"].append(np.full(int(which.sum()), issue))
        columns["event"].append(np.full(int(which.sum()), name))
        columns["at"].append(at[which])


def write(folder: Path, n_users: int, seed: int, shape: Shape = SHAPES["usual"]) -> None:
    """events.csv, users.csv, items.csv and notif_rec.yml."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    people = make_readers(rng, n_users, shape)
    days = np.sort(rng.choice(DAYS, 112, replace=False))
    topic = rng.integers(0, len(TOPICS), len(days))
    columns = {name: np.concatenate(parts) for name, parts in make_events(rng, people, days, topic, shape).items()}
    start = np.datetime64(END - timedelta(days=DAYS), "s")
    inside = columns["at"].astype(np.int64) < DAYS * DAY_S
    order = np.argsort(columns["at"][inside], kind="stable")
    user, issue, event, at = (columns[name][inside][order] for name in ("user", "issue", "event", "at"))
    table = pa.table(
        {
            "user_id": _ids("r", user),
            "item_id": _ids("n", issue),
            "channel": pa.array(np.full(len(user), "email")),
            "event": pa.array(event.astype(str)),
            "timestamp": pc.strftime(pa.array(start + at.astype("timedelta64[s]")), "%Y-%m-%dT%H:%M:%SZ"),
        }
    )
    _write(table, folder / "events.csv")
    zone = np.array(ZONES)[rng.integers(0, len(ZONES), n_users)]
    _write(pa.table({"user_id": _ids("r", np.arange(n_users)), "timezone": pa.array(zone)}), folder / "users.csv")
    born = pc.strftime(pa.array(start + days.astype("timedelta64[D]")), "%Y-%m-%dT%H:%M:%SZ")
    named = pa.array([TOPICS[t] for t in topic])
    items = {"item_id": _ids("n", np.arange(len(days))), "title": [f"Issue {i}" for i in range(len(days))], "category": named}
    _write(pa.table(items | {"created_at": born}), folder / "items.csv")
    (folder / "notif_rec.yml").write_text(CONFIG, encoding="utf-8")
    counts = {name: int((event == name).sum()) for name in np.unique(event).tolist()}
    print(counts, f"opened {counts['opened'] / counts['sent']:.1%} clicked {counts['clicked'] / counts['sent']:.1%}")


def _ids(letter: str, codes: npt.NDArray[np.generic]) -> pa.Array:
    return pc.binary_join_element_wise(letter, pc.utf8_lpad(pa.array(codes.astype(np.int64)).cast(pa.string()), 6, "0"), "")


def _write(table: pa.Table, path: Path) -> None:
    pcsv.write_csv(table, str(path), pcsv.WriteOptions(quoting_style="none"))


def main() -> None:
    """Reads the command line, writes the files."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--users", type=int, default=11_000)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--shape", choices=SHAPES, default="usual")
    given = parser.parse_args()
    write(given.folder, given.users, given.seed, SHAPES[given.shape])


if __name__ == "__main__":
    main()
