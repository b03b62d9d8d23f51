"""`report`: what a plan sends, what it drops and why, as tables; and the last weeks of the ledger beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb

from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.workflows.audit import audit
from notif_rec.workflows.plans import find_plan, read_sends

DAYS, TOP_ITEMS = 28, 15
PER_CHANNEL = """
SELECT channel, count(DISTINCT send_key) AS sends, count(*) AS items, count(DISTINCT "user") AS users,
       sum(value) FILTER (WHERE position = 1) AS value, avg(p_open) FILTER (WHERE position = 1) AS p_open, avg(p_click) AS p_click
FROM plan WHERE kind = 'send' GROUP BY channel
"""
HOURS = """
SELECT channel, hour((send_at AT TIME ZONE 'UTC') AT TIME ZONE coalesce(timezone, $zone)) AS hour, count(*) AS sends
FROM plan WHERE kind = 'send' AND position = 1 GROUP BY ALL
"""
PER_USER = """
SELECT sends, count(*) AS users FROM (SELECT count(*) AS sends FROM plan WHERE kind = 'send' AND position = 1 GROUP BY "user")
GROUP BY sends ORDER BY sends
"""
ITEMS = """
SELECT i.item_id, coalesce(n.title, '') AS title, coalesce(p.category, '') AS category, count(*) AS sends
FROM plan p JOIN item_ids i USING (item) LEFT JOIN items n USING (item) WHERE kind = 'send' GROUP BY ALL ORDER BY sends DESC, i.item_id
"""
SOURCES = "SELECT reason AS source, count(*) AS items FROM plan WHERE kind = 'send' GROUP BY ALL ORDER BY items DESC, source"
TREND = """
SELECT CAST(send_at AS DATE) AS day, channel, count(DISTINCT send_key) AS sends FROM ledger
WHERE NOT released AND send_at >= $first AND send_at < $last GROUP BY ALL
"""


@dataclass(frozen=True)
class Report:
    """One plan. channels, drops, hours, trend: by channel; per_user: (sends, users); items: the most sent ones, of `n_items`.

    violations, overtaken: what the audit says of the plan; None where it was not applied.
    """

    plan: PlanRow
    channels: Mapping[str, Mapping[str, float]]
    drops: Mapping[str, Mapping[str, int]]
    hours: Mapping[str, Sequence[int]]
    per_user: Sequence[tuple[int, int]]
    items: Sequence[tuple[str, str, str, int]]
    n_items: int
    sources: Sequence[tuple[str, int]]
    days: Sequence[datetime]
    trend: Mapping[str, Sequence[int]]
    violations: int | None
    overtaken: int | None

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The plan's own account."""
        return self.plan.manifest

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        manifest = self.manifest
        told = {key: manifest[key] for key in ("plan_id", "as_of", "sends", "dropped", "value", "bound", "gap")}
        return {**told, "state": self.plan.state, "items": self.n_items, "violations": self.violations, "overtaken": self.overtaken}


def report(store: Store, name: str) -> Report:
    """The report of a plan; UsageError where there is none such."""
    plan = find_plan(store, name)
    names = list(plan.manifest["config"]["channels"])
    days = [plan.as_of.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS - 1 - n) for n in range(DAYS)]
    with store.connect() as connection:
        _register(connection, store, plan)
        items = connection.execute(ITEMS).fetchall()
        found = audit(store, plan.plan_id) if plan.state == "applied" else None
        return Report(
            plan=plan,
            channels=_by_channel(connection, names),
            drops={c: plan.manifest["dropped_by_channel"].get(c, {}) for c in names},
            hours=_hours(connection, names, plan.manifest["config"]["timezone"]),
            per_user=connection.execute(PER_USER).fetchall(),
            items=items[:TOP_ITEMS],
            n_items=len(items),
            sources=connection.execute(SOURCES).fetchall(),
            days=days,
            trend=_trend(connection, names, days),
            violations=len(found.violations) if found else None,
            overtaken=len(found.overtaken) if found else None,
        )


def _register(connection: duckdb.DuckDBPyConnection, store: Store, plan: PlanRow) -> None:
    """The view `plan`: what was proposed, or once it was applied what stands in the ledger."""
    if plan.applied_seq is None:
        connection.register("plan", read_sends(store, plan))
        return
    with store.connect(Version(plan.applied_seq, plan.ledger)) as then:
        connection.register("plan", then.sql("SELECT * FROM sends WHERE plan_id = $plan", params={"plan": plan.plan_id}).to_arrow_table())


def _by_channel(connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> dict[str, dict[str, float]]:
    keys = ("sends", "items", "users", "value", "p_open", "p_click")
    found = {row[0]: dict(zip(keys, row[1:], strict=True)) for row in connection.execute(PER_CHANNEL).fetchall()}
    return {name: found.get(name, dict.fromkeys(keys, 0)) for name in names}


def _hours(connection: duckdb.DuckDBPyConnection, names: Sequence[str], zone: str) -> dict[str, list[int]]:
    hours = {name: [0] * 24 for name in names}
    for channel, hour, sends in connection.execute(HOURS, {"zone": zone}).fetchall():
        hours[channel][hour] = sends
    return hours


def _trend(connection: duckdb.DuckDBPyConnection, names: Sequence[str], days: Sequence[datetime]) -> dict[str, list[int]]:
    rows = connection.execute(TREND, {"first": days[0], "last": days[-1] + timedelta(days=1)}).fetchall()
    found = {(channel, day): sends for day, channel, sends in rows}
    return {name: [found.get((name, day.date()), 0) for day in days] for name in names}
