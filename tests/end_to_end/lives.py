"""A few days in the life of a random world: rounds of plan and apply with newer facts, receipts, releases and other policies between.

`python -m tests.end_to_end.lives FIRST COUNT [JOBS]` lives through many and prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from tests.end_to_end.book import Book, list_faults
from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import DAY, HOUR, Chance, Row, World, event, random_policy, random_rules, random_world, stamp

SHARED = (
    "rules",
    "quotas",
    "holdout",
    "max_offers",
    "candidates",
    "unknown_timezone",
    "horizon",
    "lead",
    "exploration",
    "timezone",
    "seed",
)


@dataclass
class Life:
    """A world on a desk, and the book that is kept of it. `did` counts what happened, `faults` says what should not have."""

    world: World
    desk: Desk
    chance: Chance
    book: Book = field(default_factory=Book)
    did: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def begin(self) -> None:
        world, book = self.world, self.book
        world.write(self.desk)
        world.ingest(self.desk)
        book.tell_users(world.users)
        book.tell_items(world.items)
        book.tell_suppressions(world.suppressions)
        book.tell_events(world.events)
        self.desk.call("train", "--as-of", stamp(world.as_of))

    def round(self, as_of: datetime, policy: Mapping[str, Any], *, newer: bool) -> str:
        """Plans and applies; `newer`: facts come in between."""
        path = self.desk.configure(policy, "policy.yml")
        plan = self.desk.call("plan", "--as-of", stamp(as_of), "--policy", path, "-o", self.desk.folder / "preview")
        if newer:
            self.ingest_newer(as_of, n=4, about=sorted({row["user_id"] for row in self.desk.listed(plan["plan_id"], "preview")}))
        applied = self.desk.call("apply", plan["plan_id"], "--max-drift", "1")
        self._apply_again(plan["plan_id"], applied)
        ledger = self.desk.ledger()
        self.book.read_ledger(ledger)
        full = {**self.world.policy, **policy}
        said = self.book.faults(plan["plan_id"], full, as_of)
        said += list_faults(self.desk.listed(plan["plan_id"]), ledger, plan["plan_id"])
        held = self.desk.shadowed(plan["plan_id"])
        said += [
            f"{s.user}: held out"
            for s in self.book.sends.values()
            if s.plan_id == plan["plan_id"] and s.user in held and not s.transactional
        ]
        self.faults += [f"seed {self.world.seed}, as of {as_of}: {fault}" for fault in said]
        self.did.update(plans=1, sends=sum(applied["sends"].values()), shadows=len(held), dropped=sum(applied["dropped"].values()))
        return str(plan["plan_id"])

    def _apply_again(self, plan_id: str, first: Mapping[str, Any]) -> None:
        before = self.desk.state()
        if self.desk.call("apply", plan_id, "--max-drift", "1") != {**first, "applied": False} or self.desk.state() != before:
            self.faults.append(f"seed {self.world.seed}: apply twice is not apply once")

    def live_apart(self, folder: Path, plan_id: str) -> None:
        """The world once more, its rows in another order and planned by two jobs: the first plan's lists must have the same bytes."""
        other = Desk(folder, jobs=2)
        self.world.write(other, self.chance)
        self.world.ingest(other)
        other.call("train", "--as-of", stamp(self.world.as_of))
        told = other.call("plan", "--as-of", stamp(self.world.as_of), "-o", folder / "preview")
        mine, theirs = self.desk.lists(plan_id, "preview"), other.lists(told["plan_id"], "preview")
        differ = [name for name in mine if name.endswith(".csv") and mine[name] != theirs[name]]
        self.faults += [f"seed {self.world.seed}: {name} is another in another order" for name in differ]
        self.did["twins"] += 1

    def ingest_newer(self, as_of: datetime, n: int, about: Sequence[str] = ()) -> None:
        """A few facts of every kind, told to the store and to the book; `about`: mostly of these users."""
        chance, channels = self.chance, self.world.channels
        users = [chance.choice(about) if about and chance.happens(0.8) else chance.choice(sorted(self.book.users)) for _ in range(2 * n)]
        rows = [event(u, "", chance.choice(["", *channels]), "unsubscribed", as_of + 2 * HOUR) for u in users[: n // 2]]
        rows += [event(u, "", chance.choice(channels), "subscribed", as_of + 3 * HOUR) for u in users[n // 2 : n]]
        rows += [self._external(u, as_of) for u in users[n:]]
        rows += self._receipts(as_of)
        self._ingest("events", rows)
        self._ingest("suppressions", [{"user_id": users[-1], "channel": chance.choice(["", *channels])}])
        expired = {**self.book.items[chance.choice(sorted(self.book.items))], "expires_at": stamp(as_of + 5 * HOUR), "created_at": ""}
        self._ingest("items", [expired])
        self.did["newer facts"] += len(rows) + 2

    def _external(self, user: str, as_of: datetime) -> Row:
        channel, item = self.chance.choice(self.world.channels), self.chance.choice(sorted(self.book.items))
        return event(user, item, channel, "sent", self.chance.around(as_of, 6 * HOUR, DAY))

    def _receipts(self, as_of: datetime) -> list[Row]:
        """What became of some of our open sends: confirmed by key or without, a little late, answered or not."""
        rows: list[Row] = []
        for send in list(self.book.sends.values()):
            if send.actual or not self.chance.happens(0.3):
                continue
            at = send.at + timedelta(seconds=self.chance.choice([0, 40, 1200, -300, 90_000]))
            key = {"send_key": send.key} if self.chance.happens(0.6) else {}
            rows += [event(send.user, item, send.channel, "sent", at, **key) for item in send.items]
            if self.chance.happens(0.3):
                rows.append(event(send.user, send.items[0], send.channel, self.chance.choice(["opened", "clicked"]), at + HOUR, **key))
        return rows

    def _ingest(self, table: str, rows: list[Row]) -> None:
        if rows:
            self.did["files"] += 1
            path = self.desk.write(f"newer-{self.did['files']}-{table}.csv", rows)
            told = self.desk.call("ingest", table, path)
            assert told["rejected"] == 0, told["reasons"]
            getattr(self.book, f"tell_{table}")(rows)

    def move_people(self) -> None:
        """Some users change zone or consent, some items their category."""
        users = [dict(row) for row in self.chance.sample(list(self.book.users.values()), 4)]
        for row in users:
            row["timezone"] = self.chance.choice(["Asia/Tokyo", "America/New_York", ""])
            row |= {c: self.chance.choice(["yes", "no"]) for c in self.world.channels if c in row}
        self._ingest("users", users)
        self._ingest("items", [{**self.chance.choice(list(self.book.items.values())), "category": "promo"}])

    def release(self, plan_id: str, as_of: datetime) -> None:
        before = sum(s.plan_id == plan_id and not s.released for s in self.book.sends.values())
        told = self.desk.call("release", plan_id, "--as-of", stamp(as_of))
        self.book.release(plan_id, as_of)
        left = sum(s.plan_id == plan_id and not s.released for s in self.book.sends.values())
        if told["released"] != before - left:
            self.faults.append(f"seed {self.world.seed}: {told['released']} released, not {before - left}")
        self.did["released"] += told["released"]

    def end(self) -> None:
        answer = self.desk.try_("audit")
        self.did["overtaken"] += answer.told["overtaken"]
        rows = answer.told["violation_rows"]
        self.faults += [f"seed {self.world.seed}, audit: {json.dumps(row)}" for row in rows[:5]]


def other_policy(chance: Chance, world: World) -> dict[str, Any]:
    """Another policy for the same channels."""
    drawn = random_policy(chance)
    channels = {name: {**settings, "max_sends": chance.choice([0, 1, 2])} for name, settings in world.policy["channels"].items()}
    quotas = [q for q in drawn["quotas"] if q.get("channel") in (None, *world.channels)]
    shared = {key: drawn[key] for key in SHARED}
    return {**shared, "rules": random_rules(chance, world.channels), "quotas": quotas, "channels": channels}


def live(seed: int, folder: Path, n_users: int = 30, *, apart: bool = False) -> Life:
    """Two or three rounds in a world; `apart`: and the first of them once more, told in another order."""
    chance, world = Chance(seed ^ 0x5EED), random_world(seed, n_users)
    life = Life(world, Desk(folder), chance)
    life.begin()
    own = {key: world.policy[key] for key in (*SHARED, "channels")}
    first = life.round(world.as_of, own, newer=chance.happens(0.3))
    if apart:
        life.live_apart(folder / "apart", first)
    life.ingest_newer(world.as_of, n=6)
    life.move_people()
    later = world.as_of + chance.choice([4, 12, 25]) * HOUR
    if chance.happens(0.5):
        life.release(first, later)
    second = life.round(later, own if chance.happens(0.4) else other_policy(chance, world), newer=chance.happens(0.5))
    if chance.happens(0.3):
        life.release(second, later)
        life.round(later + HOUR, own, newer=False)
    life.end()
    return life


def soak(first: int, count: int, jobs: int = 1) -> dict[str, Any]:
    """Counts and faults of many lives, spread over processes."""
    did: Counter[str] = Counter()
    faults: list[str] = []
    began = time.monotonic()
    seeds = range(first, first + count)
    for counts, wrong in Parallel(n_jobs=jobs, return_as="generator_unordered")(delayed(one_life)(seed) for seed in seeds):
        did.update(counts)
        faults += wrong
        for fault in wrong:
            print(fault, file=sys.stderr, flush=True)
    return {**did, "seconds": round(time.monotonic() - began), "faults": sorted(faults)}


def one_life(seed: int) -> tuple[Counter[str], list[str]]:
    """What happened in a world, told twice, and what should not have."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            life = live(seed, Path(folder), apart=True)
        except AssertionError as error:
            return Counter(), [f"seed {seed}: {error}"]
    return life.did + Counter(worlds=1), life.faults


if __name__ == "__main__":
    told = soak(*map(int, sys.argv[1:]))
    print(json.dumps(told, indent=1))
    sys.exit(bool(told["faults"]))
