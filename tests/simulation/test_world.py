"""The simulated world is what it says: its laws can be read off what it does, and its luck depends on nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from scipy.stats import poisson as scipy_poisson

from notif_rec.simulation.world.chance import pick, poisson, uniform
from notif_rec.simulation.world.days import DAY_US, HOUR_US, ZONES
from notif_rec.simulation.world.laws import CHANNELS, LAWS, SPILL
from notif_rec.simulation.world.live import live, old_sends
from notif_rec.simulation.world.records import sends_of
from notif_rec.simulation.world.state import STAYS, Sends, State, World, first_state, make_sends, make_world
from notif_rec.simulation.world.truth import fatigue_of, truth_of
from notif_rec.store.zones import time_zone

START = datetime(2026, 9, 21)


def make(seed: int = 1, users: int = 400, days: int = 14, history: int = 0) -> World:
    return make_world(seed, START, users=users, days=days, history=history)


def lived(world: World, days: int) -> tuple[State, pa.Table]:
    """The first days under the older system."""
    state = first_state(world)
    first = world.days.first
    return state, pa.concat_tables([live(world, state, day, old_sends(world, state, day)) for day in range(first, first + days)])


def nothing() -> Sends:
    return make_sends(*(np.zeros(0, np.int64),) * 3, pa.nulls(0, pa.string()), np.zeros(0, np.int64), np.zeros(0, np.int64))


def some(world: World, users: np.ndarray, channel: str, us: np.ndarray | int, item: int = 7) -> Sends:
    """One send of one item to each of the users."""
    n = len(users)
    times = np.full(n, us) if np.isscalar(us) else np.asarray(us)
    return make_sends(users, np.full(n, CHANNELS.index(channel)), times, pa.nulls(n, pa.string()), np.ones(n, np.int64), np.full(n, item))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, two, other = (lived(make(seed), 4)[1] for seed in (1, 1, 2))
    assert one.equals(two)
    assert not one.equals(other)


def test_a_larger_world_holds_the_smaller_ones_people() -> None:
    small, large = make(users=50).people, make(users=400).people
    for name in ("rate", "taste", "hours", "lean", "touchy", "consent"):
        assert np.array_equal(getattr(small, name)[:50], getattr(large, name)[:50]), name


def test_other_luck_is_the_same_truth_with_other_dice() -> None:
    world = make()
    sends = some(world, np.arange(400), "email", world.days.begin_us(0) + 9 * HOUR_US)
    again = replace(world, luck=1)
    one, two = (truth_of(w, first_state(w), sends, 0) for w in (world, again))
    assert np.array_equal(one.opened, two.opened) and np.array_equal(one.clicked, two.clicked)
    assert not lived(world, 2)[1].equals(lived(again, 2)[1])


def test_poisson_inverts_the_distribution_function() -> None:
    draw, mean = uniform(3, "test", np.arange(3000)), np.tile([0.01, 0.4, 6.0], 1000)
    assert np.array_equal(poisson(draw, mean), scipy_poisson.ppf(draw, mean).astype(np.int64))


def test_uniform_noise_is_uniform_and_unrelated() -> None:
    draw = uniform(1, "test", np.arange(100_000))
    assert abs(np.histogram(draw, 20)[0] / 5000 - 1).max() < 0.05
    assert abs(np.corrcoef(draw, uniform(1, "other", np.arange(100_000)))[0, 1]) < 0.01
    assert abs(np.corrcoef(draw[:-1], draw[1:])[0, 1]) < 0.01


def test_pick_falls_into_shares() -> None:
    share = np.array([0.1, 0.6, 0.3])
    found = np.bincount(pick(uniform(1, "test", np.arange(50_000)), share)) / 50_000
    assert np.allclose(found, share, atol=0.01)


def test_visits_come_at_the_hours_and_on_the_weekdays_of_the_users() -> None:
    world = make(users=3000)
    state, events = first_state(world), []
    for day in range(14):
        events.append(live(world, state, day, nothing()))
    views = pa.concat_tables(events)
    first = views.filter(pc.equal(views.column("event"), "view"))
    who = pc.index_in(first.column("user_id"), value_set=world.people.ids).to_numpy()
    us = first.column("timestamp").cast(pa.int64()).to_numpy()
    day = (us - world.days.begin_us(0)) // DAY_US
    hour = (us + world.days.offset_us[world.people.zone[who], day]) // HOUR_US % 24
    seen = np.bincount(hour, minlength=24) / len(hour)
    flat = world.people.hours[who].mean(axis=0)
    assert np.abs(seen - flat).sum() / 2 < 0.02  # total variation; an even day would be
    assert np.abs(1 / 24 - flat).sum() / 2 > 0.10  # as far off as this
    late = np.array([(START.weekday() + d) % 7 >= 5 for d in day])
    weekend = world.people.week[:, 6] > 1
    share = [late[weekend[who] == kind].mean() for kind in (False, True)]
    assert share[0] < 2 / 7 < share[1]


def test_local_hours_follow_the_clock_over_a_change() -> None:
    world = make(days=60)
    for day in range(0, 60, 5):
        for zone, name in enumerate(ZONES):
            moment = world.days.moment(day).replace(hour=12)
            wall = moment.replace(tzinfo=time_zone("UTC")).astimezone(time_zone(name))
            us = np.array([world.days.begin_us(day) + 12 * HOUR_US])
            assert world.days.local_hour(np.array([zone]), day, us)[0] == wall.hour
    offsets = world.days.offset_us
    assert (offsets[0] != offsets[0, 0]).any() and (offsets[4] == offsets[4, 0]).all()  # Berlin sets its clock back, India does not


def logit(p: np.ndarray) -> np.ndarray:
    return np.asarray(np.log(p / (1 - p)))


@pytest.mark.parametrize("channel", ["push", "email"])
def test_fatigue_halves_in_the_half_life_and_spills_over(channel: str) -> None:
    world, law = make(users=200), LAWS[channel]
    users = np.flatnonzero(world.people.arrives < 0)
    at, noon = CHANNELS.index(channel), world.days.begin_us(13) + 12 * HOUR_US
    rested = logit(truth_of(world, first_state(world), some(world, users, channel, noon), 13).opened)

    def after(other: str, days: float) -> float:
        state = first_state(world)
        fatigue_of(state, some(world, users, other, noon - int(days * DAY_US), item=9), live=True)
        tired = logit(truth_of(world, state, some(world, users, channel, noon), 13).opened)
        return float((rested - tired).mean())

    assert after(channel, 0.0) == pytest.approx(law.tired)
    assert after(channel, law.half_life_days) == pytest.approx(law.tired / 2)
    assert after(channel, 3 * law.half_life_days) == pytest.approx(law.tired / 8)
    for other in CHANNELS:
        assert after(other, law.half_life_days) == pytest.approx(law.tired / 2 * SPILL[CHANNELS.index(other), at])


def test_fatigue_shows_in_what_people_do() -> None:
    """Sends at falling gaps: the opens counted agree with what the half-life foretells, and fall by as much."""
    world = make(users=30_000, days=8)
    users = np.flatnonzero(world.people.arrives < 0)
    rates, truths = [], []
    for gap in (0.1, 3.0):
        state = first_state(world)
        noon = world.days.begin_us(7) + 12 * HOUR_US
        for earlier in range(3):
            fatigue_of(state, some(world, users, "push", noon - int(gap * (3 - earlier) * DAY_US), item=9), live=True)
        sends = some(world, users, "push", noon)
        truths.append(truth_of(world, state, sends, 7).opened)
        live(world, state, 7, sends)
        rates.append(state.counts["opens"][users].mean())
    for rate, truth in zip(rates, truths, strict=True):
        assert abs(rate - truth.mean()) < 4 * np.sqrt((truth * (1 - truth)).sum()) / len(users)
    assert rates[1] / rates[0] > 1.3  # exp(tired · (2.7 − 1.5)), a little less for opens are no longer rare


def test_who_left_never_comes_back() -> None:
    world = make(users=2000, days=10)
    world.people.touchy[:] += 4.0
    state, left = first_state(world), []
    for day in range(10):
        events = live(world, state, day, old_sends(world, state, day))
        begins = world.days.begin_us(day)
        for row in events.filter(pc.equal(events.column("event"), "unsubscribed")).to_pylist():
            left.append((row["user_id"], row["channel"], begins))
        for row in events.filter(pc.is_in(events.column("event"), pa.array(["sent"]))).to_pylist():
            assert not any(u == row["user_id"] and c in ("", row["channel"]) and b < begins for u, c, b in left)
    assert len(left) > 30
    gone = state.leaves != STAYS
    assert (state.hurt[gone.any(axis=1)] < 1).all() and (state.hurt[~gone.any(axis=1)] == 1).all()
    everywhere = some(world, np.arange(2000), "push", world.days.begin_us(9) + HOUR_US)
    before = state.counts["sends"].sum()
    state.leaves[:] = np.where(gone, 0, STAYS)
    live(world, state, 9, everywhere)
    assert state.counts["sends"].sum() - before == (~gone[:2000, 0]).sum()


def test_noise_is_paired() -> None:
    """What one user is sent moves nobody else, and the same send has the same answer whoever else gets one, in whatever order."""
    world = make(users=600)
    noon = world.days.begin_us(0) + 12 * HOUR_US
    everybody, half = np.arange(600), np.arange(0, 600, 2)
    reports = []
    for users in (everybody, half, half[::-1]):
        state = first_state(world)
        events = live(world, state, 0, some(world, users, "email", noon))
        reports.append(events.filter(pc.is_in(events.column("user_id"), world.people.ids.take(pa.array(half)))))
    assert reports[0].equals(reports[1]) and reports[1].equals(reports[2])
    states = [first_state(world) for _ in range(2)]
    quiet, loud = live(world, states[0], 0, nothing()), live(world, states[1], 0, some(world, half, "email", noon))
    others = pc.is_in(loud.column("user_id"), world.people.ids.take(pa.array(half)))
    same = quiet.filter(pc.invert(pc.is_in(quiet.column("user_id"), world.people.ids.take(pa.array(half)))))
    assert same.equals(loud.filter(pc.invert(others)))


def test_truth_is_what_happens_on_average_and_changes_nothing() -> None:
    world = make(users=500)
    users = np.arange(500)
    sends = some(world, users, "in_app", world.days.begin_us(0) + 8 * HOUR_US)
    state = first_state(world)
    truth = truth_of(world, state, sends, 0)
    assert all(np.array_equal(a, b) for a, b in zip(state.counts.values(), first_state(world).counts.values(), strict=True))
    assert (state.fatigue == 0).all()
    opens, clicks = np.zeros(500), np.zeros(500)
    for luck in range(200):
        again = first_state(world)
        live(replace(world, luck=luck), again, 0, sends)
        opens += again.counts["opens"][:500] / 200
        clicks += again.counts["clicks"][:500] / 200
    assert opens.sum() == pytest.approx(truth.opened.sum(), rel=0.03)
    assert clicks.sum() == pytest.approx(truth.clicks(sends).sum(), rel=0.08)
    assert truth.value(sends, 0.1, 1.0, -30.0).sum() == pytest.approx(
        0.1 * truth.opened.sum() + truth.clicks(sends).sum() - 30 * truth.unsubscribed.sum()
    )


def test_users_and_items_arrive_day_by_day() -> None:
    world = make(users=1000, days=5, history=3)
    _, events = lived(world, 3)
    new = world.people.ids.filter(pa.array(world.people.arrives >= 0))
    assert len(new) == 20 and not pc.any(pc.is_in(events.column("user_id"), new)).as_py()
    state = first_state(world)
    for day in range(5):
        today = live(world, state, day, nothing())
        arrived = set(world.people.ids.filter(pa.array(world.people.arrives == day)).to_pylist())
        assert arrived <= set(today.column("user_id").to_pylist())
        live_items = set(world.catalogue.ids.filter(pa.array(world.catalogue.live(day))).to_pylist())
        assert set(today.column("item_id").to_pylist()) <= live_items


def test_rows_of_lists_become_sends_in_order() -> None:
    world = make()
    at = datetime(2026, 9, 21, 10)
    rows = pa.table(
        {
            "send_key": ["b", "b", "a"],
            "user_id": ["u0000003", "u0000003", "u0000001"],
            "channel": ["email", "email", "push"],
            "position": pa.array([1, 2, 1], pa.int64()),
            "item_id": ["i00005", "i00002", "i00009"],
            "send_at": pa.array([at, at, at], pa.timestamp("us", "UTC")),
        }
    )
    sends = sends_of(world, rows)
    assert sends.user.tolist() == [1, 3] and sends.channel.tolist() == [0, 1] and sends.key.to_pylist() == ["a", "b"]
    assert sends.item.tolist() == [9, 5, 2] and sends.start.tolist() == [0, 1, 3] and sends.first.tolist() == [9, 5]
