"""`lift --logs`: a plain file of a randomised experiment: the effect, whom it is on, and whether that was found."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.causal.experiment import Effect, Group, compare
from notif_rec.causal.qini import GROUPS, Verdict, judge, ranks
from notif_rec.causal.support import FAR
from notif_rec.causal.uplift import Experiment
from notif_rec.errors import DataError
from notif_rec.scoring.uplift import judged_apart
from notif_rec.store.columns import TableColumns
from notif_rec.workflows.log_file import LogFile, columns_of, feature_columns

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
LOG_COLUMNS = ("user_id", "treated", "outcome", "propensity")
FEW = 200  # rows of an arm, under which differences between users are not looked for
CERTAIN_SHARE = 1e-6


@dataclass(frozen=True)
class Contrast:
    """The mean of a feature among those whom treatment changes most, and least: the best and the last of GROUPS; distance in spreads."""

    feature: str
    most: float
    least: float
    distance: float


@dataclass(frozen=True)
class LogsLift:
    """difference: of the arms' means (None where chances of treatment differ by row). verdict: on a ranking by foretold effects, each half
    of the users judged by models of the other; None without features. user_id, uplift: (n,) of each row."""

    source: str
    rows: int
    users: int
    treated: Group
    untreated: Group
    difference: Effect | None
    verdict: Verdict | None
    contrasts: Sequence[Contrast]
    notes: Sequence[str]
    user_id: Sequence[str]
    uplift: FloatArray

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        arms = {name: {"rows": arm.n, "mean": arm.mean} for name, arm in (("treated", self.treated), ("untreated", self.untreated))}
        told = {"source": self.source, "rows": self.rows, "users": self.users, **arms}
        told |= {"difference": None if self.difference is None else self.difference.to_json()}
        told |= {"uplift": None if self.verdict is None else self.verdict.to_json()}
        return told | {"features": [dict(vars(c)) for c in self.contrasts], "warnings": list(self.notes)}


def lift_of_logs(
    path: Path, *, mapping: Mapping[str, str], constants: Mapping[str, str], features: Sequence[str], cost: float, seed: int, jobs: int
) -> LogsLift:
    """The effect in the experiment that `path` holds, one row a decision that chance made, and on whom it is.

    features: columns known before the decision, numbers or words. cost: of treating, in the unit of the outcome. DataError where the file
    is broken, or lacks an arm.
    """
    names = tuple(dict.fromkeys((*LOG_COLUMNS, *features)))
    table = TableColumns("logs", names, ("treated", "outcome", *features), frozenset(names), False)
    logs = LogFile(path, *columns_of(path, table, mapping, constants), {})
    experiment, matrix, notes = _experiment(logs, features)
    treated, untreated = (Group.of(experiment.outcome[arm]) for arm in (experiment.treated, ~experiment.treated))
    even = float(np.ptp(experiment.propensity)) < CERTAIN_SHARE
    verdict, uplift, contrasts = None, np.zeros(0), list[Contrast]()
    if features and min(treated.n, untreated.n) >= FEW:
        scores, uplift, half = judged_apart(experiment, seed=seed, threads=jobs)
        verdict = judge(scores, uplift, experiment.cluster, half, cost=cost, seed=seed)
        contrasts = _contrasts(matrix, experiment.features, ranks(uplift, half))
    return LogsLift(
        source=str(path),
        rows=logs.rows,
        users=int(experiment.cluster.max()) + 1,
        treated=treated,
        untreated=untreated,
        difference=compare(treated, untreated) if even else None,
        verdict=verdict,
        contrasts=contrasts,
        notes=(*notes, *_too_few(features, treated, untreated)),
        user_id=logs.text["user_id"].to_pylist() if logs.has("user_id") else [str(line) for line in logs.line],
        uplift=uplift,
    )


def write_uplift(path: Path, result: LogsLift, cost: float) -> None:
    """One row a decision: user_id (the line where the file has none), uplift, treat."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("user_id", "uplift", "treat"))
        writer.writerows((user, f"{u:.6g}", int(u > cost)) for user, u in zip(result.user_id, result.uplift.tolist(), strict=True))


def _experiment(logs: LogFile, features: Sequence[str]) -> tuple[Experiment, list[str], list[str]]:
    """The rows, the names of the features' columns, and notes."""
    if not logs.rows:
        raise DataError(f"{logs.path}: no rows", "a row is one decision: treated, outcome, and what was known before")
    treated = logs.numbers("treated", 0.0, 1.0)
    if not np.isin(treated, (0.0, 1.0)).all():
        line = int(logs.line[np.argmax(~np.isin(treated, (0.0, 1.0)))])
        raise DataError(f"{logs.path}:{line}: column 'treated' is neither 0 nor 1", "0 or 1, true or false")
    if treated.min() == treated.max():
        raise DataError(f"{logs.path}: all rows are {'treated' if treated[0] else 'untreated'}", "an effect needs both arms")
    columns = [(name, column) for name in features for column in _named(logs, name)]
    flat = [(label, values) for _, (label, values) in columns]
    matrix = np.stack([values for _, values in flat], axis=1) if flat else np.zeros((logs.rows, 0))
    cluster, notes = _users(logs)
    propensity, told = _propensity(logs, treated)
    found = Experiment(matrix.astype(np.float32), treated > 0.0, propensity, logs.numbers("outcome"), cluster)
    return found, [label for label, _ in flat], [*notes, *told]


def _named(logs: LogFile, name: str) -> list[tuple[str, FloatArray]]:
    """The columns that a feature makes, each with its name: of words one a word."""
    columns = feature_columns(logs, name)
    words = [""] if len(columns) == 1 else [f"={word}" for word in logs.codes(name)[1]]
    return [(f"{name}{word}", column) for word, column in zip(words, columns, strict=True)]


def _users(logs: LogFile) -> tuple[IntArray, list[str]]:
    if logs.has("user_id"):
        return logs.codes("user_id")[0], []
    return np.arange(logs.rows), ["no column user_id: rows are taken for independent users; --map user_id=HEADER where they are not"]


def _propensity(logs: LogFile, treated: FloatArray) -> tuple[FloatArray, list[str]]:
    """(n,) the chance of treatment, and a warning where it is not what happened."""
    if not logs.has("propensity"):
        share = float(treated.mean())
        return np.full(logs.rows, share), [
            f"no column propensity: {share:.2%} were treated, and that is taken for everybody's chance of it"
        ]
    p = logs.numbers("propensity", CERTAIN_SHARE, 1.0 - CERTAIN_SHARE)
    apart = float((treated - p).sum() / np.sqrt((p * (1.0 - p)).sum()))
    if abs(apart) > FAR:
        return p, [
            f"{treated.sum():,.0f} rows are treated where propensities say {p.sum():,.0f}, {apart:+.1f} errors away: "
            "propensity is the chance of treatment, whether the row was treated or not"
        ]
    return p, []


def _too_few(features: Sequence[str], treated: Group, untreated: Group) -> tuple[str, ...]:
    if not features:
        return ("without --features everybody is alike: name columns known before the decision to see on whom the effect is",)
    smaller = min(treated.n, untreated.n)
    return () if smaller >= FEW else (f"an arm of {smaller:,} rows tells no users apart; at least {FEW} are needed",)


def _contrasts(names: Sequence[str], rows: npt.NDArray[np.float32], place: FloatArray) -> list[Contrast]:
    """The features by which the best and the last group differ, the most telling first."""
    best, last, spread = rows[place < 1 / GROUPS], rows[place >= 1 - 1 / GROUPS], rows.std(axis=0, dtype=np.float64)
    if not len(best) or not len(last):
        return []
    most, least = best.mean(axis=0, dtype=np.float64), last.mean(axis=0, dtype=np.float64)
    distance = (most - least) / np.where(spread > 0, spread, np.inf)
    return [Contrast(names[i], float(most[i]), float(least[i]), float(distance[i])) for i in np.argsort(-np.abs(distance), kind="stable")]
