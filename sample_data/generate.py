"""Writes the sample data: people with tastes and habits, items, and sixty days of what they did. Seeded, NumPy alone.

`python sample_data/generate.py [DIR]` writes events-*.csv(.gz), users.csv, items.csv and suppressions.csv beside this file, or into DIR.
What is in there to be found: two favourite categories a user, an hour of the day a user, clicks that halve with the third message
in a few days, unsubscribes that come with too many of them, items too new to have been seen, and three bad rows on the last day.
"""

from __future__ import annotations

import csv
import gzip
import io
import sys
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
from words import NOTICES, OFFERS, STORIES, ZONES

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Row = tuple[str, ...]

SEED, USERS, STORIES_N, OFFERS_N, DAYS = 7, 2000, 336, 56, 60
END = date(2026, 11, 22)  # the first day that is not in the data
START = END - timedelta(days=DAYS)
CHANNELS = ("push", "email", "in_app")
SENDS_A_DAY = (0.16, 0.09, 0.20)  # of the old system, per user
OPEN_RATE, CLICK_RATE, UNSUBSCRIBE_RATE = (0.16, 0.28, 0.40), (0.35, 0.25, 0.16), (0.0008, 0.0008, 0.0002)
HALF_LIFE_DAYS, STRENGTH = 3.0, 0.45
PEAKS, SPREAD = (7.5, 12.5, 18.0, 21.0), 1.5  # the hours of the day at which people look, local time
HEADER = ("user_id", "item_id", "channel", "event", "timestamp")
BAD_ROWS = (
    (3, ("u0042", "story-017", "pushh", "clicked", "2026-11-21T09:15:00Z")),  # a channel that is not
    (11, ("u0107", "story-203", "", "view", "2026-11-31T10:00:00Z")),  # a day that is not
    (19, ("", "story-090", "", "view", "2026-11-21T11:00:00Z")),  # nobody
)


@dataclass(frozen=True)
class People:
    """2,000 users by row."""

    zone: list[str]  # '' where unknown
    taste: Floats  # (users, categories)
    activity: Floats  # visits a day
    peak: Floats  # local hour
    joined: Ints  # day of the first visit, counted from START; negative is before
    reachable: npt.NDArray[np.bool_]  # (users, channels)
    rows: list[Row]


@dataclass(frozen=True)
class Items:
    """400 items by row."""

    ids: list[str]
    appeal: Floats  # (items, categories)
    popularity: Floats
    first_day: Ints
    last_day: Ints
    transactional: npt.NDArray[np.bool_]
    rows: list[Row]


def day_text(day: int, hour: int = 0) -> str:
    """`2026-11-22T00:00:00Z` of a day counted from START."""
    return (datetime.combine(START, datetime.min.time()) + timedelta(days=int(day), hours=hour)).isoformat() + "Z"


def make_people(rng: np.random.Generator) -> People:
    """Users with two favourite categories each; some young, some without a zone, some who want less."""
    n, k = USERS, len(STORIES)
    zone = rng.choice([*ZONES, ""], size=n, p=[*(0.94 * s for _, s in ZONES.values()), 0.06]).tolist()
    taste = rng.normal(0, 0.5, (n, k))
    for weight in (2.6, 1.8):
        taste[np.arange(n), rng.integers(0, k, n)] += weight
    activity = np.exp(rng.normal(-1.8, 0.9, n)).clip(0.01, 3)
    joined = np.where(rng.random(n) < 0.15, rng.integers(0, DAYS, n), -rng.integers(1, 700, n))
    joined[-30:] = DAYS  # known, but never seen
    consent = np.stack(
        [rng.choice(["yes", "", "provisional", "no"], size=n, p=p) for p in ((0.55, 0.2, 0.1, 0.15), (0.6, 0.3, 0, 0.1), (0.2, 0.8, 0, 0))]
    )
    tier = rng.choice(["gold", "standard"], size=n, p=[0.2, 0.8])
    order = rng.choice(["", *NOTICES.values()], size=n, p=[0.88, *[0.12 / len(NOTICES)] * len(NOTICES)])
    rows = []
    for u in range(n):
        dated = day_text(rng.integers(-300, 0), 12) if consent[0, u] in ("yes", "no") and rng.random() < 0.5 else ""
        country = ZONES[zone[u]][0] if zone[u] else ""
        rows.append((f"u{u + 1:04}", zone[u], *consent[:, u], dated, day_text(min(joined[u], DAYS - 1), 6), country, tier[u], order[u]))
    return People(zone, taste, activity, rng.choice(PEAKS, n) + rng.normal(0, 0.5, n), joined, consent.T != "no", rows)


def make_items(rng: np.random.Generator) -> Items:
    """Stories in eight categories, offers and notices; some run out, some are for some channels or people alone."""
    k = len(STORIES)
    ids, rows, appeal, first, last, transactional = [], [], [], [], [], []
    for i, (item_id, title, category, tags, style) in enumerate(name_items(rng)):
        of = list(STORIES).index(category) if category in STORIES else int(rng.integers(0, k))
        strength = {"story": 1.0, "offer": 0.7, "notice": 0.0}[style]
        appeal.append(rng.normal(0, 0.25, k) + strength * np.eye(k)[of])
        first.append(rng.integers(0, DAYS + 2) if style == "story" and rng.random() < 0.3 else -rng.integers(10, 300))
        expires = style == "offer" or (style == "story" and rng.random() < 0.1)
        last.append(9999)
        if expires:  # every tenth within the day after END
            last[-1] = DAYS if i % 10 == 0 else int(rng.integers(DAYS - 30, DAYS + 25))
            first[-1] = last[-1] - rng.integers(15, 60)
        channels = ("email|in_app" if i % 9 == 0 else "push|email" if i % 13 == 0 else "") if style != "notice" else "push|email"
        audience = (
            {3: "tier=gold", 11: "country=DE|AT"}.get(i % 25, "")
            if style == "offer"
            else f"order={NOTICES[title]}"
            if style == "notice"
            else ""
        )
        text = f"{title}: {', '.join(tags) or 'what you need to know'}."
        dates = (day_text(first[-1], 5), day_text(last[-1], 18) if expires else "")
        item_class, worth = ("transactional", "") if style == "notice" else ("", "1.5" if style == "offer" else "")
        ids.append(item_id)
        transactional.append(style == "notice")
        rows.append((item_id, title, text, category, "|".join(tags), channels, *dates, item_class, audience, worth))
    popularity = rng.permutation(-0.55 * np.log(np.arange(1, len(ids) + 1)))
    return Items(ids, np.array(appeal), popularity, np.array(first), np.array(last), np.array(transactional), rows)


def name_items(rng: np.random.Generator) -> list[tuple[str, str, str, list[str], str]]:
    """(id, title, category, tags, style) of every item; no title stands twice."""
    named = []
    stories = [(c, f"{a} {b}") for c, (_, firsts, seconds) in STORIES.items() for b in seconds for a in firsts]
    for n, at in enumerate(sorted(rng.permutation(len(stories))[: min(STORIES_N, len(stories))].tolist()), start=1):
        category, title = stories[at]
        tags = rng.permutation(STORIES[category][0])[: rng.integers(1, 4)].tolist()
        named.append((f"story-{n:03}", title, category, tags, "story"))
    offers = [f"{a} {b}" for b in OFFERS[1] for a in OFFERS[0]][:OFFERS_N]
    named += [(f"offer-{n:02}", title, "promo", ["sale"], "offer") for n, title in enumerate(offers, start=1)]
    named += [(f"notice-{n}", title, "account", [], "notice") for n, title in enumerate(NOTICES, start=1)]
    return named


class Log:
    """The events of one day, gathered and written in the order of time."""

    def __init__(self, people: People, items: Items, day: int) -> None:
        noon = datetime.combine(START + timedelta(days=day), datetime.min.time()) + timedelta(hours=12)
        offset = {z: ZoneInfo(z or "UTC").utcoffset(noon) for z in ("", *ZONES)}
        self.offset = np.array([offset[z].total_seconds() for z in people.zone])  # type: ignore[union-attr]
        self.items, self.midnight = items, datetime.combine(START + timedelta(days=day), datetime.min.time())
        self.events: list[tuple[int, str, str, str, str]] = []

    def add(self, users: Ints, items: Ints, channel: str, event: str, second: Floats) -> None:
        """One event a row, at a second of the user's local day."""
        for u, i, s in zip(users.tolist(), items.tolist(), (second - self.offset[users]).astype(int).tolist(), strict=True):
            self.events.append((s, f"u{u + 1:04}", self.items.ids[i], channel, event))

    def rows(self) -> list[Row]:
        """(user_id, item_id, channel, event, timestamp) by time; what falls outside of the sixty days is left out."""
        stamped = [((self.midnight + timedelta(seconds=s)), *rest) for s, *rest in sorted(self.events)]
        return [(u, i, c, e, t.isoformat() + "Z") for t, u, i, c, e in stamped if START <= t.date() < END]


def pick(rng: np.random.Generator, cdf: Floats, users: Ints) -> Ints:
    """One item per entry of `users`, drawn by the user's own row of `cdf`."""
    return (cdf[users] < rng.random(len(users))[:, None]).sum(axis=1).clip(max=cdf.shape[1] - 1)


def visit(rng: np.random.Generator, log: Log, people: People, cdf: Floats, here: npt.NDArray[np.bool_]) -> None:
    """Visits of their own accord: views, some saved, few bought."""
    visits = np.repeat(np.arange(USERS), rng.poisson(people.activity) * here)
    users = np.repeat(visits, rng.geometric(0.45, len(visits)).clip(max=8))
    items, second = pick(rng, cdf, users), local_second(rng, people.peak[users])
    log.add(users, items, "", "view", second)
    for event, share, after in (("save", 0.09, 40), ("purchase", 0.03, 300)):
        chosen = rng.random(len(users)) < share
        log.add(users[chosen], items[chosen], "", event, second[chosen] + after)


def local_second(rng: np.random.Generator, peak: Floats) -> Floats:
    """A second of the local day around the hour `peak`."""
    return (((peak + rng.normal(0, SPREAD, len(peak))) % 24) * 3600).round()


def send(
    rng: np.random.Generator,
    log: Log,
    people: People,
    cdf: Floats,
    liking: Floats,
    channel: int,
    fatigue: Floats,
    may: npt.NDArray[np.bool_],
) -> Ints:
    """One day of the old system on one channel, with outcomes; returns the users who unsubscribed. Adds to `fatigue`."""
    name = CHANNELS[channel]
    users = np.flatnonzero(may & (rng.random(USERS) < SENDS_A_DAY[channel] * (1 if channel < 2 else people.activity.clip(max=2) * 3)))
    items = pick(rng, cdf, users)
    hour = people.peak[users] if channel == 2 else rng.uniform(8.5, 20.5, len(users))
    second = (hour * 3600).round()
    log.add(users, items, name, "sent", second)
    away = np.abs((hour - people.peak[users] + 12) % 24 - 12)
    tired = (1 - STRENGTH) ** fatigue[users, channel]
    opened = rng.random(len(users)) < OPEN_RATE[channel] * tired * (0.6 + 0.9 * np.exp(-((away / 2.5) ** 2)))
    clicked = opened & (rng.random(len(users)) < CLICK_RATE[channel] * np.exp(0.8 * (liking[users, items] - 1.2)).clip(0.15, 2.6))
    wait = rng.exponential(1500, len(users)).round() + 5
    if channel == 0:
        reached = rng.random(len(users)) < 0.97
        log.add(users[reached], items[reached], name, "delivered", second[reached] + 2)
    log.add(users[opened], items[opened], name, "opened", (second + wait)[opened])
    log.add(users[clicked], items[clicked], name, "clicked", (second + wait)[clicked] + 12)
    dismissed = ~opened & (rng.random(len(users)) < (0.12 if channel != 1 else 0.0))
    log.add(users[dismissed], items[dismissed], name, "dismissed", (second + wait)[dismissed])
    gone = rng.random(len(users)) < UNSUBSCRIBE_RATE[channel] * (1 + 1.5 * fatigue[users, channel])
    log.add(users[gone], items[gone], name, "unsubscribed", (second + wait)[gone] + 30)
    fatigue[users, channel] += 1
    return users[gone]


def live(rng: np.random.Generator, people: People, items: Items) -> list[list[Row]]:
    """The events of every day."""
    liking = people.taste @ items.appeal.T
    fatigue, reachable = np.zeros((USERS, len(CHANNELS))), people.reachable.copy()
    days = []
    for day in range(DAYS):
        log = Log(people, items, day)
        alive = (items.first_day <= day) & (day < items.last_day) & ~items.transactional
        own, old = (
            np.cumsum(np.where(alive, np.exp(x - x.max(axis=1, keepdims=True)), 0), axis=1)
            for x in (1.1 * liking + items.popularity, 0.5 * liking + items.popularity)
        )
        here = people.joined <= day
        visit(rng, log, people, own / own[:, -1:], here)
        for channel in range(len(CHANNELS)):
            gone = send(rng, log, people, old / old[:, -1:], liking, channel, fatigue, here & reachable[:, channel])
            reachable[gone, channel] = False
        fatigue *= 0.5 ** (1 / HALF_LIFE_DAYS)
        days.append(log.rows())
    return days


def write(path: Path, header: Row, rows: list[Row]) -> None:
    """A CSV file, gzipped where its name says so, the same bytes every time."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    plain = text.getvalue().encode()
    path.write_bytes(gzip.compress(plain, compresslevel=9, mtime=0) if path.suffix == ".gz" else plain)


def generate(folder: Path) -> None:
    """Writes every file of the sample into `folder`."""
    rng = np.random.default_rng(SEED)
    people, items = make_people(rng), make_items(rng)
    rows = sorted((row for day in live(rng, people, items) for row in day), key=lambda row: (row[4], *row[:4]))
    last_day = str(END - timedelta(days=1))
    months = sorted({row[4][:7] for row in rows})
    for month in months:
        write(folder / f"events-{month}.csv.gz", HEADER, [row for row in rows if row[4].startswith(month) and row[4] < last_day])
    last = [row for row in rows if row[4] >= last_day]
    for place, row in BAD_ROWS:
        last.insert(place, row)
    write(folder / f"events-{last_day}.csv", HEADER, last)
    write(folder / "users.csv", ("user_id", "timezone", *CHANNELS, "push_at", "created_at", "country", "tier", "order"), people.rows[20:])
    item_header = ("item_id", "title", "text", "category", "tags", "channels", "created_at", "expires_at", "class", "audience", "value")
    write(folder / "items.csv", item_header, items.rows)
    suppressed = sorted(rng.permutation(USERS)[:25].tolist())
    write(folder / "suppressions.csv", ("user_id", "channel"), [(f"u{u + 1:04}", "email" if u % 3 == 0 else "") for u in suppressed])


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
