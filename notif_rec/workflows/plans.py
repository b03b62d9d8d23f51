"""Plans as files: `<store>/plans/<plan_id>/` holds the proposed sends, and the catalogue says what became of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.errors import UsageError, did_you_mean
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store

LATEST = "latest"


def find_plan(store: Store, name: str) -> PlanRow:
    """The plan that `name` (an id, an unambiguous prefix of one, or `latest`) means; UsageError where none or several do."""
    plans = store.plans()
    if not plans:
        raise UsageError(f"no plan '{name}': there is no plan yet", "make one with `notif-rec plan`")
    if name == LATEST:
        return plans[-1]
    found = [plan for plan in plans if plan.plan_id.startswith(name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"'{name}' could be {', '.join(p.plan_id for p in found[:5])}", "write more of the plan's id")
    near = did_you_mean(name, [p.plan_id for p in plans])
    raise UsageError(f"no plan '{name}'{near}", "`notif-rec status` shows the last plan; `latest` means it")


def sends_path(store: Store, plan_id: str) -> Path:
    """Where a plan's proposed sends lie (tables.SENDS)."""
    return store.root / "plans" / plan_id / "sends.parquet"


def read_sends(store: Store, plan: PlanRow) -> pa.Table:
    """The proposed sends of a plan; UsageError where its files are gone."""
    path = sends_path(store, plan.plan_id)
    if not path.is_file():
        raise UsageError(f"the sends of plan {plan.plan_id} are no longer in the store ({path})", "make a new plan with `notif-rec plan`")
    return pq.read_table(path)
