"""How near the best possible plan is, within a user and across users, and what that costs; within users greedy by value beside it.

    python benchmarks/allocation.py within                      # a sample against exhaustive search and greedy
    python benchmarks/allocation.py across [--users 1000000]    # three quotas; --items 1000: a cap on each item as well

A generated shop (world.py) is ingested and trained on by the front door, and planned for under the rules of the default config, a cap on a
category and back_off. More users than the shop has are copies of its users to whom each channel and each message is worth something else.
Times are processor seconds of one process. Passes hand files to each other, as in a plan; lists and propensities are not made.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import yaml
from world import AS_OF, Size, make_world

from notif_rec.cli.main import main as notif_rec
from notif_rec.config import Config, load_config
from notif_rec.engines.engine import Task
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
from notif_rec.planning.ranking import rank_candidates
from notif_rec.planning.select import agreeing, select
from notif_rec.planning.tiring import appraise, new_tiring
from notif_rec.planning.users import unpack_users
from notif_rec.planning.verdict import judge
from notif_rec.store.store import Store
from notif_rec.workflows.allocate import Office, allocate
from notif_rec.workflows.context import build_planner, newest_model
from notif_rec.workflows.init import STARTER

SHOP, SAMPLE = Size(20_000, 1_000, 600_000), 3_000
MORE_RULES = (
    {"rule": "frequency_cap", "channels": ["push"], "category": "g1", "max": 1, "per": "3d"},
    {"rule": "back_off", "channels": ["push"], "after_ignored": 3, "wait": "7d", "factor": 2, "max_wait": "30d"},
)
NESTING = ("quiet_hours", "frequency_cap", "fatigue", "back_off")  # caps that cross no channel but all of them
EXHAUSTIVE = 50_000_000  # search steps a user: the search then ends by itself
DEMAND = {"push": 0.5, "email": 0.4, "in_app": 0.6}  # quotas, as shares of what would be sent without them
ITEM_SHARE = 0.5  # of what the item at a fifth of the ranking would be sent: what the channels leave still binds
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Shop:
    """Everybody's row of planning input, and a plan's context."""

    batch: pa.RecordBatch
    context: PlanContext


def build(folder: Path) -> Store:
    """A store with a model."""
    make_world(folder, SHOP)
    config = str(folder / "notif_rec.yml")
    for table, *files in (("users", "users.csv"), ("items", "items.csv"), ("events", "events-0.csv", "events-1.csv")):
        notif_rec(["ingest", table, *(str(folder / name) for name in files), "-q", "-c", config])
    notif_rec(["train", "--as-of", f"{AS_OF:%Y-%m-%d}", "-q", "-c", config])
    return Store.open(folder / ".notif_rec")


def shop_store(folder: Path) -> Store:
    """The store in `folder`, built where there is none."""
    return Store.open(folder / ".notif_rec") if folder.exists() else build(folder)


def shop_of(store: Store, keeps: Sequence[str] = ()) -> Shop:
    """The shop under the default config's rules (those named in `keeps`, where it names any), and more."""
    rules = [*yaml.safe_load(STARTER.read_text(encoding="utf-8"))["rules"], *MORE_RULES]
    if keeps:
        rules = [rule for rule in rules if rule["rule"] in keeps and "category" not in rule]
    plain = load_config(store.root.parent / "notif_rec.yml")
    config = Config.model_validate_json(json.dumps({**plain.to_json(), "rules": rules}))
    with tempfile.TemporaryDirectory() as place, store.connect() as connection:
        planner = build_planner(store, connection, config, newest_model(store, AS_OF), AS_OF)
        parts = prepare(store, store.version(), planner.facts, AS_OF, Path(place)).files
        tables = [pa.ipc.open_file(pa.OSFile(str(part))).read_all() for part in parts]
    return Shop(pa.concat_tables(tables).combine_chunks().to_batches()[0], planner.context)


def seconds() -> float:
    return time.process_time()


def within(store: Store) -> None:
    """Prints loss, certified gap and cost of the choice within users."""
    for name, keeps in (("all rules", ()), ("caps that nest", NESTING)):
        shop = shop_of(store, keeps)
        offers = make_offers(shop.batch.slice(0, SAMPLE), shop.context)
        pool, past = pool_of(offers, shop.context), past_of(offers)
        sought, exact = (chosen_by(pool, past, offers, shop.context, limit) for limit in (shop.context.settings.node_limit, EXHAUSTIVE))
        first = worth(pool, past, greedily(pool, past, offers, shop.context), shop.context)
        lost = 1.0 - first / np.maximum(exact.value, 1e-12)
        proved = bool((exact.bound <= exact.value * (1 + 1e-12) + 1e-12).all())
        print(f"{name}: {offers.n / SAMPLE:.1f} offers a user, {SAMPLE:,} users, exhaustive search proves all: {proved}")
        print(f"  loss against exact {1 - sought.value.sum() / exact.value.sum():.5%}, certified gap {gap(sought.value, sought.bound):.5%}")
        print(f"  greedy by value: loss {1 - first.sum() / exact.value.sum():.2%}, worst user {lost.max():.0%}, ", end="")
        print(f"{(lost > 0.01).mean():.0%} of users lose more than 1 %")
    timed(shop_of(store))


def chosen_by(pool: Pool, past: Past, offers: Offers, context: PlanContext, limit: int):  # type: ignore[no-untyped-def]
    return select(pool, past, offers.verdict.room, context.caps, context.fatigues, limit)


def gap(value: FloatArray, bound: FloatArray) -> float:
    return float(1.0 - value.sum() / bound.sum())


def timed(shop: Shop) -> None:
    """Prints processor seconds per million users of the parts of planning, once all is compiled."""
    context, million = shop.context, 1e6 / shop.batch.num_rows
    make_offers(shop.batch.slice(0, 100), context)
    start = seconds()
    users = unpack_users(shop.batch, context.lookup, len(context.channels), len(context.audiences))
    verdict = judge(users, context)
    history = seconds() - start
    start = seconds()
    rank_candidates(users, verdict, context)
    ranking = seconds() - start
    start = seconds()
    offers = make_offers(shop.batch, context)
    whole = seconds() - start
    start = seconds()
    chosen_by(pool_of(offers, context), past_of(offers), offers, context, context.settings.node_limit)
    search = seconds() - start
    made = whole - history - ranking
    whole_of_it = (history + made + search) * million
    told = f"history {history * million:.0f}, offers {made * million:.0f}, search {search * million:.0f}; together {whole_of_it:.0f}"
    print(f"core-s per million users: {told} (ranking by taste, not in it: {ranking * million:.0f})")


def greedily(pool: Pool, past: Past, offers: Offers, context: PlanContext) -> BoolArray:
    """The most valuable offer first, then the next that fits, user by user."""
    taken = np.zeros(offers.n, dtype=np.bool_)
    owner, left = offers.owner(), np.ones(offers.n)
    appraise(pool, past, context.fatigues, scratch(pool, context), np.ones(offers.n, np.bool_), True, left, np.zeros(offers.users.n))
    order = np.lexsort((pool.tie, -pool.value * left, owner))
    while True:
        rows = order[agreeing(pool, past, offers.verdict.room, context.caps, context.fatigues, taken)[order]]
        if not len(rows):
            return taken
        taken[rows[np.diff(owner[rows], prepend=-1) != 0]] = True


def scratch(pool: Pool, context: PlanContext):  # type: ignore[no-untyped-def]
    return new_tiring(int(np.diff(pool.start).max(initial=0)), len(context.fatigues.keep))


def worth(pool: Pool, past: Past, chosen: BoolArray, context: PlanContext) -> FloatArray:
    """(n_users,) what sets are worth, fatigue counted."""
    value = np.zeros(len(pool.start) - 1)
    appraise(pool, past, context.fatigues, scratch(pool, context), chosen, False, np.ones(len(chosen)), value)
    return value


def copies(shop: Shop, users: int, folder: Path) -> list[Path]:
    """Offers of so many users as files: the shop's, then copies to whom channels and messages are worth something else."""
    offers, rng, made = make_offers(shop.batch, shop.context), np.random.default_rng(7), []
    n, owner, lanes = offers.users.n, offers.owner(), len(shop.context.lanes.channel)
    for number in range(-(-users // n)):
        spread = rng.normal(0, 0.5, (n, lanes))[owner, offers.lane]
        spread += rng.normal(0, 0.3, (n, int(offers.content.max()) + 1))[owner, offers.content]
        people = replace(
            offers.users,
            user=(offers.users.user + number * n).astype(np.int32),
            user_hash=offers.users.user_hash ^ np.uint64(number * 0x9E3779B97F4A7C15 % 2**64),
        )
        copy = replace(offers, users=people, value=offers.value * np.exp(spread))
        made.append(folder / f"offers-{number:03d}.arrow")
        write_batch(pack_offers(copy), made[-1])
    return made


@dataclass(frozen=True)
class Desk(Office):
    """An office in this process that has the offers already, and looks at the last pass instead of writing it down."""

    offers: Sequence[Path] = ()
    spent: dict[str, float] = field(default_factory=dict)
    last: dict[str, object] = field(default_factory=dict)

    def run(self, task: Task, parts: Sequence[Path], context: PlanContext, name: str) -> list[Path]:
        """As Office.run, timed by kind of pass."""
        if name == "offers":
            return list(self.offers)
        start, made = seconds(), []
        if name == "decide":
            self.last["value"], self.last["taken"] = tally(parts, context)
        for part in parts if name != "decide" else ():
            made.append(self.folder / f"{name}-{part.name}")
            with pa.OSFile(str(made[-1]), "wb") as sink, pa.ipc.new_file(sink, task.writes) as writer:
                for batch in read_batches(part):
                    writer.write_batch(task.apply(batch, context))
        kind = name.split("-")[0]
        self.spent[kind] = self.spent.get(kind, 0.0) + seconds() - start
        return made


def tally(parts: Sequence[Path], context: PlanContext) -> tuple[float, npt.NDArray[np.int64]]:
    """What everybody's choice is worth, and what it takes of every cell."""
    value, taken = 0.0, np.zeros(len(context.all_limits.place), np.int64)
    everything = replace(context, market=None)
    for batch in (batch for part in parts for batch in read_batches(part)):
        offers = unpack_offers(batch, context)
        choice = choose(offers, context)
        value += float(choice.value.sum())
        taken += taken_by(takings_by(offers, everything), choice.sent, len(taken))
    return value, taken


def taken_by(takings: Takings, sent: BoolArray, n_cells: int) -> npt.NDArray[np.int64]:
    rows = np.repeat(sent, np.diff(takings.first))
    return np.bincount(takings.cell[rows], weights=takings.amount[rows], minlength=n_cells).astype(np.int64)


def across(store: Store, users: int, items: int, folder: Path) -> None:
    """Prints gap and cost of quotas over so many users: of a first plan, and of one that begins at its prices."""
    shop = shop_of(store)
    files = copies(shop, users, folder)
    context = replace(shop.context, quotas=quotas_for(files, shop.context, items))
    rooms = rooms_of(context.quotas, context.all_limits)
    known = np.zeros(len(rooms.high))
    for said in ("a first plan", "one that begins at its prices"):
        print(f"{said}, {len(files) * shop.batch.num_rows:,} users:")
        known = prices_of(settled(files, context, rooms, known, folder), len(known))
    print(f"{len(context.quotas)} quotas, {len(known):,} cells, {int((known > 0).sum()):,} with a price")


def settled(files: Sequence[Path], context: PlanContext, rooms: Rooms, known: FloatArray, folder: Path) -> PlanContext:
    """The context of an allocation; prints its gap and what it took."""
    with tempfile.TemporaryDirectory(dir=folder) as place:
        desk = Desk(LocalEngine(), Path(place), Path(place), lambda *_: None, files)
        start = seconds()
        found = allocate(desk, files, context, rooms, known)
        own = seconds() - start - sum(desk.spent.values())
    value, taken = float(desk.last["value"]), desk.last["taken"]  # type: ignore[arg-type]
    broken = int((np.asarray(taken) > rooms.high).sum())
    passes = ", ".join(f"{kind} {spent:.0f}" for kind, spent in desk.spent.items())
    print(f"  value {value:,.1f} of at most {found.bound:,.1f}: gap {1 - value / found.bound:.5%}; {broken} quotas broken")
    print(
        f"  {found.sampled} passes over a sample, {found.whole} over all; core-s: prices and repair {own:.1f}; passes: {passes}", flush=True
    )
    return found.context


def quotas_for(files: Sequence[Path], context: PlanContext, items: int) -> tuple[Quota, ...]:
    """A quota a channel, and where asked one for any item, that bind: shares of what would be sent without them."""
    free = replace(context, quotas=(*(Quota(channel=name, max_sends=10**9) for name in DEMAND), Quota(item="any", max_sends=10**9)))
    _, taken = tally(files[:1], free)
    scale = len(files)
    quotas = [Quota(channel=name, max_sends=int(share * scale * taken[n])) for n, (name, share) in enumerate(DEMAND.items())]
    of_items = np.sort(taken[len(DEMAND) :])[::-1]
    most = Quota(item="any", max_sends=int(ITEM_SHARE * scale * of_items[min(items, len(of_items)) // 5])) if items else None
    return (*quotas, most) if most else tuple(quotas)


def prices_of(context: PlanContext, n_cells: int) -> FloatArray:
    prices = np.zeros(n_cells)
    if context.market is not None:
        inside = context.market.place >= 0
        prices[inside] = context.market.price[context.market.place[inside]]
    return prices


def main() -> None:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=("within", "across"))
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="a folder for the shop; one that is there is used again")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, one_blas_thread():
        store = shop_store(arguments.keep or Path(place) / "shop")
        if "within" in arguments.parts:
            within(store)
        if "across" in arguments.parts:
            across(store, arguments.users, arguments.items, Path(place))


if __name__ == "__main__":
    main()
