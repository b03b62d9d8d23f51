"""What became of each candidate of one user in a plan, and why."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.config import Config
from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.planning.bucket import to_us
from notif_rec.planning.context import EVERYBODY, PlanContext
from notif_rec.planning.fates import Fate, PlannedSend, Reason, fates_of
from notif_rec.planning.influenced import influences_on
from notif_rec.planning.offers import make_offers
from notif_rec.planning.pacing import words_of_shares
from notif_rec.planning.prepare import prepare_bucket, read_shared
from notif_rec.planning.reasons import AUDIENCE, CHANNEL, CLOSED, EXPIRED, FIXED, SEEN
from notif_rec.planning.users import Users, unpack_users
from notif_rec.store.ids import bucket_of
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store, Version
from notif_rec.tables import CONSENTS
from notif_rec.workflows.context import build_planner
from notif_rec.workflows.plans import find_plan, read_sends
from notif_rec.workflows.quota_rooms import at_prices
from notif_rec.workflows.weekly import as_told

QUOTA = Reason(FIXED[CLOSED][0])
AT_APPLY = Reason("dropped_at_apply")
GIVEN_BACK = Reason("released")


@dataclass(frozen=True)
class Explanation:
    """A user's candidates in a plan, by channel and rank, and what is known of the user."""

    plan_id: str
    as_of: datetime
    state: str
    user_id: str
    facts: Mapping[str, Any]
    fates: tuple[Fate, ...]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        fates = [asdict(fate) | {"sent": fate.send_at is not None and not fate.shadow and not fate.reasons} for fate in self.fates]
        head = {"plan_id": self.plan_id, "as_of": self.as_of, "state": self.state, "user_id": self.user_id}
        return {**head, "user": dict(self.facts), "candidates": fates}


def explain(store: Store, user_id: str, plan: str, item_id: str | None = None, channel: str | None = None) -> Explanation:
    """Plans for this user again, by what the plan knew, and says of every candidate what became of it.

    UsageError for an unknown user, plan, item or channel.
    """
    row = find_plan(store, plan)
    config = Config.model_validate_json(json.dumps(row.manifest["config"]))
    if channel is not None and channel not in config.channel_names:
        near = did_you_mean(channel, config.channel_names)
        raise UsageError(f"unknown channel '{channel}'{near}", f"one of: {', '.join(config.channel_names)}")
    code = store.user_codes(pa.array([user_id]), create=False)[0][0].as_py()
    if code < 0:
        raise UsageError(f"no user '{user_id}' in the store", "ids are matched letter by letter: 007 is not 7")
    batch, context = _as_planned(store, row, config, user_id, code)
    if not batch.num_rows:
        raise UsageError(f"user '{user_id}' was not known when plan {row.plan_id} was made", "make a new plan, or name another with --plan")
    kept = _kept(store, row, code)
    fates = [_settled(fate, kept) for fate in fates_of(batch, context, _planned(store, row, code) if context.quotas else None)]
    shown = [f for f in fates if channel in (None, f.channel) and item_id in (None, f.item_id)]
    if shown:
        shown = _with_influences(shown, batch, context, every=item_id is not None)
    elif item_id is not None:
        shown = _not_a_candidate(context, batch, item_id, channel)
    facts = _facts(batch, config) | ({"weekly": words_of_shares(make_offers(batch, context), context)} if context.weekly else {})
    return Explanation(row.plan_id, row.as_of, row.state, user_id, facts, tuple(shown))


def _as_planned(store: Store, row: PlanRow, config: Config, user_id: str, code: int) -> tuple[pa.RecordBatch, PlanContext]:
    """The user's row of planning input, and the plan's context, by what the store knew then."""
    model = next((m for m in store.models() if m.model_id == row.model_id), None)
    if model is None or not (store.root / model.path).is_dir():
        raise DataError(f"the model {row.model_id} of plan {row.plan_id} is no longer in the store", "make a new plan and explain that")
    with store.connect(Version(row.seq, row.ledger)) as connection:
        planner = build_planner(store, connection, config, model, row.as_of, row.manifest["scope"]["channels"])
        context = at_prices(connection, config, replace(planner.context, paused=tuple(row.manifest["paused"])), row)
        context = as_told(context, row.manifest.get("weekly", {}))
        shared = read_shared(connection, planner.facts, row.as_of)
        only = np.array([code], dtype=np.int32)
        batch = prepare_bucket(connection, bucket_of(user_id), planner.facts, row.as_of, shared=shared, only=only)
    return batch, context


def _planned(store: Store, row: PlanRow, code: int) -> list[PlannedSend]:
    """What the plan holds for the user."""
    sends = read_sends(store, row)
    mine = sends.filter(pc.and_(pc.equal(sends.column("user"), code), pc.equal(sends.column("kind"), "send")))
    held: dict[str, tuple[str, int, set[str]]] = {}
    ids = _item_ids(store, mine.column("item").to_pylist())
    for key, channel, at, item in zip(
        mine.column("send_key").to_pylist(), mine.column("channel").to_pylist(), mine.column("send_at").to_pylist(), ids, strict=True
    ):
        held.setdefault(key, (channel, to_us(at), set()))[2].add(item)
    return [PlannedSend(channel, at, frozenset(items)) for channel, at, items in held.values()]


def _kept(store: Store, row: PlanRow, code: int) -> dict[tuple[str, str], Reason | None]:
    """What became of the user's planned sends after the choice: (channel, item) → None where it stands."""
    sends = read_sends(store, row)
    mine = sends.filter(pc.and_(pc.equal(sends.column("user"), code), pc.equal(sends.column("kind"), "send")))
    ids = _item_ids(store, mine.column("item").to_pylist())
    stands: dict[str, Reason | None] = {}
    if row.applied_seq is not None:
        with store.connect() as connection:
            query = 'SELECT send_key, bool_or(released) FROM ledger WHERE plan_id = $plan AND "user" = $user GROUP BY send_key'
            ledger = dict(connection.execute(query, {"plan": row.plan_id, "user": code}).fetchall())
        for key in mine.column("send_key").to_pylist():
            stands[key] = AT_APPLY if key not in ledger else GIVEN_BACK if ledger[key] else None
    rows = zip(mine.column("channel").to_pylist(), ids, mine.column("send_key").to_pylist(), strict=True)
    return {(channel, item): stands.get(key) for channel, item, key in rows}


def _item_ids(store: Store, codes: list[int]) -> list[str]:
    with store.connect() as connection:
        names = dict(
            connection.execute("SELECT item, item_id FROM item_ids WHERE list_contains($codes, item)", {"codes": codes}).fetchall()
        )
    return [names[code] for code in codes]


def _settled(fate: Fate, kept: Mapping[tuple[str, str], Reason | None]) -> Fate:
    """The fate after quotas and apply."""
    if fate.send_at is None or fate.shadow or fate.reasons:
        return fate
    reason = kept.get((fate.channel, fate.item_id), QUOTA)
    return fate if reason is None else replace(fate, reasons=(reason,))


def _with_influences(fates: Sequence[Fate], batch: pa.RecordBatch, context: PlanContext, *, every: bool) -> list[Fate]:
    """The fates with what moved their probabilities: of every one, or of the first of each channel, sent ones before others."""
    order = sorted(fates, key=lambda fate: (fate.channel, fate.send_at is None or bool(fate.reasons), fate.rank))
    first = {fate.channel: fate.item_id for fate in reversed(order)}
    wanted = {(fate.channel, fate.item_id) for fate in fates if every or first[fate.channel] == fate.item_id}
    moved = influences_on(batch, context, wanted)
    return [replace(fate, influences=tuple(moved.get((fate.channel, fate.item_id), ()))) for fate in fates]


def _not_a_candidate(context: PlanContext, batch: pa.RecordBatch, item_id: str, channel: str | None) -> list[Fate]:
    """Why an item did not even make the user's candidates on each channel; UsageError for an unknown item."""
    ids = context.model.item_ids
    if item_id not in ids:
        raise UsageError(f"no item '{item_id}' in the model{did_you_mean(item_id, ids)}", "an item must be known when the model is trained")
    item, users = ids.index(item_id), unpack_users(batch, context.lookup, len(context.channels), len(context.audiences))
    names = [c for c in context.names if channel in (None, c)]
    return [Fate(c, item_id, 0, 0.0, "", 0.0, 0.0, 0.0, 0.0, None, False, (Reason(_why(context, users, item, c)),)) for c in names]


def _why(context: PlanContext, users: Users, item: int, channel: str) -> str:
    """What kept an item out of a user's candidates."""
    items, at, moments = context.items, context.names.index(channel), context.grid.moments_us()
    if not items.channels[item, at]:
        return FIXED[CHANNEL][0]
    if not len(moments) or items.created_us[item] > moments[-1] or items.expires_us[item] <= moments[0]:
        return FIXED[EXPIRED][0]
    if items.audience[item] != EVERYBODY and not users.audience[0, items.audience[item]]:
        return FIXED[AUDIENCE][0]
    if context.channels[at].exclude_seen and item in users.seen_item:
        return FIXED[SEEN][0]
    return f"below_top_{context.settings.candidates}"


def _facts(batch: pa.RecordBatch, config: Config) -> dict[str, Any]:
    """What the plan knew of the user."""
    row = batch.slice(0, 1).to_pylist()[0]
    consent = {c: CONSENTS[code] for c, code in zip(config.channel_names, row["consent"], strict=True)}
    return {
        "timezone": row["timezone"] or f"{config.timezone} (the config's)",
        "consent": consent,
        "suppressed": [c for c, on in zip(config.channel_names, row["suppressed"], strict=True) if on],
        "known_sends": len(row["send_us"]),
        "seen_items": len(row["seen_item"]),
        "ignored_in_a_row": dict(zip(config.channel_names, row["ignored"], strict=True)),
    }
