"""Random worlds with quotas: a whole allocation and one on top of it, judged by plain counting and by the oracle of the rules.

python -m tests.planning.quota_worlds 0 1000 [JOBS]     # worlds 0 to 999
"""

from __future__ import annotations

import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa

from notif_rec.engines.engine import Task
from notif_rec.errors import DataError
from notif_rec.planning import allot as allotting
from notif_rec.planning.cells import Quota, rooms_of
from notif_rec.planning.context import PlanContext
from notif_rec.planning.menus import Rooms
from notif_rec.planning.quotas import read_batches
from notif_rec.workflows import allocate as allocating
from notif_rec.workflows.allocate import Allocated, Office, allocate
from tests.planning.test_controls import is_sound
from tests.planning.test_plan_batch import reserved, sends_to
from tests.planning.truth import rows_of
from tests.planning.worlds import World, random_world

Decisions = list[dict[str, Any]]
Sends = list[dict[str, Any]]
PEOPLE = 24


class Desk(Office):
    """An office that works in memory, a file a pass."""

    def run(self, task: Task, parts: list[Path], context: PlanContext, name: str) -> list[Path]:  # type: ignore[override]
        made = []
        for part in parts:
            target = self.folder / f"{name}-{part.name}"
            write(target, [task.function(batch, context) for batch in read_batches(part)])
            made.append(target)
        return made


def write(path: Path, batches: list[pa.RecordBatch]) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batches[0].schema) as writer:
        for batch in batches:
            writer.write_batch(batch)


def allocated(world: World, context: PlanContext, folder: Path, known: np.ndarray | None = None, rooms: Rooms | None = None) -> Allocated:
    """The world's people in two parts, within `rooms` (all that the quotas have, where none are given)."""
    batch, parts = world.batch(context), []
    for n, half in enumerate((batch.slice(0, batch.num_rows // 2), batch.slice(batch.num_rows // 2))):
        parts.append(folder / f"in-{n}.arrow")
        write(parts[-1], [half])
    rooms = rooms_of(context.quotas, context.all_limits) if rooms is None else rooms
    office = Desk(None, folder, folder, lambda *_: None)  # type: ignore[arg-type]
    return allocate(office, parts, context, rooms, np.zeros(len(rooms.high)) if known is None else known)


def prices_of(context: PlanContext) -> np.ndarray:
    """Of all cells, those of the context's market."""
    market, prices = context.market, np.zeros(len(context.all_limits.place))
    assert market is not None
    prices[market.place >= 0] = market.price[market.place[market.place >= 0]]
    return prices


def decided(made: Allocated) -> Decisions:
    return [row for part in made.parts for batch in read_batches(part) for row in batch.to_pylist()]


def random_quotas(world: World, rng: np.random.Generator, least: bool) -> tuple[Quota, ...]:
    """A few quotas that can bind on a dozen users, of every word and most pairs of words; with `least`, one promise at most."""
    names, item = world.names, world.item_id(int(rng.integers(world.n_items)))
    drawn = [
        Quota(channel=str(rng.choice(names)), max_sends=int(rng.integers(0, 9))),
        Quota(item="any", max_sends=int(rng.integers(1, 4))),
        Quota(item=item, max_sends=int(rng.integers(0, 3))),
        Quota(item="any", channel=str(rng.choice(names)), max_sends=int(rng.integers(1, 3))),
        Quota(category="promo", max_sends=int(rng.integers(0, 6))),
        Quota(category="news", channel=str(rng.choice(names)), segment="tier=gold", max_sends=int(rng.integers(0, 3))),
        Quota(segment="tier=gold", max_sends=int(rng.integers(1, 7))),
        Quota(channel=str(rng.choice(names)), segment="tier=gold", max_sends=int(rng.integers(0, 3))),
        Quota(max_sends=int(rng.integers(2, 20))),
        Quota(max_cost=float(rng.integers(1, 25)) / 10),
        Quota(channel="email", max_cost=float(rng.integers(1, 9)) / 4),
    ]
    chosen = tuple(q for q in drawn if rng.random() < 0.4) or (drawn[0],)
    named = {q.named() for q in chosen}
    promise = Quota(channel=str(rng.choice(names)), category="news", min_sends=int(rng.integers(1, 3)))
    return (*chosen, promise) if least and promise.named() not in named else chosen


def quota_world(seed: int, people: int, max_offers: int, **changes: Any) -> World:
    """A random world of people of whom half are of tier gold, and channels that cost something."""
    rng = np.random.default_rng(seed)
    plain = random_world(seed, people, max_offers=max_offers, **changes)
    channels = tuple(replace(channel, cost=cost) for channel, cost in zip(plain.channels, (0.1, 0.25, 0.0), strict=True))
    persons = [replace(person, audience=(bool(rng.random() < 0.5),)) for person in plain.people]
    return replace(plain, people=persons, channels=channels, audiences=("tier=gold",))


def counted(world: World, quota: Quota, sends: Sends) -> Counter[str | None]:
    """What the sends take of the quota, of each item where it is for any, by plain counting. Money is in millionths."""
    counts: Counter[str | None] = Counter()
    gold = {person.code for person in world.people if person.audience[0]}
    for send in sends:
        if quota.channel not in (None, send["channel"]) or (quota.segment and send["user"] not in gold):
            continue
        if quota.category and quota.category not in {world.category.get(i) for i in send["items"]}:
            continue
        items: list[str | None] = [world.item_id(i) for i in send["items"]]
        if quota.item not in (None, "any"):
            items = [quota.item] if quota.item in items else []
        cost = next(c.cost for c in world.channels if c.name == send["channel"])
        for name in items if quota.item is not None else [None]:
            counts[name] += round(1e6 * cost) if quota.max_cost is not None else 1
    return counts


def broken_quotas(world: World, sends: Sends) -> list[str]:
    """Every quota that the sends exceed, or fall short of."""
    found = []
    for quota in world.quotas:
        counts = counted(world, quota, sends)
        most = max(counts.values(), default=0)
        limit = quota.max_sends if quota.max_cost is None else round(1e6 * quota.max_cost)
        if limit is not None and most > limit:
            found.append(f"{quota.named()}: {most} of {limit}")
        if most < quota.min_sends:
            found.append(f"{quota.named()}: {most}, at least {quota.min_sends}")
    return found


def rooms_after(world: World, context: PlanContext, sends: Sends) -> Rooms:
    """What the sends leave of every quota."""
    used = {q.named(item): n for q in world.quotas for item, n in counted(world, q, sends).items()}
    cells = len(context.all_limits.place)
    return rooms_of(context.quotas, context.all_limits, np.array([used.get(context.cell_name(c), 0) for c in range(cells)], np.int64))


@dataclass
class Seen:
    """What some worlds came to."""

    worlds: int = 0
    plans: int = 0
    sends: int = 0
    refused: int = 0
    priced: int = 0
    faults: tuple[str, ...] = ()

    def __add__(self, other: Seen) -> Seen:
        return Seen(*(a + b for a, b in zip(vars(self).values(), vars(other).values(), strict=True)))


@contextmanager
def sampled(first: int, a_cell: int) -> Iterator[None]:
    """Prices are sought on so many users first, then on so many a cell; menus of everybody tell of close calls alone."""
    with mock.patch.multiple(allocating, SAMPLE=first, A_CELL=100 * a_cell), mock.patch.multiple(allotting, MISJUDGED=0.2, LEAST=0.0):
        yield


def live(seed: int) -> Seen:
    """A plan, and one on top of it: chance explores in some worlds, users are held out in some, in some the prices are sought on a
    part of the users first, and in some of these on it alone, whereupon everybody tells of close calls alone.
    """
    rng, seen = np.random.default_rng([seed, 7]), Seen(worlds=1)
    luck = {"exploration": float(rng.choice([0.0, 0.3])), "holdout": float(rng.choice([0.0, 0.0, 0.3])), "holdout_salt": "s"}
    world = quota_world(seed, PEOPLE, int(rng.choice([6, 12, 24])), **luck)
    world = replace(world, quotas=random_quotas(world, rng, least=bool(rng.random() < 0.2)))
    sent, known = Sends(), None
    with tempfile.TemporaryDirectory() as place, sampled(int(rng.choice([PEOPLE // 3, 20_000])), seed % 2):
        for number in range(2):
            context, folder = world.context(), Path(place) / str(number)
            folder.mkdir()
            try:
                made = allocated(world, context, folder, known, rooms_after(world, context, sent))
            except DataError:
                return seen + Seen(refused=1)
            rows, known = decided(made), prices_of(made.context)
            value, bound = sum(row["value"] for row in rows), sum(row["bound"] for row in rows) if made.bound == np.inf else made.bound
            sent += [send for send in rows_of(rows) if send["kind"] == "send"]
            seen += Seen(plans=1, priced=int(known.any()))
            said = [f"user {p.user_id}: a rule is broken" for p in world.people if not is_sound(world, p, sends_to(rows, p.code))]
            said += [f"worth {value}, the bound is {bound}"] if value > bound + 1e-9 else []
            seen += Seen(faults=tuple(f"world {seed}, plan {number}: {fault}" for fault in (*said, *broken_quotas(world, sent))))
            world = replace(world, people=[reserved(p, sends_to(rows, p.code), world) for p in world.people])
    return seen + Seen(sends=len(sent))


def lives(seeds: Sequence[int], jobs: int) -> Iterator[Seen]:
    """What each world came to."""
    if jobs == 1:
        yield from map(live, seeds)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(live, seeds, chunksize=10)


def main(first: int, n: int, jobs: int = 1) -> int:
    """Lives through n worlds and tells what it saw; 1 where anything was broken."""
    seen = sum(lives(range(first, first + n), jobs), Seen())
    print(f"{seen.worlds} worlds: {seen.plans} plans, {seen.priced} with prices, {seen.sends} sends, {seen.refused} refused for a minimum")
    print("\n".join(seen.faults) or "no quota and no rule was broken, no plan was worth more than its bound")
    return int(bool(seen.faults))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
