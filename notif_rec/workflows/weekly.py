"""Weekly budgets: what the ledger leaves of each, settled over all users at one price a channel, and told in the plan's manifest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from notif_rec.config import Config
from notif_rec.engines.engine import Task
from notif_rec.errors import DataError
from notif_rec.planning.context import PlanContext
from notif_rec.planning.context_file import load_context
from notif_rec.planning.quotas import read_batches
from notif_rec.planning.week_worth import ASKED, asked_batch
from notif_rec.planning.weekly import Weekly, granted_to_all, settled
from notif_rec.store.store import Store
from notif_rec.tables import OFFERS
from notif_rec.workflows.allocate import Office

ASK = Task(asked_batch, load_context, reads=OFFERS, writes=ASKED)
SPENT = """
SELECT channel, count(DISTINCT send_key) FROM ledger
WHERE send_at >= $since AND item_class = 'marketing' AND (NOT released OR confirmed) GROUP BY channel
"""
Told = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Shared:
    """The context with every budget settled, and what the manifest tells of each by channel."""

    context: PlanContext
    told: Told


def share_out(
    office: Office, offers: Sequence[Path], context: PlanContext, spent: Mapping[str, int], config: Config, before: Told, *, some: bool
) -> Shared:
    """Each weekly budget settled over the users in `offers` (tables.OFFERS).

    spent: marketing sends of the week that ends with the plan, in the ledger. before: what the last applied plan told. some: the plan is
    for some users alone, who pay no less than everybody did then. DataError where all users cannot have their least.
    """
    if not context.weekly:
        return Shared(context, {})
    parts, found, told = office.run(ASK, offers, context, "weekly"), list[Weekly | None](), Told()
    for number, (name, weekly) in enumerate(zip(context.names, context.weekly, strict=True)):
        if weekly is None:
            found.append(None)
            continue
        budget = config.channels[name].weekly
        assert budget is not None
        asked, room = _Asked(parts, number), budget.budget - spent.get(name, 0)
        since = before[name]["since_us"] if name in before else context.settings.as_of_us
        _check_least(name, weekly, asked.users(), budget.budget)
        one = settled(replace(weekly, since_us=since), asked, room)
        if some and name in before:
            one = _not_below(one, before[name])
        found.append(one)
        told[name] = {
            "budget": budget.budget, "spent": spent.get(name, 0), "users": asked.users(), "wanted": asked.wanted(),
            "granted": granted_to_all(one, asked), **_to_json(one),
        }  # fmt: skip
    return Shared(replace(context, weekly=tuple(found)), told)


@dataclass(frozen=True)
class _Asked:
    """What users who are not held out ask of a channel, part by part, as often as wanted."""

    parts: Sequence[Path]
    channel: int

    def __call__(self) -> Iterator[tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]]:
        for part in self.parts:
            for batch in read_batches(part):
                mine = batch.filter(pc.and_(pc.equal(batch.column("channel"), self.channel), pc.invert(batch.column("held"))))
                if mine.num_rows:
                    slopes = mine.column("slopes").flatten().to_numpy(zero_copy_only=False)
                    yield slopes.reshape(mine.num_rows, -1), mine.column("tie").to_numpy()

    def users(self) -> int:
        return sum(len(ties) for _, ties in self())

    def wanted(self) -> int:
        return sum(int((slopes > 0).sum()) for slopes, _ in self())


def _check_least(name: str, weekly: Weekly, users: int, budget: int) -> None:
    owed = weekly.least * users
    if owed > budget:
        raise DataError(
            f"channels.{name}.weekly: at_least {weekly.least} for {users:,} users is {owed:,} sends a week, the budget is {budget:,}",
            f"write at_least: {budget // users}, or raise the budget",
        )


def _not_below(found: Weekly, before: Mapping[str, Any]) -> Weekly:
    """The dearer of what was found for some users and what all paid before."""
    last = _from_json(found, before)
    return last if (last.price or 0.0) > (found.price or 0.0) else found


def _to_json(weekly: Weekly) -> dict[str, Any]:
    """As the manifest tells it; price None: nothing is left."""
    price = None if weekly.price == np.inf else weekly.price
    return {"price": price, "tie": weekly.tie, "rest": weekly.rest, "since_us": weekly.since_us}


def _from_json(weekly: Weekly, told: Mapping[str, Any]) -> Weekly:
    price = np.inf if told["price"] is None else told["price"]
    return replace(weekly, price=price, tie=told["tie"], rest=told["rest"], since_us=told["since_us"])


def as_told(context: PlanContext, told: Told) -> PlanContext:
    """The context with its budgets settled as a plan's manifest tells."""
    pairs = zip(context.names, context.weekly, strict=True) if context.weekly else ()
    return replace(context, weekly=tuple(w if w is None or name not in told else _from_json(w, told[name]) for name, w in pairs))


def spent_already(connection: duckdb.DuckDBPyConnection, config: Config, as_of: datetime) -> dict[str, int]:
    """Marketing sends per channel with send_at in the week that ends with a plan at `as_of`, or later, whichever plan made them.

    Empty where no channel has a budget: the ledger is not asked.
    """
    if all(channel.weekly is None for channel in config.channels.values()):
        return {}
    since = as_of + config.horizon - timedelta(days=7)
    return dict(connection.execute(SPENT, {"since": since}).fetchall())


def last_told(store: Store, as_of: datetime) -> Told:
    """What the newest plan before `as_of` that was applied told of its weekly budgets."""
    rows = [row for row in store.plans() if row.state == "applied" and row.as_of < as_of]
    return dict(max(rows, key=lambda row: (row.as_of, row.applied_seq or 0)).manifest.get("weekly", {})) if rows else {}
