"""`lift`: what sending brings, by users who were held out against those who were not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.causal.experiment import Effect, Group, compare, mismatch, users_needed
from notif_rec.config import Config
from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.planning.chance import held_out
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.tables import OUTCOMES

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
SORTED = 4.0  # standard errors by which the groups' sizes may miss the share that was set
ONE_PERCENT = 0.01
LEFT = ("unsubscribed", "complained")

# What each user did in the window; of users with a moment of their own (`since`), after that moment.
DONE = """
SELECT w."user", e.event, count(*) AS times FROM events e JOIN who w ON w."user" = e."user"
WHERE e.timestamp >= w.since AND e.timestamp < $until AND list_contains($names, e.event) GROUP BY ALL
"""
# The first marketing message that a user got, or (held out) would have got; a draw of nothing counts as one that chance kept back.
REACHED = """
SELECT "user", bool_or(kind = 'shadow') AS shadow, min(send_at) AS first FROM sends
WHERE list_contains($plans, plan_id) AND (kind IN ('shadow', 'nothing') OR (kind = 'send' AND item_class = 'marketing'))
GROUP BY "user"
"""


@dataclass(frozen=True)
class Measure:
    """One outcome in both groups: the share of users with it (kind `users`), or how often a user had it (`times`)."""

    outcome: str
    kind: str
    treated: Group
    held: Group
    effect: Effect
    needed: int  # users in each of two equal groups that would show one percent more

    def to_json(self) -> dict[str, Any]:
        """As in the command's --json."""
        told = {"outcome": self.outcome, "kind": self.kind, "treated": self.treated.mean, "held_out": self.held.mean}
        return {**told, **self.effect.to_json(), "users_needed_for_1_percent": self.needed}


@dataclass(frozen=True)
class LiftResult:
    """everybody: users known when the first plan was made, whoever got something. reached: those whom the plans had something for,
    from their first message on; empty where the groups are not alike. changed: users left out because they changed groups.
    """

    since: datetime
    until: datetime
    plans: int
    share: float
    treated: int
    held: int
    changed: int
    everybody: Sequence[Measure]
    reached: Sequence[Measure]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        told = {name: getattr(self, name) for name in ("since", "until", "plans", "treated", "changed")}
        lists = {name: [m.to_json() for m in getattr(self, name)] for name in ("everybody", "reached")}
        return {**told, "holdout": self.share, "held_out": self.held, **lists, "warnings": list(self.notes)}


def lift(store: Store, config: Config, as_of: datetime, since: timedelta, events: Sequence[str] = ()) -> LiftResult:
    """The effect of sending on what users did before `as_of`, from the first applied plan of the last `since` that held users out.

    events: outcomes; by default every sign of taste that needs no message, all of them together, and leaving. A user's group is the
    one that each plan's own holdout (share and salt) put them in; who was in both is left out: the hash knows nothing of outcomes.
    DataError where nobody was held out.
    """
    plans = _plans(store, as_of, since)
    start, first = plans[0].as_of, plans[0]
    with store.connect(Version(first.seq, first.ledger)) as then:
        known = then.sql('SELECT "user", user_id FROM user_ids ORDER BY "user"').to_arrow_table()
    held, treated = _groups(known.column("user_id").combine_chunks(), plans)
    if not held.any():
        raise DataError("none of the users known to the first plan was held out", "a larger `holdout`, or more users, are needed")
    with store.connect() as now:
        names = _outcomes(now, config, events)
        codes = known.column("user").to_numpy()
        whole = _measures(now, names, codes, held, treated, np.full(len(codes), start, dtype="datetime64[us]"), as_of)
        reached, notes = _reached(now, names, codes, held, treated, plans, as_of)
    share = plans[-1].manifest["config"]["holdout"]
    changed = int((~held & ~treated).sum())
    return LiftResult(start, as_of, len(plans), share, int(treated.sum()), int(held.sum()), changed, whole, reached, notes)


def _plans(store: Store, as_of: datetime, since: timedelta) -> list[PlanRow]:
    """The applied plans of the window from the first that held users out, oldest first."""
    applied = [p for p in store.plans() if p.applied_seq is not None and as_of - since <= p.as_of < as_of]
    ordered = sorted(applied, key=lambda p: (p.as_of, p.applied_seq or 0))
    held = [at for at, plan in enumerate(ordered) if plan.manifest["config"]["holdout"] > 0]
    if not held:
        why = f"none of the {len(ordered)} applied plans since then" if ordered else "no plan was applied since then, and nobody"
        raise DataError(
            f"nothing to compare in [{as_of - since:%Y-%m-%d}, {as_of:%Y-%m-%d}): {why} held users out",
            "set `holdout: 0.05` in the config; a longer --since looks further back",
        )
    return ordered[held[0] :]


def _groups(user_ids: pa.Array, plans: Sequence[PlanRow]) -> tuple[BoolArray, BoolArray]:
    """Who was held out of every plan, and of none."""
    settings = {(plan.manifest["config"]["holdout_salt"], plan.manifest["config"]["holdout"]) for plan in plans}
    member = np.array([held_out(user_ids, salt, share) for salt, share in sorted(settings)])
    return np.asarray(member.all(axis=0)), np.asarray(~member.any(axis=0))


def _outcomes(now: duckdb.DuckDBPyConnection, config: Config, events: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Outcome → the events that make it."""
    if events:
        known = {row[0] for row in now.sql("SELECT DISTINCT event FROM events").fetchall()} | {*config.events, *OUTCOMES}
        for name in events:
            if name not in known:
                raise UsageError(f"no event '{name}'{did_you_mean(name, known)}", f"one of: {', '.join(sorted(known))}")
        return {name: (name,) for name in events}
    taste = tuple(name for name, weight in config.events.items() if weight > 0 and name not in OUTCOMES)
    if not taste:
        raise DataError(
            "no event of the config tells what users do without a message: opened and clicked need one",
            "ingest visits or purchases and name them under `events:`, or ask for one with --event",
        )
    together = {"any of them": taste} if len(taste) > 1 else {}
    return {name: (name,) for name in taste} | together | {"left": LEFT}


def _measures(
    now: duckdb.DuckDBPyConnection, names: Mapping[str, tuple[str, ...]], codes: npt.NDArray[np.int32], held: BoolArray,
    treated: BoolArray, since: npt.NDArray[np.datetime64], until: datetime,
) -> list[Measure]:  # fmt: skip
    """Each outcome in both groups. since: (n,) from when on it counts for each user."""
    now.register("who", pa.table({"user": pa.array(codes, pa.int32()), "since": pa.array(since, pa.timestamp("us"))}))
    wanted = sorted({event for parts in names.values() for event in parts})
    done = now.sql(DONE, params={"until": until, "names": wanted}).to_arrow_table()
    now.unregister("who")
    row = np.searchsorted(codes, done.column("user").to_numpy())
    event, times = np.array(done.column("event").to_pylist(), dtype=object), done.column("times").to_numpy().astype(np.float64)
    found = []
    for outcome, parts in names.items():
        mine = np.isin(event, parts)
        total = np.bincount(row[mine], times[mine], len(codes)).astype(np.float64)
        found.append(_measure(outcome, "users", (total > 0).astype(np.float64), held, treated))
        if outcome != "left":
            found.append(_measure(outcome, "times", total, held, treated))
    return found


def _measure(outcome: str, kind: str, values: FloatArray, held: BoolArray, treated: BoolArray) -> Measure:
    with_it, without = Group.of(values[treated]), Group.of(values[held])
    return Measure(outcome, kind, with_it, without, compare(with_it, without), users_needed(without.variance, ONE_PERCENT * without.mean))


def _reached(
    now: duckdb.DuckDBPyConnection, names: Mapping[str, tuple[str, ...]], codes: npt.NDArray[np.int32], held: BoolArray,
    treated: BoolArray, plans: Sequence[PlanRow], until: datetime,
) -> tuple[list[Measure], tuple[str, ...]]:  # fmt: skip
    """The outcomes of those with a message, or a shadow of one; a note instead where something else than chance sorts them."""
    found = now.sql(REACHED, params={"plans": [plan.plan_id for plan in plans]}).to_arrow_table()
    row = np.searchsorted(codes, found.column("user").to_numpy())
    known = (row < len(codes)) & (codes[np.minimum(row, len(codes) - 1)] == found.column("user").to_numpy())
    since = np.full(len(codes), np.datetime64("NaT"), dtype="datetime64[us]")
    since[row[known]] = found.column("first").to_numpy().astype("datetime64[us]")[known]
    met = ~np.isnat(since)
    shares = held.sum() / max(1, held.sum() + treated.sum())
    apart = mismatch(int((met & held).sum()), int((met & treated).sum()), float(shares))
    if abs(apart) > SORTED:
        return [], (
            f"of those reached {(met & held).sum():,} were held out, {apart:+.1f} errors from what the share makes likely: "
            "quotas or rules sort the groups, so that they are not compared",
        )
    where = np.flatnonzero(met)
    return _measures(now, names, codes[where], held[where], treated[where], since[where], until), ()
