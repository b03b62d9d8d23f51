"""A plan once more, by what the store knew then: under its own config, or another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Task
from notif_rec.errors import DataError
from notif_rec.planning.chances import CHANCES, chances_batch
from notif_rec.planning.context import PlanContext
from notif_rec.planning.context_file import load_context, save_context
from notif_rec.planning.prepare import prepare
from notif_rec.store.rows import ModelRow, PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.tables import PLANNING_INPUT
from notif_rec.workflows.allocate import OFFER, Office, allocate_offers
from notif_rec.workflows.context import Planner, build_planner
from notif_rec.workflows.quota_rooms import at_prices, rooms_left
from notif_rec.workflows.quota_words import check_quota_words
from notif_rec.workflows.weekly import as_told, last_told, share_out, spent_already

Codes = npt.NDArray[np.int32]
TASK = Task(chances_batch, load_context, reads=PLANNING_INPUT, writes=CHANCES)


def model_of(store: Store, row: PlanRow) -> ModelRow:
    """The model that the plan was made with; DataError where it is gone."""
    model = next((m for m in store.models() if m.model_id == row.model_id), None)
    if model is None or not (store.root / model.path).is_dir():
        raise DataError(
            f"the model {row.model_id} of plan {row.plan_id} is no longer in the store", "name plans whose model is still there"
        )
    return model


def planner_of(store: Store, row: PlanRow, config: Config) -> Planner:
    """What a plan under `config` would have worked with at the plan's moment; no prices yet."""
    with store.connect(Version(row.seq, row.ledger)) as then:
        planner = build_planner(store, then, config, model_of(store, row), row.as_of, row.manifest["scope"]["channels"])
    return replace(planner, context=replace(planner.context, paused=tuple(row.manifest["paused"])))


def at_own_prices(store: Store, row: PlanRow, config: Config, context: PlanContext) -> PlanContext:
    """The context at the prices that the plan was made at, from its manifest."""
    with store.connect(Version(row.seq, row.ledger)) as then:
        return as_told(at_prices(then, config, context, row), row.manifest.get("weekly", {}))


def at_found_prices(store: Store, row: PlanRow, config: Config, planner: Planner, folder: Path, engine: Engine) -> PlanContext:
    """The context at the prices at which a plan for everybody under `config` would have kept its quotas and weekly budgets; ConfigError
    as a plan."""
    context, version = planner.context, Version(row.seq, row.ledger)
    if not (context.quotas or context.weekly):
        return context
    (folder / "in").mkdir(parents=True)
    prepared = prepare(store, version, planner.facts, row.as_of, folder / "in", None)
    with store.connect(version) as then:
        check_quota_words(then, config)
        rooms, spent = rooms_left(then, config, context, row.as_of), spent_already(then, config, row.as_of)
    office = Office(engine, folder, store.root / planner.model.path, _silent)
    offers = office.run(OFFER, prepared.files, context, "offers")
    context = share_out(office, offers, context, spent, config, last_told(store, row.as_of), some=False).context
    market = allocate_offers(office, offers, context, rooms, np.zeros(len(rooms.high))).context.market
    return context if market is None else context.with_market(market)


def replayed(
    store: Store, row: PlanRow, planner: Planner, context: PlanContext, users: Codes | None, folder: Path, engine: Engine
) -> Sequence[Path]:
    """Files of CHANCES of these users (None: everybody) at the context's prices, one a shard; the same shards whatever the config."""
    (folder / "in").mkdir(parents=True)
    prepared = prepare(store, Version(row.seq, row.ledger), planner.facts, row.as_of, folder / "in", users)
    save_context(folder / "context", context, store.root / planner.model.path)
    return engine.map_parts(TASK, prepared.files, folder / "out", folder / "context", _silent)


def _silent(stage: str, done: int, total: int) -> None:
    return None
