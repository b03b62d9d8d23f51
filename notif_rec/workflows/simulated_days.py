"""The nights and days of a simulation: the real pipeline on one side, the world on the other, files between them."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.planning.plan_batch import plan_batch
from notif_rec.simulation.presets import Policy
from notif_rec.simulation.rivals import Instead
from notif_rec.simulation.world.catalogue import items_table
from notif_rec.simulation.world.days import DAY_US
from notif_rec.simulation.world.laws import CHANNELS, EVENTS
from notif_rec.simulation.world.live import live, old_sends
from notif_rec.simulation.world.people import users_table
from notif_rec.simulation.world.state import State, World, first_state, make_world
from notif_rec.store.compact import compact
from notif_rec.store.store import Store
from notif_rec.workflows.apply import apply
from notif_rec.workflows.audit import audit
from notif_rec.workflows.ingest import ingest
from notif_rec.workflows.plan import plan
from notif_rec.workflows.simulated_homes import AUDITED, Counts, Outcome, Span
from notif_rec.workflows.simulated_lists import read_lists
from notif_rec.workflows.train import train

START = datetime(2026, 9, 21)  # a Monday; zones set their clocks back five and six weeks later
REACH_DAYS = 30


def vocabulary(config: Config) -> Config:
    """A config that can read whatever the world says: its channels, and its names of behaviour."""
    channels = {name: config.channels.get(name, next(iter(config.channels.values()))) for name in CHANNELS}
    return config.model_copy(update={"channels": channels, "events": {**EVENTS, **config.events}})


def begin(span: Span, words: Config, home: Path, jobs: int) -> tuple[World, State]:
    """A world after its history under the older system; `home/store` holds what a new user of notif-rec would have of it."""
    world = make_world(span.seed, START, users=span.users, days=span.days, history=span.history)
    state = first_state(world)
    if home.exists():
        shutil.rmtree(home)
    store = Store.create(home / "store")
    events = [live(world, state, day, old_sends(world, state, day)) for day in range(world.days.first, 0)]
    state.clear_counts()
    people, goods = np.flatnonzero(world.people.arrives < 0), np.flatnonzero(world.catalogue.created < 0)
    _take_in(store, words, "users", users_table(world.people, people, world.days), home, START, jobs)
    _take_in(store, words, "items", items_table(world.catalogue, goods, world.days, world.seed), home, START, jobs)
    _take_in(store, words, "events", pa.concat_tables(events), home, START, jobs)
    return world, state


def live_policy(
    world: World, start: State, policy: Policy, words: Config, span: Span, home: Path, engine: Engine, jobs: int, progress: Progress
) -> Outcome:
    """Every night the cron job's work, then the day; at the end the audit."""
    state, dropped = start.copy(), Counter[str]()
    store, used, events = Store.open(home / "store"), Instead(engine, policy.planner), None
    for day in range(span.days):
        as_of = world.days.moment(day)
        take_news(world, store, words, events, day, home, jobs)
        if day % span.train_every == 0:
            train(store, policy.config, as_of, jobs=jobs)
        plan_id = plan(store, policy.config, as_of, used, _silent, greedy=policy.planner is not plan_batch).manifest["plan_id"]
        applied = apply(store, plan_id, as_of, as_of, home / "lists")
        compact(store, as_of)
        dropped.update(applied.dropped)
        events = live(world, state, day, read_lists(world, applied.files))
        progress("days", day + 1, span.days)
    checked = audit(store, None, later=False)
    found = (checked.plans, checked.sends, len(checked.violations))
    return Outcome(_counted(world, state, span), dict(zip(AUDITED, found, strict=True)), dict(dropped))


def take_news(world: World, store: Store, words: Config, events: pa.Table | None, day: int, home: Path, jobs: int) -> None:
    """The night's ingest: new items, users who arrived, and what happened since the last."""
    as_of = world.days.moment(day)
    goods, people = np.flatnonzero(world.catalogue.created == day), np.flatnonzero(world.people.arrives == day - 1)
    _take_in(store, words, "items", items_table(world.catalogue, goods, world.days, world.seed), home, as_of, jobs)
    _take_in(store, words, "users", users_table(world.people, people, world.days), home, as_of, jobs)
    if events is not None:
        _take_in(store, words, "events", events, home, as_of, jobs)


def _take_in(store: Store, words: Config, table: str, rows: pa.Table, home: Path, as_of: datetime, jobs: int) -> None:
    if not rows.num_rows:
        return
    path = home / f"{table}-{as_of:%Y-%m-%d}.parquet"
    pq.write_table(rows, path)
    ingest(store, words, table, [path], latest=as_of, jobs=jobs)
    path.unlink()


def _counted(world: World, state: State, span: Span) -> Counts:
    """Name → (n_users,): counts over the simulated days, and who was reached at their end."""
    reached = state.session_us >= world.days.begin_us(span.days) - REACH_DAYS * DAY_US
    return {**{name: of.astype(np.float64) for name, of in state.counts.items()}, "reach_30d": reached.astype(np.float64)}


def _silent(stage: str, done: int, total: int) -> None:
    return None
