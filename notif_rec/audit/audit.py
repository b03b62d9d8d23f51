"""Every rule checked again over the ledger, by queries that share nothing with the planner."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from notif_rec.audit.always import always_checks
from notif_rec.audit.facts import load_facts
from notif_rec.audit.keys import key_finds
from notif_rec.audit.lists import list_finds
from notif_rec.audit.rules import Check, rule_checks


@dataclass(frozen=True)
class Finding:
    """One send that breaks one rule."""

    plan_id: str
    rule: str
    send_key: str
    user_id: str
    channel: str
    detail: str


@dataclass(frozen=True)
class AuditedPlan:
    """What is recorded of an applied plan: its config as resolved then, and where its lists went."""

    plan_id: str
    as_of_us: int
    config: Mapping[str, Any]
    directories: Sequence[Path]


def judge(connection: duckdb.DuckDBPyConnection, plan: AuditedPlan) -> tuple[int, list[Finding]]:
    """The number of the plan's sends that the views of `connection` hold, and every break of a rule that they show."""
    sends = load_facts(connection, plan.plan_id)
    checks = [*always_checks(plan.config, plan.as_of_us, plan.plan_id), *rule_checks(plan.config["rules"], list(plan.config["channels"]))]
    as_of = {"as_of": plan.as_of_us}
    found = [finding for check in checks for finding in _run(connection, plan.plan_id, check, as_of)]
    found += [Finding(plan.plan_id, *row) for row in key_finds(connection, plan.config)]
    return sends, found


def published(connection: duckdb.DuckDBPyConnection, plan: AuditedPlan) -> list[Finding]:
    """Differences between the plan's published lists and the ledger."""
    return [Finding(plan.plan_id, "lists", *row) for folder in plan.directories for row in list_finds(connection, plan.plan_id, folder)]


def _run(connection: duckdb.DuckDBPyConnection, plan_id: str, check: Check, shared: Mapping[str, Any]) -> list[Finding]:
    values = {k: v for k, v in {**shared, **check.values}.items() if re.search(rf"\${k}\b", check.sql)}
    rows = connection.execute(
        f'SELECT f.send_key, i.user_id, f.channel, f.detail FROM ({check.sql}) AS f(send_key, "user", channel, detail) '
        'JOIN user_ids i ON i."user" = f."user" ORDER BY ALL',
        values,
    ).fetchall()
    return [Finding(plan_id, check.name, *row) for row in rows]


def to_rows(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """The findings as plain rows for people and machines."""
    return [json.loads(json.dumps(f.__dict__)) for f in findings]
