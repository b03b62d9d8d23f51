"""What was decided for each user, as one table: one row a user, its sends and its drops as lists."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import uuid
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.arms import BEST
from notif_rec.planning.choose import Choice
from notif_rec.planning.context import PlanContext
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offered import Dropped, Offers
from notif_rec.scoring.calibration import inside
from notif_rec.scoring.candidates import SOURCES
from notif_rec.tables import BUCKETS, CLASSES, NO_ITEM, SENDS, TIME, schema

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
DAY_US = 86_400_000_000
SEND_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://notif-rec/send_key")
LATER = ("bucket", "user", "plan_id", "seq")  # columns of tables.SENDS that the row or a later stage gives

# An item of a send, as in tables.SENDS; discount: what fatigue leaves of the send's value in this plan.
DECIDED = pa.struct([field for field in SENDS if field.name not in LATER] + [pa.field("discount", pa.float64())])
DECISIONS = schema(
    bucket=pa.uint8(),
    user=pa.int32(),
    value=pa.float64(),  # Σ value × discount over the user's sends (shadows apart)
    bound=pa.float64(),  # no feasible set of the user's offers is worth more at the context's prices, prices paid
    steps=pa.int64(),  # of the search
    held=pa.bool_(),
    explored=pa.bool_(),
    drop_channel=pa.list_(pa.int8()),  # candidates that are not sent, counted by channel and headline (planning/reasons.py)
    drop_reason=pa.list_(pa.int8()),
    drop_count=pa.list_(pa.int32()),
    sends=pa.list_(DECIDED),
)


def send_keys(channels: Sequence[str], user_ids: Sequence[str], items: Sequence[Sequence[str]], days: Sequence[str]) -> list[str]:
    """The key of each send: UUIDv5, in SEND_NAMESPACE, of the JSON text ["channel","user_id",["item_id",…],"YYYY-MM-DD"].

    Item ids sorted, no spaces, non-ASCII characters as they are; the day is the UTC date of `send_at`.
    """
    rows = zip(channels, user_ids, items, days, strict=True)
    return [_send_key(json.dumps([c, u, sorted(i), d], ensure_ascii=False, separators=(",", ":"))) for c, u, i, d in rows]


def _send_key(text: str) -> str:
    """uuid.uuid5 without building the object, which costs more than the hash."""
    digest = bytearray(hashlib.sha1(SEND_NAMESPACE.bytes + text.encode(), usedforsecurity=False).digest()[:16])
    digest[6], digest[8] = digest[6] & 0x0F | 0x50, digest[8] & 0x3F | 0x80
    x = digest.hex()
    return f"{x[:8]}-{x[8:12]}-{x[12:16]}-{x[16:20]}-{x[20:]}"


def decisions_of(offers: Offers, choice: Choice, drops: Dropped, context: PlanContext) -> pa.RecordBatch:
    """The rows of DECISIONS in the order of the users."""
    users, n = offers.users, offers.users.n
    rows, start = _chosen_items(offers, choice, context)
    owner = np.concatenate([offers.owner()[rows.offer], np.flatnonzero(choice.nothing)])
    order = np.argsort(owner, kind="stable")
    both = pa.concat_arrays([_items_sent(offers, choice, rows, start, context), _nothing(offers, choice, context)]).take(pa.array(order))
    ends = np.concatenate(([0], np.cumsum(np.bincount(owner, minlength=n)))).astype(np.int32)
    offsets = pa.array(drops.start.astype(np.int32))
    counted = [pa.ListArray.from_arrays(offsets, pa.array(a)) for a in (drops.channel, drops.reason, drops.count)]
    flat = [
        users.user_hash % np.uint64(BUCKETS),
        users.user,
        choice.value,
        choice.bound,
        choice.nodes,
        offers.verdict.held,
        choice.explored != BEST,
    ]
    columns = [pa.array(a).cast(f.type) for a, f in zip(flat, DECISIONS, strict=False)]
    return pa.RecordBatch.from_arrays([*columns, *counted, pa.ListArray.from_arrays(pa.array(ends), both)], schema=DECISIONS)


class _Rows:
    """One row an item of a chosen send: the send's offer and the item's place in it, by user, time, channel name, place."""

    def __init__(self, chosen: IntArray, size: IntArray) -> None:
        self.send = np.repeat(np.arange(len(chosen)), size[chosen])
        self.offer = chosen[self.send]
        self.place = np.arange(len(self.offer)) - np.repeat(np.cumsum(size[chosen]) - size[chosen], size[chosen])


def _chosen_items(offers: Offers, choice: Choice, context: PlanContext) -> tuple[_Rows, IntArray]:
    """The rows, and the chosen offers behind them in their order."""
    chosen = np.flatnonzero(choice.sent | choice.shadow)
    name = context.name_order[context.lanes.channel[offers.lane[chosen]]]
    chosen = chosen[np.lexsort((name, offers.moment[chosen], offers.owner()[chosen]))]
    return _Rows(chosen, offers.size), chosen


def _items_sent(offers: Offers, choice: Choice, rows: _Rows, chosen: IntArray, context: PlanContext) -> pa.StructArray:
    at, owner, items = rows.offer, offers.owner()[rows.offer], context.items
    lane, piece = offers.lane[at], (at, rows.place)
    channel, item, weight = context.lanes.channel[lane], offers.item[piece], offers.weight[at]
    us = context.grid.first_us + STEP_US * offers.moment
    zones = pa.array([offers.verdict.clock.names[z] for z in offers.verdict.clock.zone[owner]], pa.string())
    propensity = choice.propensity[at]
    columns = {
        "send_key": pa.array(_keys(offers, chosen, us, context), pa.string()).take(pa.array(rows.send)),
        "channel": _texts(context.names, channel),
        "send_at": pa.array(us[at], TIME),
        "position": pa.array(rows.place + 1, pa.int16()),
        "item": pa.array(context.model.item_codes[item], pa.int32()),
        "score": pa.array(offers.score[piece]),
        "p_open": pa.array(inside(offers.p_open[at] * weight)),
        "p_click": pa.array(inside(offers.p_click[piece] * weight)),
        "p_unsubscribe": pa.array(offers.p_unsubscribe[owner, channel]),
        "value": pa.array(offers.value[at]),
        "propensity": pa.array(propensity, mask=np.isnan(propensity)),
        "reason": _texts(SOURCES, offers.source[piece]),
        "item_class": _texts(CLASSES, items.item_class[item]),
        "category": _texts(items.category_names, items.category[item]),
        "timezone": zones,
        "kind": _texts(("send", "shadow"), choice.shadow[at].astype(np.int64)),
        "explored": pa.array((choice.explored[owner] == channel) & (context.lanes.item_class[lane] == 0)),
        "discount": pa.array(choice.discount[at]),
    }
    return pa.StructArray.from_arrays([columns[field.name].cast(field.type) for field in DECIDED], fields=list(DECIDED))


def _keys(offers: Offers, chosen: IntArray, us: IntArray, context: PlanContext) -> list[str]:
    lane, owner = offers.lane[chosen], offers.owner()[chosen]
    item = offers.item[chosen]
    ids = [[context.model.item_ids[i] for i in row if i >= 0] for row in item.tolist()]
    channels = [context.names[c] for c in context.lanes.channel[lane]]
    return send_keys(channels, offers.users.user_id.take(pa.array(owner)).to_pylist(), ids, _days(us[chosen]))


def _nothing(offers: Offers, choice: Choice, context: PlanContext) -> pa.StructArray:
    """One row a user to whom chance gave nothing on a channel; its key is that of no item there on the day of as-of."""
    rows, as_of = np.flatnonzero(choice.nothing), context.settings.as_of_us
    n, day, names = len(rows), _days(np.array([as_of])), [context.names[c] for c in choice.explored[choice.nothing]]
    told = {
        "send_key": send_keys(names, offers.users.user_id.take(pa.array(rows)).to_pylist(), [[]] * n, day * n),
        "channel": names,
        "send_at": np.full(n, as_of),
        "position": np.ones(n),
        "item": np.full(n, NO_ITEM),
        "value": np.zeros(n),
        "propensity": choice.idle_propensity[choice.explored[rows], rows],
        "timezone": [offers.verdict.clock.names[z] for z in offers.verdict.clock.zone[rows]],
        "kind": ["nothing"] * n,
        "explored": np.ones(n, dtype=np.bool_),
        "discount": np.ones(n),
    }
    columns = [pa.array(told[f.name]).cast(f.type) if f.name in told and n else pa.nulls(n, f.type) for f in DECIDED]
    return pa.StructArray.from_arrays(columns, fields=list(DECIDED))


def _texts(names: Sequence[str], codes: npt.NDArray[np.integer]) -> pa.Array:
    """The name of each code, null where it is negative."""
    index = pa.array(codes.astype(np.int64), mask=codes < 0)
    return pa.array(list(names), pa.string()).take(index)


def _days(us: IntArray) -> list[str]:
    """The UTC date of each time."""
    distinct, place = np.unique(us // DAY_US, return_inverse=True)
    texts = [(dt.date(1970, 1, 1) + dt.timedelta(days=int(day))).isoformat() for day in distinct]
    return [texts[i] for i in place]
