"""Records a plan in the ledger, less what newer facts forbid, and publishes its lists."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.config import Config
from notif_rec.errors import DataError, TryAgainError
from notif_rec.planning.bucket import to_us
from notif_rec.planning.prepare import prepare
from notif_rec.planning.recheck import PAST, recheck
from notif_rec.store.rows import CatalogueRow, PlanRow, PublicationRow
from notif_rec.store.scratch import scratch
from notif_rec.store.store import Store
from notif_rec.workflows.context import build_planner
from notif_rec.workflows.plans import find_plan, read_sends
from notif_rec.workflows.publish import name_of, publish


@dataclass(frozen=True)
class ApplyResult:
    """applied: False when it was already. dropped: sends that newer facts forbade, by reason. files: per channel path and sends."""

    plan_id: str
    applied: bool
    dropped: Mapping[str, int]
    sends: Mapping[str, int]
    directory: Path
    files: Mapping[str, str]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {
            "plan_id": self.plan_id,
            "applied": self.applied,
            "dropped": dict(self.dropped),
            "sends": dict(self.sends),
            "directory": str(self.directory),
            "files": dict(self.files),
        }


def apply(
    store: Store,
    name: str,
    as_of: datetime | None,
    now: datetime,
    out: Path,
    max_drift: float = 0.01,
    rows: Sequence[CatalogueRow] = (),
) -> ApplyResult:
    """Reserves the plan's sends and publishes them in `out/<plan_id>`; again = no-op.

    as_of: the moment to believe in; None = the plan's own where that was given, else `now`. Raises TryAgainError where the ledger
    changed since the plan or more than `max_drift` of it would drop; DataError for a plan that was released. rows: for the catalogue,
    in the same transaction.
    """
    with store.lock():
        plan = find_plan(store, name)
        if plan.state == "released":
            raise DataError(f"plan {plan.plan_id} was released", "make a new plan with `notif-rec plan`")
        dropped: Mapping[str, int] = plan.manifest.get("dropped_at_apply", {})
        fresh = plan.state == "planned"
        if fresh:
            moment = as_of or (plan.as_of if plan.manifest["as_of_given"] else now)
            plan, dropped = _reserve(store, plan, moment, out, max_drift, rows)
        publish(store, plan, out)
    return _result(plan, fresh, dropped, out)


def _reserve(
    store: Store, plan: PlanRow, as_of: datetime, out: Path, max_drift: float, rows: Sequence[CatalogueRow]
) -> tuple[PlanRow, Mapping[str, int]]:
    if store.version().ledger != plan.ledger:
        raise TryAgainError(
            f"plan {plan.plan_id} is stale: another apply or release changed the ledger since it was made",
            "make a new plan with `notif-rec plan`",
        )
    sends = read_sends(store, plan)
    keep, reasons = _still_allowed(store, plan, sends, as_of)
    total = len(set(sends.filter(pc.equal(sends.column("kind"), "send")).column("send_key").to_pylist()))
    lost = sum(reasons.values())
    if lost > max_drift * total:
        sooner = "; `lead` in the config leaves time between a plan and its first send" if PAST in reasons else ""
        raise TryAgainError(
            f"plan {plan.plan_id} is stale: {lost} of {total} sends would drop ({_told(reasons)}), more than --max-drift {max_drift:.1%}",
            f"make a new plan with `notif-rec plan`, or raise --max-drift{sooner}",
        )
    kept = sends.filter(pa.array(keep))
    manifest = {**plan.manifest, "sends": _per_channel(kept, plan), "dropped_at_apply": dict(sorted(reasons.items()))}
    row = replace(plan, state="applied", manifest=manifest)
    intended = PublicationRow(plan.plan_id, name_of(store, (out / plan.plan_id).resolve()), "intended")
    seq = store.commit("apply", {"sends": kept}, ledger=True, expect_ledger=plan.ledger, rows=[row, intended, *rows])
    return replace(row, applied_seq=seq), reasons


def _still_allowed(store: Store, plan: PlanRow, sends: pa.Table, as_of: datetime) -> tuple[np.ndarray[Any, Any], Counter[str]]:
    """(n_rows,) whether a row stays, and how many sends go for each reason, by everything the store knows now."""
    if not sends.num_rows:
        return np.ones(0, dtype=bool), Counter()
    config = Config.model_validate_json(json.dumps(plan.manifest["config"]))
    model = next(row for row in store.models() if row.model_id == plan.model_id)
    users = np.unique(sends.column("user").to_numpy()).astype(np.int32)
    folder = scratch(store.root, "apply", plan.plan_id)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    try:
        with store.connect() as connection:
            planner = build_planner(store, connection, config, model, plan.as_of)
        prepared = prepare(store, store.version(), planner.facts, plan.as_of, folder, users)
        keep = np.ones(sends.num_rows, dtype=bool)
        reasons: Counter[str] = Counter()
        for part in prepared.files:
            with pa.memory_map(str(part)) as source:
                batch = pa.ipc.open_file(source).get_batch(0)
                found = recheck(batch, sends, planner.context, to_us(as_of))
            keep[found.rows[~found.keep]] = False
            reasons.update(found.reasons)
        return keep, reasons
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _per_channel(sends: pa.Table, plan: PlanRow) -> dict[str, int]:
    """Sends per configured channel."""
    real = sends.filter(pc.equal(sends.column("kind"), "send")).group_by(["channel", "send_key"]).aggregate([])
    counts = Counter(real.column("channel").to_pylist())
    return {channel: counts[channel] for channel in plan.manifest["config"]["channels"]}


def _told(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {n}" for reason, n in sorted(reasons.items(), key=lambda x: -x[1]))


def _result(plan: PlanRow, fresh: bool, dropped: Mapping[str, int], out: Path) -> ApplyResult:
    folder = (out / plan.plan_id).resolve()
    files = {channel: str(folder / f"{channel}.csv") for channel in plan.manifest["config"]["channels"]}
    return ApplyResult(plan.plan_id, fresh, dropped, plan.manifest["sends"], folder, files)
