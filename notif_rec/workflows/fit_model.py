"""What the store says before a moment → the ranking models of its channels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.models.fit import fit_channel
from notif_rec.models.interactions import Interactions
from notif_rec.models.model import ChannelModel, Model
from notif_rec.models.settings import ModelSettings
from notif_rec.workflows.evidence import read_evidence

FEW_EVENTS = 100  # own signs of taste under which a channel is told to be thin
Progress = Callable[[str, int, int], None]


def fit_model(
    con: duckdb.DuckDBPyConnection,
    config: Config,
    as_of: datetime,
    *,
    model_id: str = "",
    jobs: int = 1,
    progress: Progress | None = None,
    only: Sequence[str] = (),
) -> Model:
    """The model of all channels, or of `only` these, from a store connection; writes nothing."""
    settings = {name: config.model_of(name) for name in only or config.channel_names}
    reading = read_evidence(con, config, as_of, [chosen.half_life for chosen in settings.values()])
    known = reading.known
    channels: dict[str, ChannelModel] = {}
    notes: list[str] = []
    shared: dict[ModelSettings, ChannelModel] = {}
    for name, chosen in settings.items():
        code = config.channel_names.index(name)
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
