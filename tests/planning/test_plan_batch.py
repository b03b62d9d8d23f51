"""Whole plans over random worlds: what no plan may ever do, and what must not matter."""

from __future__ import annotations

from datetime import timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.planning.arms import explored_channel
from notif_rec.planning.choose import choose
from notif_rec.planning.context import PlanContext
from notif_rec.planning.decisions import DECISIONS, send_keys
from notif_rec.planning.offers import consider, make_offers
from notif_rec.planning.plan_batch import plan_batch
from notif_rec.tables import CONSENTS
from tests.planning.truth import excludes, feasible, moment, options, room, rows_of, sent, worth
from tests.planning.worlds import Person, World, random_world

SEEDS = st.integers(0, 499)
WORLDS = settings(max_examples=500, deadline=None)
PEOPLE = 3
PROPENSITY_WORLDS = ((0, None), (2, 0.05), (40, None))  # marketing alone, and with transactional items


@cache
def planned(seed: int) -> tuple[World, PlanContext, pa.RecordBatch, list[dict[str, Any]]]:
    world = random_world(seed, PEOPLE, max_offers=24)
    context = world.context()
    batch = world.batch(context)
    return world, context, batch, plan_batch(batch, context).to_pylist()


def sends_to(rows: list[dict[str, Any]], code: int, kind: str = "send") -> list[dict[str, Any]]:
    return [send for send in rows_of(rows) if send["user"] == code and send["kind"] == kind]


def microseconds(send: dict[str, Any]) -> int:
    return (send["send_at"] - moment(0)) // timedelta(microseconds=1)


@WORLDS
@given(SEEDS)
def test_no_rule_is_broken_by_what_is_sent_beside_what_is_known(seed: int) -> None:
    world, _, _, rows = planned(seed)
    for person in world.people:
        plan = [sent(world, person, microseconds(s), s["channel"], s["items"], True) for s in sends_to(rows, person.code)]
        assert feasible(world, person, plan)


@WORLDS
@given(SEEDS)
def test_nothing_goes_where_it_must_not(seed: int) -> None:
    world, _, _, rows = planned(seed)
    for person in world.people:
        for send in sends_to(rows, person.code):
            channel = world.names.index(send["channel"])
            assert CONSENTS[person.consent[channel]] in permitted(world, send["channel"])
            assert not person.suppressed[channel]
            assert send["channel"] not in world.paused
            check_items(world, person, send, channel)
            check_moment(world, microseconds(send))


def permitted(world: World, channel: str) -> set[str]:
    lists = [set(r["allow"]) for r in world.rules if r["rule"] == "opt_in" and channel in (r.get("channels") or world.names)]
    return set.intersection(*lists) if lists else {"yes"}


def check_items(world: World, person: Person, send: dict[str, Any], channel: int) -> None:
    at, items = microseconds(send), send["items"]
    assert 1 <= len(items) <= world.channels[channel].items_per_send
    assert len(set(items)) == len(items)
    assert len({i in world.transactional for i in items}) == 1
    assert not (world.channels[channel].exclude_seen and set(items) & set(person.seen))
    for i in items:
        assert world.created_us.get(i, 0) <= at < world.expires_us.get(i, 2**62)
        assert send["channel"] in world.fits.get(i, world.names)


def check_moment(world: World, at: int) -> None:
    assert at % 900_000_000 == 0
    assert world.settings.as_of_us + world.settings.lead_us <= at < world.settings.end_us


@WORLDS
@given(SEEDS)
def test_a_user_depends_on_nobody_else_in_the_batch(seed: int) -> None:
    _, context, batch, rows = planned(seed)
    assert plan_batch(batch.slice(1, 1), context).to_pylist() == rows[1:2]
    backwards = plan_batch(batch.take(pa.array([2, 0])), context).to_pylist()
    assert backwards == [rows[2], rows[0]]


@WORLDS
@given(SEEDS)
def test_a_plan_on_top_of_a_plan_keeps_every_rule_and_repeats_no_key(seed: int) -> None:
    world, context, _, rows = planned(seed)
    people = [reserved(person, sends_to(rows, person.code), world) for person in world.people]
    again = World(**{**vars(world), "people": people})
    more = plan_batch(again.batch(context), context).to_pylist()
    for person in again.people:
        second = sends_to(more, person.code)
        plan = [sent(again, person, microseconds(s), s["channel"], s["items"], True) for s in second]
        assert feasible(again, person, plan)
        assert not {s["send_key"] for s in second} & {s["send_key"] for s in sends_to(rows, person.code)}
        for channel in world.channels:
            assert room(again, person, channel.name) >= sum(s["channel"] == channel.name for s in second)


def reserved(person: Person, plan: list[dict[str, Any]], world: World) -> Person:
    """The person once the plan is in the ledger."""
    mine = [(microseconds(s), world.names.index(s["channel"]), tuple(s["items"]), True) for s in plan]
    return Person(**{**vars(person), "sends": [*person.sends, *mine]})


@WORLDS
@given(SEEDS)
def test_every_candidate_is_sent_or_counted_once_among_the_drops(seed: int) -> None:
    _, context, batch, rows = planned(seed)
    seen = consider(batch, context)
    limit = np.minimum(seen.ranking.eligible, context.settings.candidates)
    for u, row in enumerate(rows):
        listed = (seen.ranking.item[:, u] >= 0).sum(axis=1)
        candidates = np.where((seen.verdict.open[u] != 0).any(axis=1), listed, limit)
        assert sum(row["drop_count"]) + sum(len(s["items"]) for s in sends_to(rows, row["user"])) == candidates.sum()


@WORLDS
@given(SEEDS)
def test_held_out_users_get_transactional_items_alone_and_the_rest_is_their_shadow(seed: int) -> None:
    world, _, batch, rows = planned(seed)
    held = World(**{**vars(world), "settings": with_settings(world, holdout=1.0, holdout_salt="s")})
    context = held.context()
    shadowed = plan_batch(batch, context).to_pylist()
    for open_row, row in zip(rows, shadowed, strict=True):
        assert row["held"]
        assert all(s["item_class"] == "transactional" for s in row["sends"] if s["kind"] == "send")
        marketing = {(s["send_key"], s["item"]) for s in open_row["sends"] if s["item_class"] == "marketing"}
        assert {(s["send_key"], s["item"]) for s in row["sends"] if s["kind"] == "shadow"} == marketing


def with_settings(world: World, **changes: Any) -> Any:
    return type(world.settings)(**{**vars(world.settings), **changes})


def test_the_holdout_grows_by_members_and_never_swaps_them() -> None:
    world = random_world(3, 300)
    batch = world.batch(world.context())

    def members(share: float) -> set[int]:
        context = World(**{**vars(world), "settings": with_settings(world, holdout=share, holdout_salt="s")}).context()
        return {row["user"] for row in plan_batch(batch, context).to_pylist() if row["held"]}

    small, large = members(0.1), members(0.3)
    assert small < large
    assert 15 <= len(small) <= 45
    assert 65 <= len(large) <= 115


@pytest.mark.parametrize(("seed", "temperature"), PROPENSITY_WORLDS)
def test_the_propensity_is_how_often_the_draws_choose_the_send(seed: int, temperature: float | None) -> None:
    world = random_world(seed, 1, max_offers=6)
    context, n = world.context(), 2000
    offers = make_offers(world.batch(context), context)
    channel = context.lanes.channel[offers.lane]
    marketing = context.lanes.item_class[offers.lane] == 0
    sent, idle, told = np.zeros(offers.n), np.zeros(len(context.names)), set()
    for draw in range(n):
        changed = with_settings(world, exploration=0.6 / len(context.names), temperature=temperature, seed=draw)
        choice = choose(offers, type(context)(**{**vars_of(context), "settings": changed}))
        sent += choice.sent
        idle += np.bincount(channel[choice.sent & marketing], minlength=len(idle)) == 0
        told.add((*choice.propensity, *choice.idle_propensity[:, 0]))
    (p,) = told
    assert len({round(float(x), 9) for x in p}) > 1, p
    for often, chance in zip((*sent, *idle), p, strict=True):
        assert often / n == pytest.approx(chance, abs=4 * (chance * (1 - chance) / n) ** 0.5 + 1e-9)


@settings(WORLDS, max_examples=100)
@given(SEEDS, st.sampled_from([None, 0.05]))
def test_what_explores_is_one_channel_by_chance_beside_the_rest_of_the_best_set(seed: int, temperature: float | None) -> None:
    world = random_world(seed, PEOPLE, max_offers=8)
    plain = World(**{**vars(world), "settings": with_settings(world, holdout=0.0)})
    changed = World(**{**vars(world), "settings": with_settings(world, exploration=0.3, temperature=temperature, holdout=0.0)})
    context = changed.context()
    offers = make_offers(changed.batch(context), context)
    choice, best = choose(offers, context), choose(offers, plain.context()).sent
    for user, person in enumerate(changed.people):
        found, on = options(changed, offers, context, user), int(choice.explored[user])
        if on < 0:
            assert all(choice.sent[o.row] == best[o.row] for o in found)
            continue
        here = [o for o in found if o.send.channel == context.names[on] and not o.send.transactional]
        stays, drawn = ([o for o in found if choice.sent[o.row] and (o in here) == inside] for inside in (False, True))
        assert stays == [o for o in found if best[o.row] and o not in here]
        arms = [o for o in here if not any(excludes(o, s) for s in stays) and feasible(changed, person, [x.send for x in (*stays, o)])]
        arms = [o for o in arms if worth(changed, person, [o]) > 0]  # known sends may have tired it to nothing
        assert len(drawn) <= 1 and all(o in arms for o in drawn)
        assert all(o in arms for o in here if best[o.row])
        assert bool(choice.nothing[user]) == (not drawn and bool(arms))
        weight = [1.0 if temperature is None else np.exp(o.value / temperature) for o in arms]
        expected = np.zeros(offers.n)
        expected[[o.row for o in arms]] = np.array(weight) / (1 + sum(weight))
        share = min(0.3, 1 / len(context.names))
        assert [choice.by_chance[o.row] for o in here] == pytest.approx([share * expected[o.row] for o in here])
        assert choice.idle_by_chance[on, user] == pytest.approx(share / (1 + sum(weight)))


def test_the_share_is_of_users_and_channels_and_grows_by_members() -> None:
    hashes = np.random.default_rng(1).integers(0, 2**64, 30_000, dtype=np.uint64)
    world = random_world(3, 1)
    few, many = (explored_channel(hashes, with_settings(world, exploration=share), 3) for share in (0.1, 0.2))
    for channel in range(3):
        assert (few == channel).mean() == pytest.approx(0.1, abs=0.006)
        assert (many == channel).mean() == pytest.approx(0.2, abs=0.008)
    assert (few[few >= 0] == many[few >= 0]).all()
    assert (explored_channel(hashes, with_settings(world, exploration=0.9), 3) >= 0).all()


def vars_of(context: PlanContext) -> dict[str, Any]:
    return {name: getattr(context, name) for name in context.__dataclass_fields__}


def test_without_exploration_every_send_is_certain() -> None:
    for seed in range(30):
        assert all(s["propensity"] == 1.0 for s in rows_of(planned(seed)[3]))


def test_a_batch_without_users_gives_a_table_without_rows() -> None:
    _, context, batch, _ = planned(0)
    made = plan_batch(batch.slice(0, 0), context)
    assert made.num_rows == 0
    assert made.schema.equals(DECISIONS)


def test_a_send_key_is_the_uuid5_of_its_json_text() -> None:
    keys = send_keys(["push"], ['u|"ü'], [["b", "a"]], ["2026-03-10"])
    import uuid

    namespace = uuid.uuid5(uuid.NAMESPACE_URL, "https://notif-rec/send_key")
    assert keys == [str(uuid.uuid5(namespace, '["push","u|\\"ü",["a","b"],"2026-03-10"]'))]
