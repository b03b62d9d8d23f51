"""The part of `train` that learns what messages add to what users would have done anyway, from the plans' holdout."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import duckdb
import numpy as np

from notif_rec.causal.interval import Estimate
from notif_rec.causal.uplift import Experiment
from notif_rec.config import Config
from notif_rec.planning.reached import Asked, Reached, collect_reached
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.incremental import Increment, Incremental, fit_increment, response
from notif_rec.store.rows import PlanRow
from notif_rec.tables import OUTCOMES
from notif_rec.workflows.facts import facts_of

UPLIFT = "uplift"  # of config `objective`
NOBODY = "no applied plan held users out (config `holdout`)"


def fit_increments(
    con: duckdb.DuckDBPyConnection, plans: Sequence[PlanRow], config: Config, as_of: datetime, curve: FatigueCurve, *, jobs: int = 1
) -> Incremental:
    """What a message on each channel adds, by the applied plans before `as_of` that held users out."""
    mine = [plan for plan in plans if plan.state == "applied" and plan.as_of < as_of and 0 < plan.manifest["config"]["holdout"] < 1]
    asked = [Asked(p.plan_id, p.as_of, p.manifest["config"]["holdout_salt"], p.manifest["config"]["holdout"]) for p in mine]
    if not asked:
        return Incremental({name: response(NOBODY) for name in config.channel_names})
    reached = collect_reached(con, facts_of(config, curve), asked, visits_of(config), as_of)
    explored = max(_explored(plan) for plan in mine)
    return Incremental({name: _fit(reached, at, explored, config, jobs) for at, name in enumerate(config.channel_names)})


def visits_of(config: Config) -> tuple[str, ...]:
    """Events that say that a user came by: signs of taste, and a click, which leads there; not an open, which nobody held out can make."""
    return tuple(sorted({"clicked", *(name for name, weight in config.events.items() if weight > 0 and name not in OUTCOMES)}))


def increments_json(added: Incremental) -> dict[str, Any]:
    """By channel: kind, why, treated, held_out, messages, effect (per message) and qini (per user), each with its interval."""
    names = ("kind", "why", "treated", "messages")
    return {
        channel: {name: getattr(one, name) for name in names}
        | {"held_out": one.held}
        | {name: None if (found := getattr(one, name)) is None else found.to_json() for name in ("effect", "qini")}
        for channel, one in added.channels.items()
    }


def increment_rows(added: Incremental) -> list[tuple[object, ...]]:
    """(channel, treated, held out, messages in the window, what one adds, 95 %, qini, 95 %, valued by) for people."""
    return [
        (channel, one.treated, one.held, round(one.messages, 2), *_told(one.effect), *_told(one.qini), one.kind)
        for channel, one in added.channels.items()
    ]


def _told(found: Estimate | None) -> tuple[str, str]:
    return ("–", "–") if found is None else (f"{found.value:.4f}", f"{found.low:.4f} to {found.high:.4f}")


def _explored(plan: PlanRow) -> float:
    """The share of (user, channel) pairs of a plan that chance decided."""
    said = plan.manifest["config"].get("exploration", 0.0)
    return float(said["share"] if isinstance(said, dict) else said)


def _fit(reached: Reached, at: int, explored: float, config: Config, jobs: int) -> Increment:
    on = reached.channel == at
    cluster = np.unique(reached.user[on], return_inverse=True)[1].astype(np.int64)
    experiment = Experiment(reached.features[on], ~reached.held[on], 1.0 - reached.share[on], reached.came[on], cluster)
    return fit_increment(experiment, reached.share[on], explored, reached.messages[on], seed=config.seed, threads=jobs)
