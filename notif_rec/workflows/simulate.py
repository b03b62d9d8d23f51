"""`simulate`: policies lived through day after day in a world with known truth, each on a store of its own."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.models.bootstrap import Interval
from notif_rec.simulation.compare import METRICS, Difference, difference, totals
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
from notif_rec.workflows.simulated_homes import AUDITED, Counts, Outcome, Span, homes
from notif_rec.workflows.simulated_lists import read_lists
from notif_rec.workflows.train import train

START = datetime(2026, 9, 21)  # a Monday; zones set their clocks back five and six weeks later
REACH_DAYS = 30


@dataclass(frozen=True)
class Lived:
    """What a policy came to: metric → (n_users,), their totals, and how that was found."""

    policy: str
    per_user: Counts
    totals: Mapping[str, Interval]
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """Totals with intervals, and what the audit found."""
        found = {name: total.to_json() for name, total in self.totals.items()}
        return {**found, "audit": dict(self.outcome.audit), "dropped": dict(self.outcome.dropped)}


@dataclass(frozen=True)
class SimulateResult:
    """Policies in the order in which they were named; the first against each other one."""

    span: Span
    users: int
    policies: tuple[Lived, ...]
    differences: tuple[Difference, ...]

    @property
    def violations(self) -> int:
        """Breaks of a rule that the audits found, over all policies."""
        return sum(lived.outcome.audit["violations"] for lived in self.policies)

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        span = self.span
        return {
            "users": span.users, "users_at_end": self.users, "days": span.days, "seed": span.seed, "train_every_days": span.train_every,
            "policies": {lived.policy: lived.to_json() for lived in self.policies},
            "differences": [found.to_json() for found in self.differences],
            "violations": self.violations,
        }  # fmt: skip


def simulate(policies: Sequence[Policy], span: Span, folder: Path, engine: Engine, jobs: int, progress: Progress) -> SimulateResult:
    """What each policy brings in the same world with the same luck; stores and lists are written into `folder`.

    All start from one history. A user's visits and answers are functions of (seed, user, day, channel, item), so that policies
    differ by what they send alone. Outcomes are worth what the first policy's config says. What `folder` holds of the same
    simulation already is not lived again.
    """
    found = homes(folder, policies, span)
    world = make_world(span.seed, START, users=span.users, days=span.days, history=span.history)
    start, words = first_state(world), vocabulary(policies[0].config)
    progress("history", 0, 1)
    _write_history(world, start, words, folder / "history", jobs)
    progress("history", 1, 1)
    lived = []
    for number, (policy, home) in enumerate(zip(policies, found, strict=True)):

        def advance(stage: str, done: int, total: int, before: int = number * span.days) -> None:
            progress(stage, before + done, len(policies) * total)

        outcome = home.outcome()
        if outcome is None:
            home.begin(folder / "history")
            outcome = _live(world, start, policy, words, span, home.path, engine, jobs, advance)
            home.finish(outcome)
        per_user = _metrics(outcome, policies[0].config)
        lived.append(Lived(policy.name, per_user, totals(per_user, span.seed), outcome))
    first = lived[0]
    apart = [difference((first.policy, other.policy), first.per_user, other.per_user, span.seed) for other in lived[1:]]
    return SimulateResult(span, world.people.n, tuple(lived), tuple(apart))


def vocabulary(config: Config) -> Config:
    """A config that can read whatever the world says: its channels, and its names of behaviour."""
    channels = {name: config.channels.get(name, next(iter(config.channels.values()))) for name in CHANNELS}
    return config.model_copy(update={"channels": channels, "events": {**EVENTS, **config.events}})


def _write_history(world: World, state: State, words: Config, home: Path, jobs: int) -> None:
    """Lives the days before the start under the older system, and ingests what a new user of notif-rec would have."""
    if home.exists():
        shutil.rmtree(home)
    store = Store.create(home / "store")
    events = [live(world, state, day, old_sends(world, state, day)) for day in range(world.days.first, 0)]
    state.clear_counts()
    people, goods = np.flatnonzero(world.people.arrives < 0), np.flatnonzero(world.catalogue.created < 0)
    _take_in(store, words, "users", users_table(world.people, people, world.days), home, START, jobs)
    _take_in(store, words, "items", items_table(world.catalogue, goods, world.days, world.seed), home, START, jobs)
    _take_in(store, words, "events", pa.concat_tables(events), home, START, jobs)


def _live(
    world: World, start: State, policy: Policy, words: Config, span: Span, home: Path, engine: Engine, jobs: int, progress: Progress
) -> Outcome:
    """Every night the cron job's work, then the day; at the end the audit."""
    state, dropped = start.copy(), Counter[str]()
    store, used, events = Store.open(home / "store"), Instead(engine, policy.planner), None
    for day in range(span.days):
        as_of = world.days.moment(day)
        _take_news(world, store, words, events, day, home, jobs)
        if day % span.train_every == 0:
            train(store, policy.config, as_of, jobs=jobs)
        plan_id = plan(store, policy.config, as_of, used, _silent).manifest["plan_id"]
        applied = apply(store, plan_id, as_of, as_of, home / "lists")
        compact(store, as_of)
        dropped.update(applied.dropped)
        events = live(world, state, day, read_lists(world, applied.files))
        progress("days", day + 1, span.days)
    checked = audit(store, None)
    found = (checked.plans, checked.sends, len(checked.violations), len(checked.overtaken))
    return Outcome(_counted(world, state, span), dict(zip(AUDITED, found, strict=True)), dict(dropped))


def _take_news(world: World, store: Store, words: Config, events: pa.Table | None, day: int, home: Path, jobs: int) -> None:
    """Ingests what became known since the last night: new items, users who arrived, and what happened."""
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


def _metrics(outcome: Outcome, config: Config) -> Counts:
    """The metrics in their order, with what the outcomes are worth by `config`."""
    counts, worth = outcome.counts, config.value
    value = worth.opened * counts["opens"] + worth.clicked * counts["clicks"] + worth.unsubscribed * counts["unsubscribes"]
    return {name: value if name == "value" else counts[name] for name in METRICS}


def _silent(stage: str, done: int, total: int) -> None:
    return None
