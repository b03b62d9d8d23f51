"""Checks every applied plan again, by the store as it was when the plan was applied; what later facts broke is told apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notif_rec.audit.audit import AuditedPlan, Finding, judge, published, to_rows
from notif_rec.audit.rules import unchecked
from notif_rec.planning.bucket import to_us
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.workflows.plans import find_plan
from notif_rec.workflows.publish import folder_of

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class AuditResult:
    """violations: broken by what was known at apply. overtaken: by what became known later. unchecked: rules without a query."""

    plans: int
    sends: int
    violations: tuple[Finding, ...]
    overtaken: tuple[Finding, ...]
    unchecked: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json: counts, and the rows behind them."""
        return {
            "plans": self.plans,
            "sends": self.sends,
            "violations": len(self.violations),
            "overtaken": len(self.overtaken),
            "violation_rows": to_rows(self.violations),
            "overtaken_rows": to_rows(self.overtaken),
            "unchecked": list(self.unchecked),
        }


def audit(store: Store, name: str | None, progress: Progress = lambda stage, done, total: None, *, later: bool = True) -> AuditResult:
    """Every rule over the ledger's sends: of one plan, or of all that were ever applied.

    later: False leaves out what became known after apply, so that nothing is overtaken; half the work.
    """
    plans = [find_plan(store, name)] if name else store.plans()
    applied = [plan for plan in plans if plan.applied_seq is not None]
    sends, violations, overtaken, blind = 0, list[Finding](), list[Finding](), set[str]()
    for done, row in enumerate(applied, start=1):
        plan = _audited(store, row)
        with store.connect(Version(row.applied_seq or 0, row.ledger)) as then:
            count, found = judge(then, plan)
        with store.connect() as now:
            _, since = judge(now, plan) if later else (0, [])
            violations += found + published(now, plan)
        broken = {(f.rule, f.send_key) for f in found}
        overtaken += [f for f in since if (f.rule, f.send_key) not in broken]
        sends += count
        blind.update(unchecked(plan.config["rules"]))
        progress("audit", done, len(applied))
    return AuditResult(len(applied), sends, tuple(violations), _without_blame(overtaken, violations), tuple(sorted(blind)))


def _audited(store: Store, row: PlanRow) -> AuditedPlan:
    folders = [folder_of(store, p) for p in store.publications(row.plan_id) if p.state == "published"]
    return AuditedPlan(row.plan_id, to_us(row.as_of), row.manifest["config"], folders)


def _without_blame(later: list[Finding], violations: list[Finding]) -> tuple[Finding, ...]:
    """Breaks that a later plan's own violation does not explain already."""
    guilty = {(f.user_id, f.rule.split("[")[0]) for f in violations}
    return tuple(f for f in later if (f.user_id, f.rule.split("[")[0]) not in guilty)
