"""One plan as logged choices: what each user was sent, how likely that was, and how likely another policy makes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.causal.logged import Logged, total_by
from notif_rec.planning.context import Worth
from notif_rec.planning.quotas import read_batches
from notif_rec.workflows.plan_outcomes import Outcomes

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
HashArray = npt.NDArray[np.uint64]
SAME = 1e-9  # propensities this near are one
NAMES = ("action", "content", "channel", "likely", "by_chance", "opened", "clicked", "unsubscribed", "taken", "drawn")


@dataclass(frozen=True)
class Actions:
    """What plans could have held: one row an action, ordered by action. message: it is one, not the silence of a channel; value: of
    its expected outcomes.
    """

    user: IntArray
    action: HashArray
    message: BoolArray
    likely: FloatArray
    by_chance: FloatArray
    value: FloatArray
    taken: BoolArray
    drawn: BoolArray

    def of(self, rows: BoolArray) -> Actions:
        """Some of the rows."""
        return Actions(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True)
class PlanLog:
    """The logged choices of a plan (rows), and its users (who); `_own`: of the plan's own policy, by the same rows.

    unsupported: of the policy's expected actions (`expected`), those that chance could never have taken. gone: choices whose send is
    not in the ledger (apply dropped it): they brought nothing. known: ledger sends; strange: of these, what the replay does not hold,
    or holds with another propensity; blank, not_drawn: of these, what was left out. cut: 1 where a quota cut the plan.
    """

    user: IntArray
    reward: FloatArray
    weight: FloatArray
    weight_own: FloatArray
    predicted: FloatArray
    who: IntArray
    expected: FloatArray
    expected_own: FloatArray
    direct: FloatArray
    direct_own: FloatArray
    unsupported: float
    gone: int
    known: int
    strange: int
    blank: int
    not_drawn: int
    cut: int


def read_actions(part: Path, worth: Worth, any_moment: bool = False) -> tuple[Actions, IntArray]:
    """The actions in a file of CHANCES, and every user in it; neither of those held out. any_moment: named by content alone."""
    table = pa.Table.from_batches(list(read_batches(part)))
    table = table.filter(pc.invert(table.column("held")))
    user = table.column("user").to_numpy().astype(np.int64)
    size = pc.list_value_length(table.column("action")).to_numpy()
    found = {name: pc.list_flatten(table.column(name)).to_numpy() for name in NAMES}
    value = worth.opened * found["opened"] + worth.clicked * found["clicked"] + worth.unsubscribed * found["unsubscribed"]
    action, first, row = np.unique(
        found["content" if any_moment else "action"], return_index=True, return_inverse=True
    )  # two offers of the same are one action

    def merged(column: FloatArray) -> FloatArray:
        return total_by(row, column.astype(np.float64), len(action))

    likely = merged(found["likely"])
    return Actions(
        user=np.repeat(user, size)[first],
        action=action,
        message=(found["opened"] > 0)[first],
        likely=likely,
        by_chance=merged(found["by_chance"]),
        value=np.where(likely > 0, merged(found["likely"] * value) / np.where(likely > 0, likely, 1.0), value[first]),
        taken=merged(found["taken"]) > 0,
        drawn=merged(found["drawn"]) > 0,
    ), user


def log_of(own: Actions, other: Actions, who: IntArray, outcomes: Outcomes, explorers: float | None) -> PlanLog:
    """The plan's choices as rows. explorers: where given, only what chance decided counts, `who` are the users who explored, and this
    is the probability of that: a choice's is then that of its channel and its draw. Else every choice counts at its whole probability.
    """
    other = other.of(np.isin(other.user, who))
    chance = own.likely if explorers is None else own.by_chance / explorers
    told, met = _place(outcomes.action, own.action)
    blank = met & np.isnan(_at(outcomes.propensity, told, met))
    logged = (own.taken if explorers is None else own.drawn) & ~blank
    place, known = _place(own.action, other.action)
    likely = total_by(place, other.likely, len(own.action) + 1)[:-1]
    everyone = np.unique(who)

    def summed(of: Actions, weight: FloatArray) -> FloatArray:
        return total_by(np.searchsorted(everyone, of.user), weight, len(everyone))

    return PlanLog(
        user=own.user[logged],
        reward=_at(outcomes.reward, told, met)[logged],
        weight=likely[logged] / chance[logged],
        weight_own=own.likely[logged] / chance[logged],
        predicted=own.value[logged],
        who=everyone,
        expected=summed(other, other.likely),
        expected_own=summed(own, own.likely),
        direct=summed(other, other.likely * other.value),
        direct_own=summed(own, own.likely * own.value),
        unsupported=float(other.likely[_at(chance, place, known) <= 0.0].sum()),
        gone=int((own.message & logged & ~met).sum()),
        known=len(outcomes.action),
        strange=_strange(own, outcomes),
        blank=int(np.isnan(outcomes.propensity).sum()),
        not_drawn=0 if explorers is None else int((~outcomes.drawn & ~np.isnan(outcomes.propensity)).sum()),
        cut=0,
    )


def _strange(own: Actions, outcomes: Outcomes) -> int:
    """Ledger sends that the replay does not hold, or holds with another propensity; of those without one, a quota's repair chose some."""
    place, known = _place(own.action, outcomes.action)
    taken, likely = _at(own.taken, place, known) > 0, _at(own.likely, place, known)
    apart = np.abs(np.where(np.isnan(outcomes.propensity), likely, outcomes.propensity) - likely)
    return int((~taken & ~np.isnan(outcomes.propensity) | (apart > SAME)).sum())


def _at(values: npt.NDArray[np.generic], place: IntArray, known: BoolArray) -> FloatArray:
    """The value at each place, 0 where nothing is known."""
    found = np.zeros(len(place))
    found[known] = values[place[known]]
    return found


def _place(names: HashArray, wanted: HashArray) -> tuple[IntArray, BoolArray]:
    """The place of each wanted name among the sorted `names` (their number where it is not there), and whether it is there."""
    place = np.searchsorted(names, wanted)
    known = np.zeros(len(wanted), dtype=np.bool_)
    inside = place < len(names)
    known[inside] = names[place[inside]] == wanted[inside]
    return np.where(known, place, len(names)), known


ROWS = ("user", "reward", "weight", "weight_own", "predicted", "who", "expected", "expected_own", "direct", "direct_own")


def merged(logs: Sequence[PlanLog]) -> PlanLog:
    """The shards of a plan as one."""
    arrays: dict[str, Any] = {name: np.concatenate([getattr(log, name) for log in logs]) for name in ROWS}
    totals: dict[str, Any] = {
        field.name: sum(getattr(log, field.name) for log in logs) for field in fields(PlanLog) if field.name not in ROWS
    }
    return PlanLog(**arrays, **totals)


def joined(logs: Sequence[PlanLog]) -> tuple[Logged, Logged]:
    """All plans as one: the policy in question, and the plans' own. The value is per user and plan.

    The model's predictions are brought to the level of what the logs brought, so that what chance could never have done is not
    counted at the level of another world.
    """
    everyone = np.unique(np.concatenate([log.who for log in logs]))
    row = np.searchsorted(everyone, np.concatenate([log.user for log in logs]))
    of = np.searchsorted(everyone, np.concatenate([log.who for log in logs]))

    def rows(name: str) -> FloatArray:
        return np.concatenate([getattr(log, name) for log in logs])

    def users(name: str) -> FloatArray:
        return total_by(of, rows(name), len(everyone))

    reward, own = rows("reward"), rows("weight_own")
    level = _level(own * reward, own * rows("predicted"))
    shared: dict[str, Any] = {
        "cluster": row,
        "reward": reward,
        "units": np.bincount(of, minlength=len(everyone)).astype(np.float64),
        "taken": total_by(row, own * reward, len(everyone)),
        "predicted": level * rows("predicted"),
    }
    return (
        Logged(weight=rows("weight"), expected=users("expected"), direct=level * users("direct"), **shared),
        Logged(weight=own, expected=users("expected_own"), direct=level * users("direct_own"), **shared),
    )


def _level(brought: FloatArray, foretold: FloatArray) -> float:
    """What came for each unit that was foretold; never below 0, and 1 where nothing was foretold."""
    total = float(foretold.sum())
    return max(0.0, float(brought.sum()) / total) if total > 0.0 else 1.0
