"""Weekly budgets: the price against brute force, and the days that follow each other under one."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notif_rec.planning.context import Channel, PlanContext
from notif_rec.planning.offered import unpack_offers
from notif_rec.planning.offers import offer_batch
from notif_rec.planning.pacing import due_now
from notif_rec.planning.plan_batch import decide_batch, plan_batch
from notif_rec.planning.week_worth import asked_batch, demand_of, week_worth
from notif_rec.planning.weekly import WEEK_US, Weekly, concave_slopes, granted_to_all, nth_smallest, settled
from notif_rec.tables import CLASSES
from tests.planning.worlds import DAY_US, Person, World, settings

PUSH = 0


@given(st.integers(0, 10_000))
def test_the_price_shares_out_what_brute_force_would(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, most, room = int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(rng.integers(0, 12))
    steps = rng.integers(-3, 4, (n, most)) / 2.0  # coarse, so that many tie
    concave = rng.random() < 0.5
    worth = np.concatenate([np.zeros((n, 1)), np.cumsum(-np.sort(-steps, axis=1) if concave else steps, axis=1)], axis=1)
    slopes = np.maximum(concave_slopes(worth), 0.0)
    ties = rng.permutation(n).astype(np.int64) * 1000 + seed

    def asked() -> list[tuple[np.ndarray, np.ndarray]]:
        return [(slopes[u : u + 1], ties[u : u + 1]) for u in np.random.default_rng(seed + 1).permutation(n)]

    found = settled(Weekly(0, most), asked, room)
    k = found.granted(slopes, ties)
    assert found == settled(Weekly(0, most), lambda: [(slopes, ties)], room), "the cut into parts matters"
    assert k.sum() == granted_to_all(found, asked) == min(room, int((slopes > 0).sum()))
    best = max(
        sum(worth[u, j] for u, j in enumerate(chosen)) for chosen in itertools.product(range(most + 1), repeat=n) if sum(chosen) <= room
    )
    reached = sum(worth[u, : k[u] + 1].max() for u in range(n))  # room may be left unused
    rises = [(slopes[u] == s).sum() * s for u in range(n) for s in slopes[u]]
    assert best - reached <= (1e-9 if concave else max(rises) + 1e-9)
    assert reached <= best + 1e-9


@given(st.integers(0, 10_000))
def test_the_envelope_is_the_lowest_concave_line_above(seed: int) -> None:
    worth = np.random.default_rng(seed).normal(size=(3, 7))
    worth[0, 5:] = -np.inf  # out of reach
    slopes = concave_slopes(worth)
    for row, last in ((0, 4), (1, 6), (2, 6)):
        line = np.concatenate([[0.0], np.cumsum(slopes[row, :last])]) + worth[row, 0]
        chords = [
            max(worth[row, a] + (worth[row, b] - worth[row, a]) * (k - a) / max(b - a, 1) for a in range(k + 1) for b in range(k, last + 1))
            for k in range(last + 1)
        ]
        np.testing.assert_allclose(line, chords, atol=1e-9)
    assert not (slopes[0, 4:] > 0).any()


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 3), max_size=9), min_size=1, max_size=4), st.data())
def test_the_nth_smallest_is_that_of_a_sorted_list(parts: list[list[int]], data: st.DataObject) -> None:
    whole = sorted(itertools.chain(*parts))
    if not whole:
        return
    n = data.draw(st.integers(1, len(whole)))
    value, below = nth_smallest(lambda: (np.array(part, np.uint64) for part in parts), n)
    assert value == whole[n - 1]
    assert below == sum(key < value for key in whole)


def crowd(n: int, transactional: frozenset[int] = frozenset()) -> World:
    """People who could be sent two pushes every day, without rules."""
    rng = np.random.default_rng(3)
    rates = [(10.0, float(o), float(c), 20.0) for o, c in zip(rng.integers(0, 9, n), rng.integers(0, 4, n), strict=True)]
    people = [Person(f"u{at:03d}", at, past=((rate,) * 3)) for at, rate in enumerate(rates)]
    return World(
        settings(), people, n_items=10, channels=(Channel("push", 1, 2), Channel("email", 3, 1), Channel("in_app", 2, 2)),
        rules=({"rule": "fatigue", "channels": ["push"], "half_life": "2d", "strength": 0.3},), transactional=transactional,
    )  # fmt: skip


def ask_all(offers: pa.RecordBatch, context: PlanContext) -> list[tuple[np.ndarray, np.ndarray]]:
    made = asked_batch(offers, context).filter(pa.compute.invert(asked_batch(offers, context).column("held")))
    return [(made.column("slopes").flatten().to_numpy().reshape(made.num_rows, -1), made.column("tie").to_numpy())]


def night(world: World, weekly: Weekly, room: int, day: int) -> tuple[pa.RecordBatch, PlanContext]:
    """The decisions of a night, and the context with its budget settled."""
    world.settings = replace(world.settings, as_of_us=settings().as_of_us + day * DAY_US)
    context = replace(world.context(), weekly=(weekly, None, None))
    offers = offer_batch(world.batch(context), context)
    asked = ask_all(offers, context)
    context = replace(context, weekly=(settled(weekly, lambda: asked, room), None, None))
    return decide_batch(offers, context), context


def pushes(decisions: pa.RecordBatch, item_class: str = CLASSES[0]) -> Counter[int]:
    """Pushes of each user."""
    return Counter(
        row["user"]
        for row in decisions.to_pylist()
        for send in row["sends"]
        if (send["channel"], send["kind"], send["position"], send["item_class"]) == ("push", "send", 1, item_class)
    )


def live(world: World, budget: int, days: int, *, forget: bool = False) -> list[Counter[int]]:
    """Night after night under a budget; what each sent. forget: the ledger is not looked at (a planted fault)."""
    start, told = settings().as_of_us, list[Counter[int]]()
    for day in range(days):
        spent = 0 if forget else sum(sum(sent.values()) for sent in told[-6:])
        decisions, context = night(world, Weekly(0, 14, since_us=start), budget - spent, day)
        told.append(pushes(decisions))
        offers = unpack_offers(offer_batch(world.batch(context), context), context)
        weekly = context.weekly[PUSH]
        assert weekly is not None
        demand = demand_of(offers, context, PUSH, weekly)
        k = demand.spent + weekly.granted(demand.slopes, demand.tie)
        for place, user in enumerate(offers.users.user.tolist()):
            assert sum(sent[user] for sent in told[-7:]) <= k[place], "more than the user's share of the week"
        for row in decisions.to_pylist():
            for send in row["sends"]:
                if send["kind"] == "send" and send["position"] == 1:
                    at = int(send["send_at"].timestamp() * 1e6) if hasattr(send["send_at"], "timestamp") else send["send_at"]
                    channel = [c.name for c in world.channels].index(send["channel"])
                    world.people[row["user"]].sends.append((at, channel, (send["item"],), True))
    return told


def weeks(told: list[Counter[int]]) -> list[int]:
    """Sends of each seven days in a row."""
    totals = [sum(sent.values()) for sent in told]
    return [sum(totals[max(0, day - 6) : day + 1]) for day in range(len(totals))]


def test_days_in_a_row_never_exceed_the_budget_and_use_it_evenly() -> None:
    budget = 56
    told = live(crowd(40), budget, 15)
    assert max(weeks(told)) <= budget
    assert min(weeks(told)[7:]) >= 0.9 * budget, "the budget lies idle"
    daily = [sum(sent.values()) for sent in told]
    assert max(daily) <= 2 * budget / 7, daily


def test_what_fell_due_before_there_was_a_budget_is_not_made_up_for() -> None:
    begun, always = (night(crowd(40), Weekly(0, 14, since_us=since), 56, 0)[0] for since in (settings().as_of_us, 0))
    assert 0 < 1.5 * sum(pushes(begun).values()) < sum(pushes(always).values())


def test_a_plan_that_forgets_what_it_sent_is_caught() -> None:
    assert max(weeks(live(crowd(40), 56, 9, forget=True))) > 56


def test_budget_zero_sends_no_marketing_and_every_transactional_item() -> None:
    world = crowd(20, frozenset({1, 2}))
    free, _ = night(world, Weekly(0, 14), 10**6, 0)
    none, _ = night(world, Weekly(0, 14), 0, 0)
    assert pushes(none) == Counter()
    assert sum(pushes(free).values()) > 0
    assert pushes(none, "transactional") >= pushes(free, "transactional")
    assert sum(pushes(none, "transactional").values()) > 0


def test_beside_transactional_sends_no_user_gets_more_marketing_than_is_due() -> None:
    world = crowd(40, frozenset({1, 2}))
    decisions, context = night(world, Weekly(0, 14), 10**6, 0)
    offers, weekly = unpack_offers(offer_batch(world.batch(context), context), context), context.weekly[PUSH]
    assert weekly is not None
    due = due_now(offers, context, PUSH, weekly, demand_of(offers, context, PUSH, weekly))
    sent, urgent = pushes(decisions), pushes(decisions, "transactional")
    assert all(sent[user] <= due[place] for place, user in enumerate(offers.users.user.tolist()))
    assert any(sent[user] and urgent[user] for user in range(40)), "no user has both"


def test_a_budget_beyond_all_wishes_grants_them_all_and_one_settled_never_binds_before() -> None:
    world = crowd(20)
    _, context = night(world, Weekly(0, 14), 10**9, 0)
    weekly = context.weekly[PUSH]
    assert weekly is not None
    assert (weekly.price, weekly.tie, weekly.rest) == (0.0, 0, 0)
    unsettled = replace(context, weekly=(Weekly(0, 14), None, None))
    assert plan_batch(world.batch(context), unsettled).equals(plan_batch(world.batch(context), replace(context, weekly=())))


def test_the_least_is_granted_before_anything_is_weighed() -> None:
    world = crowd(30)
    _, context = night(world, Weekly(1, 14), 40, 0)
    weekly = context.weekly[PUSH]
    assert weekly is not None
    offers = unpack_offers(offer_batch(world.batch(context), context), context)
    demand = demand_of(offers, context, PUSH, weekly)
    k = weekly.granted(demand.slopes, demand.tie)
    assert k.min() >= 1
    assert k.sum() == 40


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7, 9, 14])
def test_a_weeks_share_falls_due_in_exactly_its_number_and_evenly(k: int) -> None:
    world = crowd(200)
    context = world.context()
    offers = unpack_offers(offer_batch(world.batch(context), context), context)
    demand = replace(demand_of(offers, context, PUSH, Weekly(0, 14)), slopes=np.ones((200, k)))
    due = []
    for day in range(7):  # nothing is ever sent, and nothing stands over: each day is looked at by itself
        at = settings().as_of_us + day * DAY_US
        today = replace(context, settings=replace(context.settings, as_of_us=at))
        due.append(due_now(offers, today, PUSH, Weekly(0, 14, 0.5, since_us=at), demand))
    assert (np.sum(due, axis=0) == k).all()
    assert max(map(max, due)) == -(-k // 7)
    assert np.ptp([day.sum() for day in due]) <= 0.5 * 200 * k / 7 + 5


def test_worth_is_what_a_loop_over_one_user_says() -> None:
    world = crowd(12)
    world.people[4].sends = [(world.settings.as_of_us - DAY_US, 0, (3,), True)]
    context = replace(world.context(), weekly=(Weekly(0, 5), None, None))
    offers = unpack_offers(offer_batch(world.batch(context), context), context)
    spent = np.arange(12) % 3
    worth, _ = week_worth(offers, context, PUSH, 5, spent)
    for user in range(12):
        best: dict[int, float] = {}
        for row in range(offers.start[user], offers.start[user + 1]):
            if context.lanes.channel[offers.lane[row]] == PUSH:
                best[int(offers.content[row])] = max(best.get(int(offers.content[row]), 0.0), float(offers.value[row]))
        values = sorted(best.values(), reverse=True)
        cost = -3.0 * float(offers.p_unsubscribe[user, PUSH])
        for k in range(1, 6):
            gaps = [(WEEK_US / k) * step / (2 * DAY_US) for step in range(1, 200)]
            left = 0.7 ** sum(2.0**-gap for gap in gaps)
            ahead = (values[:1] * int(spent[user]) + values + values[-1:] * k)[:k]
            assert worth[user, k] == pytest.approx(sum((v - cost) * left + cost for v in ahead), rel=1e-6)


def test_offers_made_anew_come_out_as_those_that_were_kept() -> None:
    world = crowd(20, frozenset({1, 2}))
    decisions, context = night(world, Weekly(0, 14), 10, 0)
    assert plan_batch(world.batch(context), context).equals(decisions)
