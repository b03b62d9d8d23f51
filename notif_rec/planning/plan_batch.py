"""The story of a plan: what could be sent to each user, what that is worth, and the best of it."""

from __future__ import annotations

import pyarrow as pa

from notif_rec.planning.choose import choose
from notif_rec.planning.context import PlanContext
from notif_rec.planning.decisions import DECISIONS, decisions_of
from notif_rec.planning.drops import count_drops
from notif_rec.planning.offered import Offers
from notif_rec.planning.offers import make_offers
from notif_rec.planning.pacing import read_offers

__all__ = ["DECISIONS", "decide_batch", "plan_batch"]


def plan_batch(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """What each user in `users` (tables.PLANNING_INPUT) is sent, when and why the rest is not: one row of DECISIONS a user.

    Pure: no I/O, no clock, no state. A user's row depends on that user and the context alone, never on who else is in the batch.
    """
    return _decided(make_offers(users, context), context)


def decide_batch(offers: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """The same from offers that were made before (tables.OFFERS)."""
    return _decided(read_offers(offers, context), context)


def _decided(offers: Offers, context: PlanContext) -> pa.RecordBatch:
    choice = choose(offers, context)
    return decisions_of(offers, choice, count_drops(offers, choice, context), context)
