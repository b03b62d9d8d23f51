"""Prices and repair against HiGHS on menus, and whole allocations against every set there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import Bounds, LinearConstraint, milp

from notif_rec.errors import DataError
from notif_rec.planning import allot as allotting
from notif_rec.planning.allot import dual_bound
from notif_rec.planning.cells import Quota, rooms_of
from notif_rec.planning.choose import takings_by
from notif_rec.planning.context import PlanContext
from notif_rec.planning.dual import find_prices
from notif_rec.planning.menu_table import Listed, menu_batch, read_menus
from notif_rec.planning.menus import UNLIMITED, Menus, Rooms, best_entries, net_values, usage
from notif_rec.planning.offers import make_offers, offer_batch
from notif_rec.planning.plan_batch import decide_batch, plan_batch
from notif_rec.planning.repair import pick_entries
from notif_rec.tables import PLANNING_INPUT
from notif_rec.workflows import allocate as allocating
from tests.planning.quota_worlds import Seen, allocated, broken_quotas, decided, live, prices_of, quota_world, random_quotas, sampled
from tests.planning.truth import feasible_sets, options, rows_of, worth
from tests.planning.worlds import World, random_world

SEEDS = range(500)
WORLDS = range(80)
PEOPLE = 6


def random_menus(seed: int) -> tuple[Menus, Rooms]:
    """Some dozens of users at most, a handful of cells, sends or money, most of them tight."""
    rng = np.random.default_rng(seed)
    n, n_cells = int(rng.integers(2, 40)), int(rng.integers(1, 7))
    sizes = rng.integers(0, 7, n)
    value = rng.random(sizes.sum()) * np.repeat(np.exp(rng.normal(0, 0.5, n)), sizes)
    cells = [np.sort(rng.choice(n_cells, int(rng.integers(0, min(n_cells, 3) + 1)), replace=False)) for _ in value]
    first = np.concatenate(([0], np.cumsum([len(c) for c in cells]))).astype(np.int64)
    cell = np.concatenate([np.zeros(0), *cells]).astype(np.int32)
    amount = (rng.integers(1, 3, len(cell)) if rng.random() < 0.5 else np.ones(len(cell))).astype(np.int32)
    menus = Menus(np.concatenate(([0], np.cumsum(sizes))), value, first, cell, amount)
    free = usage(menus, best_entries(menus, value), n_cells)
    high = np.array([rng.integers(0, max(1, f) + 1) if rng.random() < 0.8 else UNLIMITED for f in free], dtype=np.int64)
    return menus, Rooms(np.zeros(n_cells, np.int64), high, np.ones(n_cells))


def optimum(menus: Menus, rooms: Rooms) -> float:
    """The value of the best picks, by HiGHS; nan where there are none."""
    n_entries = len(menus.value)
    if not n_entries:
        return 0.0
    owner, entry = np.repeat(np.arange(menus.n), np.diff(menus.start)), np.repeat(np.arange(n_entries), np.diff(menus.first))
    one = sparse.csr_matrix((np.ones(n_entries), (owner, np.arange(n_entries))), (menus.n, n_entries))
    takes = sparse.csr_matrix((menus.amount, (menus.cell, entry)), (len(rooms.high), n_entries))
    low = np.concatenate([np.full(menus.n, -np.inf), rooms.low])
    high = np.concatenate([np.ones(menus.n), np.where(rooms.high < UNLIMITED, rooms.high, np.inf)])
    found = milp(-menus.value, constraints=LinearConstraint(sparse.vstack([one, takes]), low, high), integrality=1, bounds=Bounds(0, 1))
    return -float(found.fun) if found.success else float("nan")


def loss(seed: int) -> tuple[float, float]:
    """The optimum, and how far the picks are from it; checks everything that always holds."""
    menus, rooms = random_menus(seed)
    dual = find_prices(menus, rooms)
    picks = pick_entries(menus, rooms, dual.prices)
    value, best = float(menus.value[picks[picks >= 0]].sum()), optimum(menus, rooms)
    taken = usage(menus, picks, len(rooms.high))
    assert (taken <= rooms.high).all()
    assert value <= best + 1e-9 <= dual.value + 2e-9
    binding, most = int((dual.prices > 0).sum()), float(menus.value.max(initial=0.0))
    assert best - value <= binding * most + 1e-9
    return best, best - value


def test_picks_keep_every_quota_and_stay_near_the_optimum_below_the_bound() -> None:
    found = np.array([loss(seed) for seed in SEEDS])
    lost = found[:, 1] / np.maximum(found[:, 0], 1e-9)
    assert lost.mean() < 0.002
    assert (lost < 1e-9).mean() > 0.85


def test_without_quotas_nothing_is_lost() -> None:
    for seed in SEEDS[:50]:
        menus, rooms = random_menus(seed)
        open_ = rooms._replace(high=np.full_like(rooms.high, UNLIMITED))
        dual = find_prices(menus, open_)
        picks = pick_entries(menus, open_, dual.prices)
        assert not dual.prices.any()
        assert float(menus.value[picks[picks >= 0]].sum()) == pytest.approx(optimum(menus, open_), abs=1e-9)


def test_a_minimum_is_met_wherever_one_can_be_and_the_bound_holds() -> None:
    met = 0
    for seed in SEEDS[:100]:
        menus, rooms = random_menus(seed)
        most = usage(menus, np.where(np.diff(menus.start) > 0, menus.start[:-1], -1), len(rooms.high))
        low = np.minimum(most // 2, np.minimum(rooms.high, 3))
        limited = rooms._replace(low=low)
        best = optimum(menus, limited)
        if np.isnan(best):
            continue
        dual = find_prices(menus, limited)
        picks = pick_entries(menus, limited, dual.prices)
        taken = usage(menus, picks, len(low))
        assert (taken <= limited.high).all()
        assert best <= dual.value + 1e-9
        met += bool((taken >= low).all())
        if (taken >= low).all():
            assert float(menus.value[picks[picks >= 0]].sum()) <= best + 1e-9
    assert met > 75


def test_a_bound_that_forgets_what_the_rooms_are_worth_is_none() -> None:
    """Net values alone fall below the optimum: the test above would notice."""
    short = 0
    for seed in SEEDS[:50]:
        menus, rooms = random_menus(seed)
        dual = find_prices(menus, rooms)
        net = net_values(menus, dual.prices, rooms.unit)
        picks = best_entries(menus, net)
        short += float(net[picks[picks >= 0]].sum()) < optimum(menus, rooms) - 1e-9
    assert short > 10


def small_world(seed: int) -> tuple[World, PlanContext]:
    """Few enough people and offers for an oracle that tries every set."""
    world = quota_world(seed, PEOPLE, 6)
    world = replace(world, quotas=random_quotas(world, np.random.default_rng([seed, 7]), least=False))
    return world, world.context()


def best_plan(world: World, context: PlanContext) -> float:
    """The most that any sets of the offers are worth together within the quotas, by HiGHS over every feasible set of every user."""
    offers = make_offers(world.batch(context), context)
    takings, rooms = takings_by(offers, context), rooms_of(context.quotas, context.all_limits)
    start, value, first, cell, amount = [0], [], [0], [], []
    for user, person in enumerate(world.people):
        for chosen in feasible_sets(world, person, options(world, offers, context, user)):
            used = np.zeros(len(rooms.high), dtype=np.int64)
            for option in chosen:
                some = slice(takings.first[option.row], takings.first[option.row + 1])
                np.add.at(used, takings.cell[some], takings.amount[some])
            if chosen:
                value.append(worth(world, person, chosen))
                cell += np.flatnonzero(used).tolist()
                amount += used[used > 0].tolist()
                first.append(len(cell))
        start.append(len(value))
    arrays = (np.array(start), np.array(value), np.array(first), np.array(cell, np.int32), np.array(amount, np.int32))
    return optimum(Menus(*arrays), rooms)


@pytest.mark.parametrize("seeds", [WORLDS[i::8] for i in range(8)], ids=str)
def test_a_whole_allocation_keeps_its_quotas_and_comes_near_the_best_plan_there_is(seeds: range, tmp_path: Path) -> None:
    for seed in seeds:
        world, context = small_world(seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = allocated(world, context, folder)
        rows = decided(made)
        value, best = sum(row["value"] for row in rows), best_plan(world, context)
        bound = sum(row["bound"] for row in rows) if made.bound == np.inf else made.bound
        most = max((row["value"] for row in plan_batch(world.batch(context), context).to_pylist()), default=0.0)
        assert value <= best + 1e-9 <= bound + 2e-9, seed
        assert best - value <= len(context.quotas) * most + 1e-9, seed
        assert not broken_quotas(world, [send for send in rows_of(rows) if send["kind"] == "send"])


def test_no_quota_and_no_rule_is_broken_in_worlds_planned_twice() -> None:
    """A thousand of them in the soak: `python -m tests.planning.quota_worlds 0 1000`."""
    seen = sum(map(live, range(12)), Seen())
    assert not seen.faults
    assert seen.priced > 5


def bound_of_draws_that_all_fit(listed: Listed, rooms: Rooms, prices: np.ndarray, share: float = 1.0, net: float | None = None) -> float:
    high = np.where(rooms.high < UNLIMITED, rooms.high, 0)
    return float(listed.bound.sum() + share * (np.maximum(prices, 0) * high / rooms.unit).sum())


BROKEN: dict[str, tuple[ModuleType, str, object]] = {
    "the repair": (allotting, "pick_entries", lambda menus, rooms, prices: best_entries(menus, net_values(menus, prices, rooms.unit))),
    "the room for what chance chose": (allotting, "fit_entries", lambda menus, rooms, picks: picks.copy()),
    "room in the bound for what chance chose": (allocating, "dual_bound", bound_of_draws_that_all_fit),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_plan_without_it_breaks_quotas_or_its_bound_and_is_found(monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(*BROKEN[what])
    assert any(live(seed).faults for seed in range(100)), f"100 worlds without {what} were found sound"


def test_prices_of_yesterday_save_passes_and_change_no_bound(tmp_path: Path) -> None:
    quotas = (Quota(channel="push", max_sends=12), Quota(channel="email", max_sends=9), Quota(item="any", max_sends=6))
    passes = np.zeros(2, dtype=np.int64)
    for seed in (1, 4, 6, 10):
        world = replace(random_world(seed, 60, max_offers=6), quotas=quotas)
        context, folder = world.context(), tmp_path / str(seed)
        folder.mkdir()
        cold = allocated(world, context, folder)
        assert cold.context.market is not None and cold.context.market.price.any()
        warm = allocated(world, context, folder, prices_of(cold.context))
        assert warm.bound == pytest.approx(cold.bound, rel=3e-4)
        passes += cold.sampled, warm.sampled
    assert passes[1] <= passes[0] / 2


def test_prices_that_do_not_settle_still_give_a_plan_that_keeps_its_quotas_below_a_bound_that_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left, whole = [], allocating.PASSES
    for seed in WORLDS[:4]:
        world, context = small_world(seed)
        for passes, rounds in ((whole, allocating.ROUNDS), (1, 0)):
            folder = tmp_path / f"{seed}-{passes}"
            folder.mkdir()
            monkeypatch.setattr(allocating, "PASSES", passes)
            monkeypatch.setattr(allocating, "ROUNDS", rounds)
            made = allocated(world, context, folder)
            rows = decided(made)
            bound, best = sum(row["bound"] for row in rows) if made.bound == np.inf else made.bound, best_plan(world, context)
            assert sum(row["value"] for row in rows) <= best + 1e-9 <= bound + 2e-9, seed
            assert not broken_quotas(world, [send for send in rows_of(rows) if send["kind"] == "send"])
            left.append((passes, made.unsettled))
    assert not any(unsettled for passes, unsettled in left if passes == whole)
    assert sum(0.0 < unsettled < 1.0 for passes, unsettled in left if passes == 1) > 1


def test_a_minimum_above_what_is_eligible_is_refused_and_so_is_one_that_others_forbid(tmp_path: Path) -> None:
    plain = random_world(5, 20, max_offers=6)
    for quotas, words in (
        (
            (Quota(channel="push", min_sends=500),),
            r"quota of push: at least 500 sends are asked for, but all offers to everybody allow \d+ at most",
        ),
        (
            (Quota(channel="push", min_sends=6), Quota(max_sends=5)),
            "quota of push: at least 6 sends are asked for, but rules and other quotas leave room for 5",
        ),
    ):
        world = replace(plain, quotas=quotas)
        with pytest.raises(DataError, match=words):
            allocated(world, world.context(), tmp_path)


def test_where_close_calls_alone_cannot_meet_a_minimum_everything_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More e-mails than users would choose, at a price for promises that suits other users: only menus told in full hold them."""
    world = replace(quota_world(10, 60, 6), quotas=(Quota(channel="email", min_sends=15), Quota(max_sends=70)))
    context = world.context()
    monkeypatch.setattr(allocating, "reach_of", lambda *_: 1e-9)
    with sampled(PEOPLE, 0):
        made = allocated(world, context, tmp_path)
    assert made.whole > 1
    assert not broken_quotas(world, [send for send in rows_of(decided(made)) if send["kind"] == "send"])


def test_offers_read_again_give_the_same_decisions() -> None:
    for seed in WORLDS:
        world = random_world(seed, 3, max_offers=24)
        context = world.context()
        batch = world.batch(context)
        assert batch.schema.equals(PLANNING_INPUT)
        assert decide_batch(offer_batch(batch, context), context).equals(plan_batch(batch, context)), seed


def test_menus_hold_feasible_sets_at_their_worth_and_the_chosen_one_first() -> None:
    for seed in WORLDS:
        world, context = small_world(seed)
        offers = make_offers(world.batch(context), context)
        listed = read_menus([menu_batch(offer_batch(world.batch(context), context), context)])
        menus, takings = listed.menus, takings_by(offers, context)
        for user, person in enumerate(world.people):
            found = {int(o.row - offers.start[user]): o for o in options(world, offers, context, user)}
            sets = {frozenset(o.send for o in chosen) for chosen in feasible_sets(world, person, list(found.values()))}
            for entry in range(menus.start[user], menus.start[user + 1]):
                bits = int(listed.bits[entry])
                chosen = tuple(option for place, option in found.items() if bits >> place & 1)
                assert frozenset(o.send for o in chosen) in sets
                assert menus.value[entry] == pytest.approx(worth(world, person, chosen), abs=1e-12)
                used = np.zeros(len(context.all_limits.place), dtype=np.int64)
                for option in chosen:
                    some = slice(takings.first[option.row], takings.first[option.row + 1])
                    np.add.at(used, takings.cell[some], takings.amount[some])
                takes = slice(menus.first[entry], menus.first[entry + 1])
                told = dict(zip(menus.cell[takes].tolist(), menus.amount[takes].tolist(), strict=True))
                assert told == {int(c): int(used[c]) for c in np.flatnonzero(used)}
            if listed.own[user]:
                assert listed.bits[menus.start[user]] == listed.own[user]
        rooms = rooms_of(context.quotas, context.all_limits)
        assert dual_bound(listed, rooms, np.zeros(len(rooms.high))) == pytest.approx(listed.bound.sum())
