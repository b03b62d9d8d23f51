"""Trials of a search as JSON lines beside its result: a search that was stopped goes on from them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notif_rec.models.settings import ModelSettings
from notif_rec.scoring.bench import Score


@dataclass(frozen=True)
class Trial:
    """What a trial found, and the seconds it took."""

    stage: str
    channel: str
    settings: ModelSettings
    score: Score
    seconds: float


class TrialLog:
    """The trials on one body of data, in the order in which they were made. data: what tells it from other data."""

    def __init__(self, path: Path, data: str) -> None:
        self.path, self.data = path, data
        self.trials: list[Trial] = []
        self._known: dict[str, Trial] = {}
        for trial in self._read():
            self._remember(trial)

    @property
    def seconds(self) -> float:
        """What all trials took together."""
        return sum(trial.seconds for trial in self.trials)

    def find(self, channel: str, settings: ModelSettings) -> Trial | None:
        """The trial of these settings, whatever its stage."""
        return self._known.get(_key(channel, settings))

    def add(self, trial: Trial) -> None:
        """Remembers a trial, on disk before it returns."""
        line = {
            "data": self.data,
            "stage": trial.stage,
            "channel": trial.channel,
            "ndcg": trial.score.ndcg,
            "recall": trial.score.recall,
            "parts": trial.score.parts,
            "seconds": round(trial.seconds, 3),
            "settings": trial.settings.model_dump(mode="json"),
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("ab") as stream:
            torn = stream.tell() > 0 and not _ends_with_a_line(self.path)
            stream.write(b"\n" * torn + json.dumps(line).encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
        self._remember(trial)

    def _remember(self, trial: Trial) -> None:
        self.trials.append(trial)
        self._known.setdefault(_key(trial.channel, trial.settings), trial)

    def _read(self) -> list[Trial]:
        """Trials on the same data; a line that a kill cut short, or of other data, is passed over."""
        if not self.path.exists():
            return []
        lines = (_parsed(line) for line in self.path.read_bytes().splitlines())
        return [_trial(line) for line in lines if line.get("data") == self.data]


def fingerprint(*parts: object) -> str:
    """16 hex digits that change with any of the parts."""
    return hashlib.sha256(json.dumps(parts, default=str, sort_keys=True).encode()).hexdigest()[:16]


def _key(channel: str, settings: ModelSettings) -> str:
    return fingerprint(channel, settings.model_dump(mode="json"))


def _ends_with_a_line(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _trial(line: dict[str, Any]) -> Trial:
    settings = ModelSettings.model_validate_json(json.dumps(line["settings"]))
    score = Score(line["ndcg"], line["recall"], tuple(line.get("parts", ())))
    return Trial(line["stage"], line["channel"], settings, score, line["seconds"])
