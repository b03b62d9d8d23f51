"""Where a simulation lives: a folder a policy, and what each came to, so that a long one can be stopped and taken up again."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec import __version__
from notif_rec.errors import UsageError
from notif_rec.simulation.presets import Policy

MARK, RESULT = "simulation.json", "lived.json"
AUDITED = ("plans", "sends", "violations")
Counts = Mapping[str, npt.NDArray[np.float64]]


@dataclass(frozen=True)
class Span:
    """How much is simulated. users: at the start. history: days that an older system sent on before. train_every: days."""

    users: int
    days: int
    seed: int
    train_every: int = 7
    history: int = 28


@dataclass(frozen=True)
class Outcome:
    """What a policy came to: counts by name, (n_users,) each; what the audit of its ledger found; what `apply` dropped, by reason."""

    counts: Counts
    audit: Mapping[str, int]
    dropped: Mapping[str, int]


@dataclass(frozen=True)
class Home:
    """One policy's folder: `store` and `lists`, and `lived.json` when it is done."""

    path: Path
    fingerprint: str

    def outcome(self) -> Outcome | None:
        """What was lived here to the end, or None."""
        said = _said(self.path / RESULT)
        if said is None:
            return None
        counts = {name: np.array(values, dtype=np.float64) for name, values in said["counts"].items()}
        return Outcome(counts, said["audit"], said["dropped"])

    def begin(self, history: Path) -> None:
        """Makes the folder anew, with a copy of the history."""
        if self.path.exists():
            shutil.rmtree(self.path)
        shutil.copytree(history, self.path)

    def finish(self, outcome: Outcome) -> None:
        """Writes the result, whole or not at all."""
        counts = {name: values.tolist() for name, values in outcome.counts.items()}
        said = {"fingerprint": self.fingerprint, "counts": counts, "audit": dict(outcome.audit), "dropped": dict(outcome.dropped)}
        draft = self.path / f"{RESULT}.part"
        draft.write_text(json.dumps(said), encoding="utf-8")
        draft.replace(self.path / RESULT)


def homes(folder: Path, policies: Sequence[Policy], span: Span) -> tuple[Home, ...]:
    """A home for each policy; UsageError where `folder` holds something else than this simulation, or one of other settings."""
    mark = {"version": __version__, **asdict(span)}
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not (folder / MARK).is_file():
        raise UsageError(f"{folder}: is not empty, and holds no simulation", "name a folder that does not exist yet")
    if _said(folder / MARK) not in (None, mark):
        raise UsageError(f"{folder}: holds a simulation of other days, users, seed, training or version", "name another folder")
    (folder / MARK).write_text(json.dumps(mark, indent=1) + "\n", encoding="utf-8")
    found = tuple(Home(folder / _name(policy, policies), _fingerprint(policy)) for policy in policies)
    for home, policy in zip(found, policies, strict=True):
        said = _said(home.path / RESULT)
        if said is not None and said["fingerprint"] != home.fingerprint:
            raise UsageError(f"{home.path}: policy {policy.name} was another one when it was lived here", "name another folder")
    return found


def _name(policy: Policy, policies: Sequence[Policy]) -> str:
    """The policy's name without its path; numbered where another has the same."""
    name = Path(policy.name).stem
    same = [other for other in policies if Path(other.name).stem == name]
    return name if len(same) == 1 else f"{name}-{same.index(policy) + 1}"


def _fingerprint(policy: Policy) -> str:
    return hashlib.sha256(f"{policy.config.hash} {policy.planner.__module__}.{policy.planner.__name__}".encode()).hexdigest()


def _said(path: Path) -> Any:
    """The JSON of a file that we wrote; None where there is none."""
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
