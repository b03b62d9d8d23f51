"""Decides what to send, without reserving anything."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec import __version__
from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress, Task
from notif_rec.errors import UsageError, did_you_mean
from notif_rec.planning.context import PlanContext
from notif_rec.planning.context_file import load_context
from notif_rec.planning.menus import UNLIMITED, Rooms
from notif_rec.planning.plan_batch import DECISIONS, plan_batch
from notif_rec.planning.prepare import Prepared, prepare
from notif_rec.planning.quotas import Segments, Settled, read_batches, settle
from notif_rec.store.files import whole_folder
from notif_rec.store.publish import write_lists
from notif_rec.store.rows import PlanRow
from notif_rec.store.scratch import scratch
from notif_rec.store.store import Store, Version
from notif_rec.tables import PLANNING_INPUT
from notif_rec.workflows.allocate import OFFER, Office, allocate_offers
from notif_rec.workflows.context import Planner, build_planner, newest_model
from notif_rec.workflows.plan_warnings import plan_warnings, price_warnings
from notif_rec.workflows.plans import sends_path
from notif_rec.workflows.pruned import pruning_loss
from notif_rec.workflows.publish import list_manifest
from notif_rec.workflows.quota_rooms import last_prices, rooms_left
from notif_rec.workflows.quota_words import check_quota_words, half_known_segments
from notif_rec.workflows.train import model_config_hash
from notif_rec.workflows.weekly import last_told, share_out, spent_already

PLAN = Task(plan_batch, load_context, reads=PLANNING_INPUT, writes=DECISIONS)
FACTS = ("user_ids", "item_ids", "events", "users", "items", "suppressions")


@dataclass(frozen=True)
class Scope:
    """What a plan is limited to. users: None = everybody, empty = nobody. channels: empty = all."""

    users: tuple[str, ...] | None = None
    channels: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanResult:
    """A plan's manifest; `made` is False where the same plan stood in the store already."""

    manifest: Mapping[str, Any]
    made: bool
    preview: Path | None = None

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        hidden = ("config",)
        return {k: v for k, v in self.manifest.items() if k not in hidden} | {"preview": str(self.preview) if self.preview else None}


def plan(
    store: Store,
    config: Config,
    as_of: datetime,
    engine: Engine,
    progress: Progress,
    *,
    as_of_given: bool = True,
    scope: Scope | None = None,
    out: Path | None = None,
    greedy: bool = False,
) -> PlanResult:
    """The plan of (store, config, as_of, scope): the same bytes and the same id for the same inputs, whatever the engine.

    as_of_given: whether a person named the moment, so that apply believes in it too. out: also write preview lists there. greedy: quotas
    are filled by value, first come first served, without prices: what others do, for comparison.
    """
    scope = scope or Scope()
    version, model = store.version(), newest_model(store, as_of, model_config_hash(config))
    plan_id = _plan_id(store, config, model.model_id, version, as_of, scope)
    known = next((row for row in store.plans() if row.plan_id == plan_id), None)
    if known is not None and sends_path(store, plan_id).is_file():
        return PlanResult(known.manifest, made=False, preview=_preview(store, known, out))
    _check_channels(scope, config)
    with store.connect(version) as connection:
        check_quota_words(connection, config)
        remarks = half_known_segments(connection, config)
        planner = build_planner(store, connection, config, model, as_of, scope.channels)
    try:
        outcome = _made(store, version, planner, config, as_of, _codes(store, scope), engine, progress, plan_id, greedy=greedy)
        manifest = _manifest(config, planner, as_of, as_of_given, scope, plan_id, outcome)
        manifest["warnings"] = [*plan_warnings(config, planner, model), *remarks, *price_warnings(outcome.unsettled, outcome.gap)]
        row = PlanRow(plan_id, as_of, config.hash, model.model_id, version.seq, version.ledger, "planned", manifest)
        with store.lock():
            with whole_folder(sends_path(store, plan_id).parent) as draft:
                pq.write_table(outcome.settled.sends, draft / "sends.parquet", compression="zstd")
                (draft / "manifest.json").write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")
            store.commit("plan", {}, rows=[row])
    finally:
        shutil.rmtree(_folder(store, plan_id), ignore_errors=True)
    return PlanResult(manifest, made=True, preview=_preview(store, row, out))


@dataclass(frozen=True)
class Outcome:
    """A plan, the context with the prices that it was made at, what no plan can exceed, what the quotas leave and took, what the
    pruning to offers cost (None: not measured), and how weekly budgets were shared out. unsettled: as Allocated's.
    """

    settled: Settled
    context: PlanContext
    rooms: Rooms
    bound: float
    passes: Mapping[str, int]
    pruning: Mapping[str, Any] | None
    unsettled: float = 0.0
    weekly: Mapping[str, Any] | None = None

    @property
    def gap(self) -> float:
        """How far from the best plan this one can be, as a share of the bound."""
        return max(0.0, (self.bound - self.settled.value) / self.bound) if self.bound > 0 else 0.0


def _made(
    store: Store, version: Version, planner: Planner, config: Config, as_of: datetime, users: npt.NDArray[np.int32] | None,
    engine: Engine, progress: Progress, plan_id: str, *, greedy: bool,
) -> Outcome:  # fmt: skip
    """What the plan comes to; leaves a folder that the caller removes."""
    folder, context = _folder(store, plan_id), planner.context
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "in").mkdir(mode=0o700, parents=True)
    prepared = prepare(store, version, planner.facts, as_of, folder / "in", users, progress, engine.each)
    with store.connect(version) as connection:
        rooms = rooms_left(connection, config, context, as_of)
        spent = spent_already(connection, config, as_of)
    office, segments = Office(engine, folder, store.root / planner.model.path, progress), _segments(prepared)
    if greedy or not (context.quotas or context.weekly):
        settled = settle(office.run(PLAN, prepared.files, context, "free"), context, rooms, segments, plan_id, trim=greedy)
        pruning = None if greedy else pruning_loss(office, prepared.files, context)
        return Outcome(settled, context, rooms, settled.bound, {}, pruning)
    offers = office.run(OFFER, prepared.files, context, "offers")
    shared = share_out(office, offers, context, spent, config, last_told(store, as_of), some=users is not None)
    found = allocate_offers(office, offers, shared.context, rooms, last_prices(store, context, as_of))
    settled = settle(found.parts, found.context, rooms, segments, plan_id)
    bound = settled.bound if found.bound == np.inf else found.bound
    passes = {"sample": found.sampled, "all": found.whole}
    pruning = pruning_loss(office, prepared.files, found.context)
    return Outcome(settled, found.context, rooms, bound, passes, pruning, found.unsettled, shared.told)


def _segments(prepared: Prepared) -> Segments:
    """Which audiences each user is in, as it was prepared."""
    batches = [batch for path in prepared.files for batch in read_batches(path)]
    user = np.concatenate([np.zeros(0, np.int32), *(batch.column("user").to_numpy() for batch in batches)])
    inside = [
        batch.column("audience").flatten().to_numpy(zero_copy_only=False).reshape(batch.num_rows, -1) for batch in batches if batch.num_rows
    ]
    order = np.argsort(user)
    return Segments(user[order], np.concatenate(inside).astype(np.bool_)[order] if inside else np.zeros((0, 0), np.bool_))


def _folder(store: Store, plan_id: str) -> Path:
    return scratch(store.root, "plan", plan_id)


def _codes(store: Store, scope: Scope) -> npt.NDArray[np.int32] | None:
    """Codes of the users that the plan is limited to; UsageError where one is unknown."""
    if scope.users is None:
        return None
    codes = store.user_codes(pa.array(scope.users), create=False)[0].to_numpy(zero_copy_only=False)
    if (codes < 0).any():
        unknown = [user for user, code in zip(scope.users, codes, strict=True) if code < 0]
        raise UsageError(f"{len(unknown)} users are not in the store, the first is '{unknown[0]}'", "ingest them, or mend the list")
    return np.unique(codes).astype(np.int32)


def _check_channels(scope: Scope, config: Config) -> None:
    for channel in scope.channels:
        if channel not in config.channel_names:
            raise UsageError(
                f"unknown channel '{channel}'{did_you_mean(channel, config.channel_names)}", f"one of: {', '.join(config.channel_names)}"
            )


def _manifest(
    config: Config, planner: Planner, as_of: datetime, as_of_given: bool, scope: Scope, plan_id: str, outcome: Outcome
) -> dict[str, Any]:
    """What is recorded of the plan, and printed."""
    settled, dropped = outcome.settled, Counter[str]()
    for reasons in settled.dropped.values():
        dropped.update(reasons)
    first = settled.sends.filter(pc.equal(settled.sends.column("position"), 1))
    kinds = Counter(first.column("kind").to_pylist())
    sends = Counter(first.filter(pc.equal(first.column("kind"), "send")).column("channel").to_pylist())
    return {
        "plan_id": plan_id,
        "model_id": planner.model.model_id,
        "as_of": as_of.isoformat(timespec="seconds") + "Z",
        "as_of_given": as_of_given,
        "config_hash": config.hash,
        "scope": {"users": None if scope.users is None else len(scope.users), "channels": list(scope.channels)},
        "paused": list(planner.context.paused),
        "users": settled.users,
        "sends": {channel: sends[channel] for channel in config.channel_names},
        "dropped": dict(sorted(dropped.items(), key=lambda pair: (-pair[1], pair[0]))),
        "dropped_by_channel": {channel: dict(reasons) for channel, reasons in settled.dropped.items()},
        "shadows": kinds["shadow"],
        "explored": len(pc.unique(first.filter(first.column("explored")).column("user"))),
        "value": settled.value,
        "bound": outcome.bound,
        "gap": outcome.gap,
        "pruning": outcome.pruning,
        "prices": _prices(outcome),
        "quotas": _quotas(outcome),
        "passes": dict(outcome.passes),
        **({"weekly": dict(outcome.weekly)} if outcome.weekly else {}),
        "config": config.decisive(),
    }


def _prices(outcome: Outcome) -> dict[str, float]:
    """The price of every quota that has one: what a send must be worth beyond it (or, below 0, what it gains by it)."""
    context, market = outcome.context, outcome.context.market
    if market is None:
        return {}
    cells = np.flatnonzero(market.place >= 0)
    paid = market.price[market.place[cells]]
    return {context.cell_name(int(cell)): float(price) for cell, price in zip(cells, paid, strict=True) if price != 0.0}


def _quotas(outcome: Outcome) -> list[dict[str, Any]]:
    """Each quota: what is left of it before this plan and what the plan takes; of `any` item, the one that comes nearest to its limit."""
    context, rooms, taken, told = outcome.context, outcome.rooms, outcome.settled.taken, []
    ends = np.append(context.all_limits.base, len(rooms.high))
    for place in range(len(context.quotas)):
        cells = np.arange(ends[place], ends[place + 1])
        if not len(cells):
            continue
        cell = int(cells[np.argmin(rooms.high[cells] - taken[cells])])
        unit = rooms.unit[cell]
        high = None if rooms.high[cell] >= UNLIMITED else float(rooms.high[cell] / unit)
        told.append(
            {"quota": context.cell_name(cell), "room": high, "minimum": float(rooms.low[cell] / unit), "taken": float(taken[cell] / unit)}
        )
    return told


def _preview(store: Store, row: PlanRow, out: Path | None) -> Path | None:
    """Writes the lists that an apply would publish now, marked as a preview."""
    if out is None:
        return None
    folder = out / row.plan_id
    with store.connect(Version(row.seq, row.ledger)) as connection:
        path = str(sends_path(store, row.plan_id)).replace("'", "''")
        manifest = {**list_manifest(row.manifest), "preview": True}
        columns = row.manifest["config"]["output"]["item_columns"]
        write_lists(
            connection, f"SELECT * FROM read_parquet('{path}')", list(row.manifest["config"]["channels"]), columns, manifest, folder
        )
    return folder


def _plan_id(store: Store, config: Config, model_id: str, version: Version, as_of: datetime, scope: Scope) -> str:
    """16 hex digits of everything that the plan depends on."""
    facts = [segment.id for segment in store.segments(*FACTS)]
    paused = [row.channel for row in store.pauses()]
    inputs = [__version__, config.hash, model_id, version.ledger, facts, paused, as_of.isoformat(), scope.users, scope.channels]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()[:16]
