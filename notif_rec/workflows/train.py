"""`train`: everything that happened before as-of → one model of all channels in the store."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.artifact import load_model, save_model
from notif_rec.models.fit import fit_channel
from notif_rec.models.interactions import Interactions
from notif_rec.models.model import ChannelModel, Model
from notif_rec.models.settings import ModelSettings
from notif_rec.policy.rule import Weight
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.store.files import remove_folder
from notif_rec.store.rows import ModelRow
from notif_rec.store.store import Store
from notif_rec.workflows.evidence import read_evidence
from notif_rec.workflows.rates import fit_rates
from notif_rec.workflows.tiredness import curve_json, fit_curve

log = logging.getLogger(__name__)

INPUTS = ("events", "users", "items", "user_ids", "item_ids", "sends", "releases")
FEW_EVENTS = 100  # own signs of taste under which a channel is told to be thin
KEEP = 5  # newest models that stay beside those that plans still need
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class TrainResult:
    """The model, what went into each channel, and what to know of thin ones. fresh: False where it was there already."""

    model_id: str
    as_of: datetime
    channels: Mapping[str, Mapping[str, int]]
    fatigue: FatigueCurve
    notes: tuple[str, ...]
    fresh: bool

    def to_json(self) -> dict[str, Any]:
        """The contract's keys, and more."""
        return {
            "model_id": self.model_id,
            "as_of": self.as_of.isoformat() + "Z",
            "channels": {name: dict(counts) for name, counts in self.channels.items()},
            "fatigue": curve_json(self.fatigue),
            "notes": list(self.notes),
            "fresh": self.fresh,
        }


def train(store: Store, config: Config, as_of: datetime, *, jobs: int = 1, progress: Progress | None = None) -> TrainResult:
    """Fits and registers the model of (config, store, as_of); again is a no-op. Sees no event at or after as_of."""
    with store.lock():
        model_id = _model_id(store, config, as_of)
        folder = store.root / "models" / model_id
        known = _existing(store, model_id, folder)
        if known is not None:
            return _result(known, fresh=False)
        with store.connect(threads=jobs) as con:
            model = fit_model(con, config, as_of, model_id=model_id, jobs=jobs, progress=progress)
            rates = fit_rates(con, config, as_of, lambda since: fit_model(con, config, since, model_id="", jobs=jobs, progress=progress))
            curve = fit_curve(con, config, as_of)
        extras = {"engagement": rates.to_json(), "fatigue": curve.to_json()}
        model = replace(model, extras=extras, notes=(*model.notes, *rates.warnings))
        save_model(folder, model)
        row = ModelRow(model_id, as_of, config.hash, model_config_hash(config), str(folder.relative_to(store.root)))
        store.commit("train", {}, rows=[row])
        _prune(store)
    for text in model.notes:
        log.warning("%s", text)
    return _result(model, fresh=True)


def model_config_hash(config: Config) -> str:
    """Changes with whatever in the config changes the model."""
    said = {
        "models": {name: config.model_of(name).model_dump(mode="json") for name in config.channel_names},
        "events": dict(sorted(config.events.items())),
        "channels": config.channel_names,
        "seed": config.seed,
        "fatigue": [rule.model_dump(mode="json") for rule in config.rules if isinstance(rule, Weight)],
        "rates": [config.attribution.total_seconds(), config.timezone, [c.exclude_seen for c in config.channels.values()]],
    }
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def fit_model(
    con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime, *, model_id: str, jobs: int = 1, progress: Progress | None = None
) -> Model:
    """The model of all channels from a store connection; writes nothing."""
    settings = {name: config.model_of(name) for name in config.channel_names}
    reading = read_evidence(con, config, as_of, [chosen.half_life for chosen in settings.values()])
    known = reading.known
    channels: dict[str, ChannelModel] = {}
    notes: list[str] = []
    shared: dict[ModelSettings, ChannelModel] = {}
    for code, (name, chosen) in enumerate(settings.items()):
        own = int((reading.tastes[chosen.half_life].taste.channel == code).sum())
        if not own and chosen in shared:  # channels without a sign of their own rank alike
            channels[name] = replace(shared[chosen], name=name, code=code)
        else:
            evidence = reading.evidence(chosen)
            channels[name] = fit_channel(name, code, evidence, chosen, seed=config.seed % 2**32, threads=jobs, progress=progress)
        if not own:
            shared[chosen] = channels[name]
        notes += _notes(name, own, channels[name])
    return Model(
        model_id=model_id,
        as_of=as_of,
        channels=channels,
        item_codes=known.item_codes,
        item_ids=known.item_ids,
        user_row=_user_rows(known),
        segments=reading.segments,
        notes=tuple(notes),
        extras={},
    )


def _user_rows(known: Interactions) -> npt.NDArray[np.int32]:
    rows = np.full(int(known.user_codes.max(initial=-1)) + 1, -1, dtype=np.int32)
    rows[known.user_codes] = np.arange(len(known.user_codes), dtype=np.int32)
    return rows


def _notes(name: str, own: int, model: ChannelModel) -> list[str]:
    if not model.n_interactions:
        return [f"{name}: no event says anything about taste on it, so it offers what is popular; ingest events, or raise transfer"]
    if own < FEW_EVENTS:
        signs = f"only {own} signs of taste of its own" if own else "no sign of taste of its own"
        return [f"{name}: {signs}, so it ranks by what other channels and organic behaviour show (transfer {model.transfer:g})"]
    return []


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
        return known if "fatigue" in known.extras else None  # of an earlier version
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
    return TrainResult(model.model_id, model.as_of, counts, curve, model.notes, fresh)
