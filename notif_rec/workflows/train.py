"""`train`: everything that happened before as-of → one model of all channels in the store."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import duckdb

from notif_rec.config import Config
from notif_rec.engines.engine import Engine
from notif_rec.errors import DataError
from notif_rec.models.artifact import load_model, save_model
from notif_rec.models.model import Model
from notif_rec.policy.rule import Weight
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.incremental import Incremental
from notif_rec.store.files import remove_folder
from notif_rec.store.rows import ModelRow
from notif_rec.store.scratch import scratch
from notif_rec.store.store import Store
from notif_rec.workflows.facts import segment_map
from notif_rec.workflows.fit_apart import fit_apart
from notif_rec.workflows.fit_model import fit_model
from notif_rec.workflows.increments import UPLIFT, fit_increments, increments_json
from notif_rec.workflows.rates import fit_rates
from notif_rec.workflows.tiredness import curve_json, fit_curve

log = logging.getLogger(__name__)

INPUTS = ("events", "users", "items", "user_ids", "item_ids", "sends", "releases")
KEEP = 5  # newest models that stay beside those that plans still need
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainResult:
    """The model, what went into each channel, and what to know of thin ones. fresh: False where it was there already."""

    model_id: str
    as_of: datetime
    channels: Mapping[str, Mapping[str, int]]
    fatigue: FatigueCurve
    uplift: Incremental | None
    notes: tuple[str, ...]
    fresh: bool

    def to_json(self) -> dict[str, Any]:
        """The contract's keys, and more."""
        return {
            "model_id": self.model_id,
            "as_of": self.as_of.isoformat() + "Z",
            "channels": {name: dict(counts) for name, counts in self.channels.items()},
            "fatigue": curve_json(self.fatigue),
            "uplift": None if self.uplift is None else increments_json(self.uplift),
            "notes": list(self.notes),
            "fresh": self.fresh,
        }


def train(
    store: Store, config: Config, as_of: datetime, *, jobs: int = 1, progress: Progress | None = None, engine: Engine | None = None
) -> TrainResult:
    """Fits and registers the model of (config, store, as_of); again is a no-op. Sees no event at or after as_of.

    engine: fits channels side by side where it works apart; else they are fitted here, one after another. The same bytes.
    """
    with store.lock():
        model_id = _model_id(store, config, as_of)
        folder = store.root / "models" / model_id
        known = _existing(store, model_id, folder)
        if known is not None:
            return _result(known, fresh=False)
        with store.connect(threads=jobs) as con, _fitting(store, con, config, engine, jobs, progress) as fit:
            model, curve = replace(fit(as_of), model_id=model_id), fit_curve(con, config, as_of)
            rates = fit_rates(con, config, as_of, fit, curve, segment_map(model), jobs=jobs)
            extras, notes = {"engagement": rates.to_json(), "fatigue": curve.to_json()}, rates.warnings
            if config.objective == UPLIFT:
                added = fit_increments(con, store.plans(), config, as_of, curve, jobs=jobs)
                extras, notes = extras | {UPLIFT: added.to_json()}, (*notes, *added.warnings)
            model = replace(model, extras=extras, notes=(*model.notes, *notes))
            save_model(folder, model)
        row = ModelRow(model_id, as_of, config.hash, model_config_hash(config), str(folder.relative_to(store.root)))
        store.commit("train", {}, rows=[row])
        _prune(store)
    for text in model.notes:
        log.warning("%s", text)
    return _result(model, fresh=True)


@contextmanager
def _fitting(
    store: Store, con: duckdb.DuckDBPyConnection, config: Config, engine: Engine | None, jobs: int, progress: Progress | None
) -> Iterator[Callable[[datetime], Model]]:
    """A function that fits the models of a moment; what it returns lasts as long as the block."""
    if engine is None or not engine.apart:
        yield partial(fit_model, con, config, jobs=jobs, progress=progress)
        return
    folder = scratch(store.root, "fit")
    try:
        yield partial(fit_apart, engine, store.snapshot(), config, folder=folder, progress=progress)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def model_config_hash(config: Config) -> str:
    """Changes with whatever in the config changes the model."""
    said: dict[str, Any] = {
        "models": {name: config.model_of(name).model_dump(mode="json") for name in config.channel_names},
        "events": dict(sorted(config.events.items())),
        "channels": config.channel_names,
        "seed": config.seed,
        "fatigue": [rule.model_dump(mode="json") for rule in config.rules if isinstance(rule, Weight)],
        "rates": [config.attribution.total_seconds(), config.timezone, [c.exclude_seen for c in config.channels.values()]],
        "engagement": [config.engagement.model_dump(mode="json"), config.horizon.total_seconds()],
    }
    if config.objective == UPLIFT:
        said["objective"] = UPLIFT
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def _model_id(store: Store, config: Config, as_of: datetime) -> str:
    """16 hex digits that change with the config's model keys, as-of, or any commit of the inputs."""
    newest = max((segment.added_seq for segment in store.segments(*INPUTS)), default=0)
    text = f"{model_config_hash(config)} {newest} {as_of.isoformat()}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _existing(store: Store, model_id: str, folder: Path) -> Model | None:
    if not any(row.model_id == model_id for row in store.models()):
        return None
    try:
        known = load_model(folder)
        if "fatigue" not in known.extras:
            return None  # of an earlier version
        Engagement.from_json(known.extras["engagement"])
        return known
    except DataError as error:
        log.warning("%s; fitted again", error.problem)
        return None


def _prune(store: Store) -> None:
    """Deletes folders of models that are neither among the newest nor what an unapplied plan was made with."""
    needed = {plan.model_id for plan in store.plans() if plan.state == "planned"}
    for row in store.models()[:-KEEP]:
        if row.model_id not in needed:
            remove_folder(store.root / row.path)


def _result(model: Model, *, fresh: bool) -> TrainResult:
    counts = {
        name: {"users": channel.n_users, "items": channel.n_items, "interactions": channel.n_interactions}
        for name, channel in model.channels.items()
    }
    curve = FatigueCurve.from_json(model.extras["fatigue"])
    added = Incremental.from_json(model.extras[UPLIFT]) if UPLIFT in model.extras else None
    return TrainResult(model.model_id, model.as_of, counts, curve, added, model.notes, fresh)
