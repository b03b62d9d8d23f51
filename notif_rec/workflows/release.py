"""Withdraws a plan's unconfirmed future sends and gives their room back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from notif_rec.store.store import Store
from notif_rec.workflows.plans import find_plan
from notif_rec.workflows.publish import withdraw

# unconfirmed, not yet due, and not given back already
FUTURE = """
SELECT DISTINCT bucket, "user", send_key, plan_id, CAST(NULL AS INTEGER) AS seq FROM ledger
WHERE plan_id = $plan AND send_at >= $as_of AND NOT released AND NOT confirmed ORDER BY bucket, "user", send_key
"""
KEPT = "SELECT count(DISTINCT send_key) FROM ledger WHERE plan_id = $plan AND NOT released"


@dataclass(frozen=True)
class ReleaseResult:
    """released: sends given back now. kept: sends of the plan that stay, confirmed or past."""

    plan_id: str
    released: int
    kept: int

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {"plan_id": self.plan_id, "released": self.released, "kept": self.kept}


def release(store: Store, name: str, as_of: datetime) -> ReleaseResult:
    """Takes the plan's lists away first, then its unconfirmed sends from `as_of` on; again = no-op."""
    with store.lock():
        plan = find_plan(store, name)
        with store.connect() as connection:
            rows = connection.sql(FUTURE, params={"plan": plan.plan_id, "as_of": as_of}).to_arrow_table()
            kept = int(connection.execute(KEPT, {"plan": plan.plan_id}).fetchall()[0][0]) - rows.num_rows
        if plan.state == "applied" and (rows.num_rows or not kept):
            gone = withdraw(store, plan.plan_id)
            store.commit("release", {"releases": rows}, ledger=True, rows=[replace(plan, state="released"), *gone])
        return ReleaseResult(plan.plan_id, rows.num_rows, kept)
