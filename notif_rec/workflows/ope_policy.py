"""`ope --policy`: what a policy would have brought in the place of our own, from plans that left something to chance.

Every applied plan is made once more, by what the store knew then, under its own config and under the policy; both times every action
that could have come out is listed with its probability. What the ledger says became of the plan's own choices is then weighed.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.config import Config, load_policy
from notif_rec.engines.engine import Engine, Progress
from notif_rec.errors import DataError, UsageError
from notif_rec.planning.arms import BEST, explored_channel, share_of
from notif_rec.planning.context import Settings
from notif_rec.planning.reasons import CLOSED, FIXED
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.workflows.ope import OpeResult, answer
from notif_rec.workflows.plan_log import PlanLog, joined, log_of, merged, read_actions
from notif_rec.workflows.plan_outcomes import Outcomes, Yardstick, read_outcomes
from notif_rec.workflows.plans import find_plan
from notif_rec.workflows.replay import at_found_prices, at_own_prices, planner_of, replayed

Codes = npt.NDArray[np.int32]
STRANGE = 0.01  # of a plan's sends that may come out otherwise before the replay is none
UNSUPPORTED, UNKNOWABLE = 0.05, 0.15  # of the policy's actions: beyond the first a warning says so, beyond the second there is no answer
RELEASED, PLAIN, PARTIAL, EARLY = (
    "released plans", "plans without exploration", "plans for some users alone", "plans whose outcomes are not all in yet",
)  # fmt: skip
OWN = "the plans' own policy"
BLANK, NOT_DRAWN = "sends with a blank propensity", "sends that chance did not decide, of plans that a quota cut"


def evaluate_policy(
    store: Store, config: Config, policy: Path, as_of: datetime, since: timedelta, plan: str | None, engine: Engine, progress: Progress,
    seed: int = 1, any_moment: bool = False,
) -> OpeResult:  # fmt: skip
    """The value, per user and plan, of the policy in the file (keys that replace those of each plan's own config).

    From applied plans of the last `since` (or the one named) that explored, and whose outcomes are all in by `as_of`. Rewards are the
    realised value of the sends' outcomes by `config`. any_moment: a message is the same whenever it goes out. DataError where no plan
    will do, or the logs cannot speak for the policy.
    """
    plans, passed = _usable(store, config, as_of, since, plan)
    logs, yardstick = list[PlanLog](), Yardstick(config, as_of, any_moment)
    for done, row in enumerate(plans):
        progress("replay", done, len(plans))
        logs.append(_log_of_plan(store, row, policy, yardstick, engine))
    progress("replay", len(plans), len(plans))
    policy_log, own_log = joined(logs)
    notes, detail = _notes(logs)
    _check_supported(policy, detail["unsupported"])
    counts = {**passed, BLANK: sum(log.blank for log in logs), NOT_DRAWN: sum(log.not_drawn for log in logs)}
    return answer(
        source=f"{len(plans)} plans of {plans[0].as_of:%Y-%m-%d} to {plans[-1].as_of:%Y-%m-%d}",
        target=(str(policy), policy_log),
        against=(OWN, own_log),
        choices=None,
        left_out={reason: n for reason, n in counts.items() if n},
        notes=notes,
        detail={
            **detail,
            "plans": [row.plan_id for row in plans],
            "users": policy_log.n_clusters,
            "decisions": int(policy_log.units.sum()),
        },
        seed=seed,
    )


def _usable(store: Store, config: Config, as_of: datetime, since: timedelta, name: str | None) -> tuple[list[PlanRow], dict[str, int]]:
    """The plans that can be judged, oldest first, and how many others there are, by reason."""
    asked = (
        [find_plan(store, name)] if name else [p for p in store.plans() if p.applied_seq is not None and as_of - since <= p.as_of < as_of]
    )
    passed, usable = Counter[str](), []
    for row in sorted(asked, key=lambda p: (p.as_of, p.plan_id)):
        settings = Config.model_validate_json(json.dumps(row.manifest["config"]))
        if row.state != "applied":
            passed[RELEASED] += 1
        elif settings.exploration.share == 0:
            passed[PLAIN] += 1
        elif row.manifest["scope"]["users"] is not None:
            passed[PARTIAL] += 1
        elif row.as_of + settings.horizon + config.attribution > as_of:
            passed[EARLY] += 1
        else:
            usable.append(row)
    if not usable:
        told = "; ".join(f"{n} {reason}" for reason, n in passed.items()) or "no plan was applied"
        raise DataError(
            f"no plan to learn from in the {since.days} days before {as_of:%Y-%m-%d}: {told}",
            "set `exploration: 0.05`, plan and apply, and ask again when the attribution window is over",
        )
    return usable, dict(passed)


def _log_of_plan(store: Store, row: PlanRow, policy: Path, yardstick: Yardstick, engine: Engine) -> PlanLog:
    """The plan's logged choices under both policies. Where a quota cut it, what was chosen hung on other users: only draws count."""
    config = Config.model_validate_json(json.dumps(row.manifest["config"]))
    rival = load_policy(policy, config)
    if set(rival.channel_names) != set(config.channel_names):
        raise UsageError(
            f"{policy}: other channels than those of plan {row.plan_id}", "a policy is judged on the channels that were logged"
        )
    channels = {name: rival.channels[name] for name in config.channels}
    rival = rival.model_copy(update={"holdout": 0.0, "channels": channels})
    own, other = planner_of(store, row, config), planner_of(store, row, rival)
    settings, n_channels = own.context.settings, len(own.context.channels)
    cut = bool(row.manifest["dropped"].get(FIXED[CLOSED][0], 0))
    users = _explorers(store, row, settings, n_channels) if cut else None
    folder = store.root / "tmp" / f"ope-{row.plan_id}"
    shutil.rmtree(folder, ignore_errors=True)
    try:
        found = at_found_prices(store, row, rival, other, folder / "prices", engine)
        files = replayed(store, row, own, at_own_prices(store, row, config, own.context), users, folder / "own", engine)
        rivals = replayed(store, row, other, found, users, folder / "other", engine)
        outcomes = read_outcomes(store, row, own.context, yardstick)
        share = share_of(settings, n_channels) * n_channels if cut else None
        shards = [_log_of_shard(a, b, yardstick, outcomes, share) for a, b in zip(files, rivals, strict=True)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return replace(_whole(shards, row), cut=int(cut))


def _log_of_shard(own: Path, other: Path, yardstick: Yardstick, outcomes: Outcomes, explorers: float | None) -> PlanLog:
    (actions, users), (others, _) = (read_actions(part, yardstick.worth, yardstick.any_moment) for part in (own, other))
    return log_of(actions, others, users, outcomes.of(users), explorers)


def _explorers(store: Store, row: PlanRow, settings: Settings, n_channels: int) -> Codes:
    """The users for whom chance decided on some channel, held out or not."""
    with store.connect(Version(row.seq, row.ledger)) as then:
        known = then.sql('SELECT "user", user_hash FROM user_ids').fetchnumpy()
    explores = explored_channel(known["user_hash"].astype(np.uint64), settings, n_channels) != BEST
    return np.asarray(known["user"][explores], dtype=np.int32)


def _whole(shards: Sequence[PlanLog], row: PlanRow) -> PlanLog:
    """The shards of a plan as one; DataError where the replay is not the plan that was made."""
    if not shards:
        raise DataError(f"plan {row.plan_id} has no users left to judge it by", "name another plan with --plan")
    log = merged(shards)
    if log.strange > max(1, STRANGE * log.known):
        raise DataError(
            f"plan {row.plan_id} cannot be made again: {log.strange:,} of its {log.known:,} sends come out otherwise",
            "was it made by another version of this program, or was something erased since? leave it out with --since",
        )
    return log


def _check_supported(policy: Path, unsupported: float) -> None:
    if unsupported > UNKNOWABLE:
        raise DataError(
            f"{policy}: {unsupported:.0%} of what the policy would do, chance could never have done (at most {UNKNOWABLE:.0%} may be): "
            "these logs cannot tell what it is worth",
            "let chance do it first: log plans with a larger max_offers and exploration (--any-moment where only moments differ), "
            "or send by it to some users with `plan --policy FILE --users FILE` and ask `lift --logs`",
        )


def _notes(logs: Sequence[PlanLog]) -> tuple[tuple[str, ...], dict[str, Any]]:
    expected = sum(float(log.expected.sum()) for log in logs)
    unsupported = sum(log.unsupported for log in logs) / expected if expected else 0.0
    notes = []
    if unsupported > UNSUPPORTED:
        notes.append(
            f"{unsupported:.0%} of what the policy would do, chance could never have done: these logs know nothing of it "
            "(weighted estimates count it as worth nothing, doubly robust ones as the model foretells)"
        )
    cut = sum(log.cut for log in logs)
    if cut:
        notes.append(f"{cut} plans were cut by quotas: of them only what chance decided counts")
    return tuple(notes), {"unsupported": unsupported, "dropped_at_apply": sum(log.gone for log in logs), "plans_cut": cut}
