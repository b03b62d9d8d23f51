"""The effect of a push message on the next half hour's steps, and how it wears off, from the micro-randomised trial HeartSteps V1.

    python examples/heartsteps/estimate.py [--data FOLDER] [--json]

FOLDER holds HS1_cleaned.csv.gz; by default `heartsteps_v1` in $NOTIF_REC_DATA, or in ../shared/data beside this checkout. README.md says
what is estimated, and how.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import stats

ROOT = Path(__file__).parents[2]
FILE = "HS1_cleaned.csv.gz"
SENT = 0.6  # the trial's probability of a message at a decision point at which one could be sent
COLUMNS = {"day": "study.day.nogap", "before": "jbsteps30pre.log", "after": "jbsteps30.log"}
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Trial:
    """One entry a decision point. day: of the study, from 0. before, after: log steps of the half hours around it."""

    user: npt.NDArray[np.int64]
    day: FloatArray
    available: npt.NDArray[np.bool_]
    sent: npt.NDArray[np.bool_]
    before: FloatArray
    after: FloatArray


@dataclass(frozen=True)
class Effect:
    """A term of the effect with its standard error over users, its 95 % interval and two-sided p."""

    term: str
    estimate: float
    error: float
    low: float
    high: float
    p: float


def read_trial(path: Path) -> Trial:
    """Every decision point of the trial."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = {name: np.array([float(row[header]) for row in rows]) for name, header in COLUMNS.items()}
    flags = {name: np.array([row[header] == "TRUE" for row in rows]) for name, header in (("available", "avail"), ("sent", "send"))}
    return Trial(np.array([int(row["user"]) for row in rows]), **columns, **flags)


def effects(trial: Trial, moderators: dict[str, FloatArray], controls: FloatArray, propensity: float | FloatArray = SENT) -> list[Effect]:
    """The effect of a message as Σ term · moderator, by weighted and centred least squares.

    Outcome ~ controls + (sent − p)·moderators over the points at which a message could be sent. As the draw is centred by its own
    probability, controls that are wrong add noise and no bias. Errors: sandwich over users with the small-sample correction
    (I − H)⁻¹ of each user's residuals, which is how far the fit moves when that user is left out; t with n − terms − controls
    degrees of freedom.
    Source: Boruvka et al., JASA 113 (2018), eq. 7; Liao et al., Statistics in Medicine 35 (2016), appendix; Mancl & DeRouen (2001).
    """
    at = trial.available
    chance, terms = np.broadcast_to(propensity, len(at))[at], np.column_stack(list(moderators.values()))[at]
    design = np.column_stack([controls[at], (trial.sent[at] - chance)[:, None] * terms])
    outcome, user = trial.after[at], trial.user[at]
    whole = design.T @ design
    fitted = np.linalg.solve(whole, design.T @ outcome)
    spread = np.zeros_like(whole)
    for one in np.unique(user):
        rows = design[user == one]
        moved = np.linalg.solve(whole - rows.T @ rows, rows.T @ (outcome[user == one] - rows @ fitted))
        spread += np.outer(moved, moved)
    error = np.sqrt(np.diag(spread))
    width = stats.t(len(np.unique(user)) - design.shape[1])
    first = controls.shape[1]
    found = zip(moderators, fitted[first:].tolist(), error[first:].tolist(), strict=True)
    return [Effect(name, e, s, e - width.ppf(0.975) * s, e + width.ppf(0.975) * s, 2 * float(width.sf(abs(e / s)))) for name, e, s in found]


def analyse(trial: Trial) -> dict[str, list[Effect]]:
    """The effect on average over the study, and as a line over its days."""
    one = np.ones(len(trial.day))
    return {
        "on average": effects(trial, {"message": one}, np.column_stack([one, trial.before])),
        "by day": effects(trial, {"message, day 0": one, "… a day": trial.day}, np.column_stack([one, trial.before, trial.day])),
    }


def main() -> int:
    """Reads the command line."""
    base = Path(os.environ.get("NOTIF_REC_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, default=base / "heartsteps_v1", help=f"the folder that holds {FILE}")
    parser.add_argument("--json", action="store_true", help="one JSON object")
    given = parser.parse_args()
    if not (given.data / FILE).is_file():
        print(f"error: {given.data / FILE}: no such file\n  fix: name the folder with --data, or set NOTIF_REC_DATA", file=sys.stderr)
        return 1
    trial = read_trial(given.data / FILE)
    found = analyse(trial)
    if given.json:
        print(json.dumps({name: [vars(effect) for effect in effects] for name, effects in found.items()}))
        return 0
    counts = f"{len(trial.day):,} decision points, {trial.available.sum():,} available, {trial.sent.sum():,} messages"
    print(f"{len(np.unique(trial.user))} people, {counts}\n\neffect on log steps\testimate\terror\t95 % interval\tp")
    for model, terms in found.items():
        for e in terms:
            print(f"{model}: {e.term}\t{e.estimate:.4f}\t{e.error:.4f}\t{e.low:.4f} to {e.high:.4f}\t{e.p:.4f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
