"""Each channel's model fitted by a process of its own, and all of them as one model again."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.models.artifact import load_model, save_model
from notif_rec.models.model import Model
from notif_rec.store.place import private_folder
from notif_rec.store.snapshot import Snapshot
from notif_rec.workflows.fit_model import fit_model


@dataclass(frozen=True)
class FitApart:
    """Fits one channel from the files of a store and leaves the model in `folder`."""

    snapshot: Snapshot
    config: Config
    as_of: datetime
    folder: Path
    threads: int

    def __call__(self, channel: str) -> Path:
        """The model's folder; a second try makes another one."""
        with self.snapshot.connect(threads=self.threads) as con:
            model = fit_model(con, self.config, self.as_of, jobs=self.threads, only=[channel])
        path = self.folder / f"{channel}-{uuid.uuid4().hex}"
        save_model(path, model)
        return path


def fit_apart(engine: Engine, snapshot: Snapshot, config: Config, as_of: datetime, *, folder: Path, progress: Progress | None) -> Model:
    """As `fit_model`, a channel a piece of work; its arrays lie in `folder`, which may go once the model is saved."""
    private_folder(folder)
    work = FitApart(snapshot, config, as_of, folder, engine.threads)
    paths = engine.each(work, config.channel_names, "fit channels", progress or (lambda stage, done, total: None))
    parts = [load_model(path, check=False) for path in paths]
    channels = {name: channel for part in parts for name, channel in part.channels.items()}
    return replace(parts[0], channels=channels, notes=tuple(note for part in parts for note in part.notes))
