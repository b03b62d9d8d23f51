"""The cron job: finish what was left half done, ingest, train when stale, plan, apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.store.compact import compact
from notif_rec.store.store import Store
from notif_rec.workflows.apply import ApplyResult, apply
from notif_rec.workflows.context import usable_models
from notif_rec.workflows.forget import clean_up
from notif_rec.workflows.guards import Source, find_sources, refuse_shrunken, refuse_stale
from notif_rec.workflows.ingest import ingest
from notif_rec.workflows.plan import plan
from notif_rec.workflows.publish import publish, unfinished
from notif_rec.workflows.train import model_config_hash, train

TABLES = ("items", "users", "suppressions", "events")  # events last: they may confirm sends and name what the others describe


@dataclass(frozen=True)
class RunResult:
    """finished: plans whose lists an earlier run had left unpublished. ingested: accepted rows per table. trained: a new model."""

    finished: tuple[str, ...]
    ingested: Mapping[str, int]
    trained: bool
    model_id: str
    plan: Mapping[str, Any]
    applied: ApplyResult

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        told = {k: v for k, v in self.plan.items() if k != "config"}
        return {
            "finished": list(self.finished),
            "ingested": dict(self.ingested),
            "trained": self.trained,
            "model_id": self.model_id,
            "plan_id": self.applied.plan_id,
            "plan": told,
            "apply": self.applied.to_json(),
        }


def run(store: Store, config: Config, root: Path, as_of: datetime, out: Path, engine: Engine, jobs: int, progress: Progress) -> RunResult:
    """One night's work at `as_of`, safe to start again at any point; raises DataError (3) where a guard stops it.

    root: the folder that `sources:` is relative to.
    """
    with store.lock():
        clean_up(store)
        finished = [_finish(store, row, folder) for row, folder in unfinished(store)]
        ingested = _ingest(store, config, root, as_of, engine, progress)
        trained, model_id = _train(store, config, as_of, engine, jobs, progress)
        planned = plan(store, config, as_of, engine, progress)
        applied = apply(store, planned.manifest["plan_id"], as_of, as_of, out)
        compact(store, as_of)
    return RunResult(tuple(finished), ingested, trained, model_id, planned.manifest, applied)


def _finish(store: Store, row: Any, folder: Path) -> str:
    publish(store, row, folder)
    return str(row.plan_id)


def _ingest(store: Store, config: Config, root: Path, as_of: datetime, engine: Engine, progress: Progress) -> dict[str, int]:
    sources = find_sources([(table, getattr(config.sources, table)) for table in TABLES], root)
    before = store.files()
    for source in sources:
        refuse_shrunken(source, before, config.guards.max_change)
    accepted = dict.fromkeys(TABLES, 0)
    for source in sources:
        accepted[source.table] += _ingest_source(store, config, source, as_of, engine, progress)
    if config.sources.events:
        newest = max((row.newest for row in store.files("events") if row.newest is not None), default=None)
        refuse_stale(newest, as_of, config.guards.max_source_age)
    return accepted


def _ingest_source(store: Store, config: Config, source: Source, as_of: datetime, engine: Engine, progress: Progress) -> int:
    result = ingest(store, config, source.table, source.files, latest=as_of, source=source.pattern, progress=progress, engine=engine)
    return sum(file.accepted for file in result.files)


def _train(store: Store, config: Config, as_of: datetime, engine: Engine, jobs: int, progress: Progress) -> tuple[bool, str]:
    """Trains unless a model of these settings is young enough; returns whether it did, and the model's id."""
    wanted = model_config_hash(config)
    young = [m for m in usable_models(store, as_of) if m.model_config_hash == wanted and as_of - m.as_of < config.retrain_after]
    if young:
        return False, young[-1].model_id
    result = train(store, config, as_of, jobs=jobs, progress=progress, engine=engine)
    return result.fresh, result.model_id
