"""Greedy beside prices: what two common ways to fill quotas lose, and under which realistic policies they lose most.

    python benchmarks/greedy.py beside [--items 1000]          # the shop of allocation.py under three quotas (and one an item)
    python benchmarks/greedy.py worst [--policies 60]          # a search over policies: caps that cross, gaps, categories, scarce quotas

By value: the most valuable offer of anybody first, then the next that its user's rules and the quotas still allow. First come, first
served: users in the order of their hash, 1 in 50 at a time, each the most valuable offer first. Both see every rule, the same offers, the
same values and what fatigue leaves of them; they are better than what a send-time engine does. Losses are shares of our plan's value.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from allocation import DEMAND, Desk, Shop, copies, quotas_for, scratch, shop_of, shop_store, taken_by, worth
from world import AS_OF

from notif_rec.config import Config, load_config
from notif_rec.engines.local import LocalEngine
from notif_rec.models.blas import one_blas_thread
from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.cells import Quota, Takings, rooms_of
from notif_rec.planning.choose import choose, past_of, pool_of, takings_by
from notif_rec.planning.context import PlanContext
from notif_rec.planning.menus import Rooms
from notif_rec.planning.offered import Offers, pack_offers, unpack_offers
from notif_rec.planning.offers import make_offers
from notif_rec.planning.prepare import prepare, write_batch
from notif_rec.planning.quotas import read_batches
from notif_rec.planning.select import agreeing
from notif_rec.planning.tiring import appraise
from notif_rec.store.store import Store
from notif_rec.workflows.allocate import allocate
from notif_rec.workflows.context import build_planner, newest_model

LEVELS, BLOCKS, PEOPLE = 60, 50, 600  # of value; of users; users of a policy
CHANNELS = ["push", "email", "in_app"]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass
class Counter:
    """Everybody's offers, what is taken of them, and what that takes of every quota."""

    offers: Offers
    context: PlanContext
    pool: Pool
    past: Past
    takings: Takings
    rooms: Rooms
    gain: FloatArray
    taken: BoolArray
    used: npt.NDArray[np.int64]

    def fill(self, wanted: BoolArray, first: npt.NDArray[np.int64]) -> None:
        """Takes wanted offers until nothing fits: each user's most valuable, those of the lowest `first` of a user before others."""
        owner = self.offers.owner()
        order = np.lexsort((self.pool.tie, -self.gain, owner))
        while True:
            usable = (self.pool.usable.astype(np.bool_) & (self.taken | wanted & ~self.full())).astype(np.uint8)
            rows = order[self.agrees(self.pool._replace(usable=usable))[order]]
            rows = rows[np.diff(owner[rows], prepend=-1) != 0]
            if not len(rows):
                return
            for row in rows[np.lexsort((-self.gain[rows], first[owner[rows]]))]:
                self.take(int(row))

    def agrees(self, pool: Pool) -> BoolArray:
        return agreeing(pool, self.past, self.offers.verdict.room, self.context.caps, self.context.fatigues, self.taken)

    def full(self) -> BoolArray:
        """(n_offers,) what takes of a quota more than is left."""
        over = (self.used[self.takings.cell] + self.takings.amount > self.rooms.high[self.takings.cell]).astype(np.int64)
        before = np.concatenate(([0], np.cumsum(over)))
        return before[self.takings.first[1:]] > before[self.takings.first[:-1]]

    def take(self, row: int) -> None:
        some = slice(self.takings.first[row], self.takings.first[row + 1])
        cells, amounts = self.takings.cell[some], self.takings.amount[some]
        if (self.used[cells] + amounts <= self.rooms.high[cells]).all():
            self.taken[row] = True
            np.add.at(self.used, cells, amounts)

    def value(self) -> float:
        return float(worth(self.pool, self.past, self.taken, self.context).sum())


def counter_of(offers: Offers, context: PlanContext, rooms: Rooms) -> Counter:
    pool, past, left = pool_of(offers, context), past_of(offers), np.ones(offers.n)
    appraise(pool, past, context.fatigues, scratch(pool, context), np.ones(offers.n, np.bool_), True, left, np.zeros(offers.users.n))
    takings, empty = takings_by(offers, context), np.zeros(offers.n, np.bool_)
    return Counter(offers, context, pool, past, takings, rooms, pool.value * left, empty, np.zeros(len(rooms.high), np.int64))


def by_value(offers: Offers, context: PlanContext, rooms: Rooms) -> float:
    """What is worth most, whoever's it is, first; offers within a sixtieth of all values count as equal to each other's next."""
    counter = counter_of(offers, context, rooms)
    everybody = np.zeros(offers.users.n, np.int64)
    for level in np.quantile(counter.gain[counter.gain > 0], np.linspace(1, 0, LEVELS)):
        counter.fill(counter.gain >= level, everybody)
    return counter.value()


def first_come(offers: Offers, context: PlanContext, rooms: Rooms) -> float:
    """Users in the order of their hash."""
    counter, place = counter_of(offers, context, rooms), np.argsort(np.argsort(offers.users.user_hash))
    block = place * BLOCKS // max(1, offers.users.n)
    for number in range(BLOCKS):
        counter.fill((block == number)[offers.owner()], place)
    return counter.value()


def ours(file: Path, context: PlanContext, rooms: Rooms, folder: Path) -> tuple[float, float]:
    """The value of the plan at prices, and its bound."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        desk = Desk(LocalEngine(), Path(place), Path(place), lambda *_: None, [file])
        found = allocate(desk, [file], context, rooms, np.zeros(len(rooms.high)))
        return float(desk.last["value"]), found.bound  # type: ignore[arg-type]


def beside(store: Store, items: int, folder: Path) -> None:
    """Prints what each way is worth under the quotas of allocation.py."""
    shop = shop_of(store)
    (file,) = copies(shop, shop.batch.num_rows, folder)
    context = replace(shop.context, quotas=quotas_for([file], shop.context, items))
    rooms = rooms_of(context.quotas, context.all_limits)
    (batch,) = read_batches(file)
    offers, (value, bound) = unpack_offers(batch, context), ours(file, context, rooms, folder)
    print(f"{offers.users.n:,} users, {len(context.quotas)} quotas, {len(rooms.high):,} cells: prices and repair {value:,.1f}", end="")
    print(f" of at most {bound:,.1f}, gap {1 - value / bound:.4%}")
    for said, way in (("by value", by_value), ("first come, first served", first_come)):
        print(f"  {said}: {1 - way(offers, context, rooms) / value:.2%} less")


@dataclass(frozen=True)
class Policy:
    """Rules, the horizon, and which shares of what would be sent the quotas leave."""

    rules: list[dict[str, Any]]
    horizon: str
    shares: dict[str, float]

    def told(self) -> str:
        caps = [" ".join(f"{key} {value}" for key, value in rule.items() if key != "rule") for rule in self.rules]
        return f"horizon {self.horizon}, quotas {self.shares or 'none'}; " + "; ".join(caps).replace("'", "")


def drawn(seed: int) -> Policy:
    """A policy that somebody could have: two to five caps and gaps, over one channel or all, quotas scarce or none."""
    rng = np.random.default_rng(seed)

    def some(least: int = 1) -> list[str]:
        return [CHANNELS[n] for n in sorted(rng.choice(3, size=int(rng.integers(least, 4)), replace=False))]

    rules: list[dict[str, Any]] = [
        {"rule": "no_repeat", "channels": CHANNELS, "within": "30d"},
        {"rule": "frequency_cap", "channels": CHANNELS, "max": int(rng.choice([1, 2, 3])), "per": str(rng.choice(["1d", "2d"]))},
        {"rule": "frequency_cap", "channels": CHANNELS, "max": int(rng.choice([3, 4, 6])), "per": "7d"},
    ]
    if rng.random() < 0.7:
        rules.append({"rule": "min_gap", "channels": some(2), "gap": str(rng.choice(["4h", "8h", "12h", "24h"]))})
    if rng.random() < 0.5:
        rules.append({"rule": "frequency_cap", "channels": some(2), "max": 1, "per": str(rng.choice(["12h", "1d", "2d"]))})
    if rng.random() < 0.5:
        rules.append({"rule": "frequency_cap", "channels": some(), "category": "g1", "max": 1, "per": "3d"})
    if rng.random() < 0.6:
        rules.append({"rule": "quiet_hours", "channels": ["push"], "from": "21:00", "to": "08:00"})
    if rng.random() < 0.5:
        rules.append({"rule": "fatigue", "channels": some(), "half_life": "2d", "strength": float(rng.choice([0.3, 0.5]))})
    shares = {c: float(rng.choice([0.1, 0.3, 0.6])) for c in (some() if rng.random() < 0.6 else [])}
    return Policy(rules, str(rng.choice(["24h", "48h", "72h"])), shares)


def shop_under(store: Store, policy: Policy, folder: Path) -> Shop:
    """Some users of the shop under a policy."""
    plain = load_config(store.root.parent / "notif_rec.yml").to_json()
    plain["channels"]["push"]["max_sends"] = plain["channels"]["in_app"]["max_sends"] = 3
    plain["channels"]["email"]["max_sends"] = 2
    config = Config.model_validate_json(json.dumps({**plain, "rules": policy.rules, "horizon": policy.horizon}))
    with store.connect() as connection:
        planner = build_planner(store, connection, config, newest_model(store, AS_OF), AS_OF)
    folder.mkdir()
    files = prepare(store, store.version(), planner.facts, AS_OF, folder, np.arange(PEOPLE, dtype=np.int32)).files
    tables = [pa.ipc.open_file(pa.OSFile(str(part))).read_all() for part in files]
    return Shop(pa.concat_tables(tables).combine_chunks().to_batches()[0], planner.context)


def losses(store: Store, policy: Policy, folder: Path) -> dict[str, float]:
    """What each way loses against our plan."""
    shop = shop_under(store, policy, folder / "in")
    offers, context = make_offers(shop.batch, shop.context), shop.context
    write_batch(pack_offers(offers), folder / "offers.arrow")
    free = choose(offers, replace(context, quotas=tuple(Quota(channel=name, max_sends=10**9) for name in DEMAND)))
    counts = taken_by(Takings(np.arange(offers.n + 1), context.lanes.channel[offers.lane].astype(np.int32), np.ones(offers.n, np.int32)),
                      free.sent, len(CHANNELS))  # fmt: skip
    quotas = [Quota(channel=name, max_sends=int(share * counts[context.names.index(name)])) for name, share in policy.shares.items()]
    context = replace(context, quotas=tuple(quotas) or (Quota(channel="push", max_sends=10**9),))
    rooms = rooms_of(context.quotas, context.all_limits)
    value = ours(folder / "offers.arrow", context, rooms, folder)[0] if quotas else float(free.value.sum())
    return {
        "by value": 1 - by_value(offers, context, rooms) / value,
        "first come": 1 - first_come(offers, context, rooms) / value,
    }


def worst(store: Store, seeds: Sequence[int], folder: Path) -> None:
    """Prints how much greedy loses over drawn policies, and the policies under which it loses most."""
    found = []
    for seed in seeds:
        policy = drawn(seed)
        with tempfile.TemporaryDirectory(dir=folder) as place:
            found.append((losses(store, policy, Path(place)), seed, policy))
    for way in ("by value", "first come"):
        lost = np.array([told[way] for told, *_ in found])
        print(f"{way}: mean {lost.mean():.2%}, median {np.median(lost):.2%}, worst {lost.max():.2%} over {len(lost)} policies")
    for told, seed, policy in sorted(found, key=lambda one: -one[0]["by value"])[:5]:
        print(f"  {told['by value']:.2%} ({told['first come']:.2%} first come), seed {seed}: {policy.told()}")


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("beside", "worst"))
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--policies", type=int, default=60)
    parser.add_argument("--keep", type=Path, help="a folder for the shop; one that is there is used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, one_blas_thread():
        store = shop_store(arguments.keep or Path(place) / "shop")
        if "beside" in arguments.parts:
            beside(store, arguments.items, Path(place))
        if "worst" in arguments.parts:
            worst(store, range(arguments.policies), Path(place))


if __name__ == "__main__":
    main()
