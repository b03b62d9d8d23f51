"""Every table between two stages: its columns and types, declared once.

Times are naive UTC (`timestamp[us]`); `*_us` are the same as int64 microseconds since 1970. `user` and `item` are
int32 codes of the store's dictionaries; `*_id` are the texts that people use. `seq` is the commit that brought a row.
"""

from __future__ import annotations

import pyarrow as pa

TIME = pa.timestamp("us")
TEXTS = pa.map_(pa.string(), pa.string())
BUCKETS = 64  # shards of users by `user_hash % BUCKETS`; fixed for the life of a store

OUTCOMES = ("sent", "delivered", "opened", "clicked", "dismissed", "unsubscribed", "subscribed", "complained", "bounced")
CONSENTS = ("no", "provisional", "yes")  # a consent's code is its place here
CLASSES = ("marketing", "transactional")  # an item class's code is its place here
NO_ITEM = -1


def schema(**columns: pa.DataType) -> pa.Schema:
    """A schema from keyword columns, all nullable."""
    return pa.schema(list(columns.items()))


USER_IDS = schema(bucket=pa.uint8(), user=pa.int32(), user_id=pa.string(), user_hash=pa.uint64(), seq=pa.int32())
ITEM_IDS = schema(item=pa.int32(), item_id=pa.string(), seq=pa.int32())

EVENTS = schema(
    bucket=pa.uint8(),
    user=pa.int32(),
    item=pa.int32(),  # NO_ITEM where an event concerns none
    channel=pa.string(),  # '' for behaviour that no message caused
    event=pa.string(),
    timestamp=TIME,
    value=pa.float64(),
    event_id=pa.string(),  # null where the file had none
    send_key=pa.string(),  # as the file gave it, or null
    confirms=pa.string(),  # the ledger send that this `sent` event confirms, or null
    seq=pa.int32(),
)
USERS = schema(  # a log: the newest seq of a user is the user
    bucket=pa.uint8(),
    user=pa.int32(),
    timezone=pa.string(),
    created_at=TIME,
    consent=TEXTS,  # channel -> yes | no | provisional, only where stated
    consent_at=pa.map_(pa.string(), TIME),
    attributes=TEXTS,
    seq=pa.int32(),
)
ITEMS = schema(  # a log: the newest seq of an item is the item
    item=pa.int32(),
    title=pa.string(),
    text=pa.string(),
    category=pa.string(),
    tags=pa.list_(pa.string()),
    channels=pa.list_(pa.string()),  # empty = all
    created_at=TIME,
    expires_at=TIME,
    item_class=pa.string(),
    audience=pa.string(),
    value=pa.float64(),
    extra=TEXTS,
    seq=pa.int32(),
)
SUPPRESSIONS = schema(bucket=pa.uint8(), user=pa.int32(), channel=pa.string(), seq=pa.int32())  # channel '' = all

# One row an item of a send; the rows of a send share all but position, item, score, p_click, item_class, category, reason.
SENDS = schema(
    bucket=pa.uint8(),
    user=pa.int32(),
    send_key=pa.string(),
    channel=pa.string(),
    send_at=TIME,
    position=pa.int16(),  # from 1
    item=pa.int32(),
    score=pa.float64(),
    p_open=pa.float64(),
    p_click=pa.float64(),
    p_unsubscribe=pa.float64(),
    value=pa.float64(),
    propensity=pa.float64(),  # null where unknown
    reason=pa.string(),  # where the candidate came from: als, similar, content, popular, segment, recent
    item_class=pa.string(),
    category=pa.string(),
    timezone=pa.string(),  # as known at planning
    kind=pa.string(),  # 'send', 'shadow' (held out: recorded, never sent) or 'nothing' (an exploration draw of no send)
    explored=pa.bool_(),
    plan_id=pa.string(),
    seq=pa.int32(),
)
RELEASES = schema(bucket=pa.uint8(), user=pa.int32(), send_key=pa.string(), plan_id=pa.string(), seq=pa.int32())

STORED = {
    "user_ids": USER_IDS,
    "item_ids": ITEM_IDS,
    "events": EVENTS,
    "users": USERS,
    "items": ITEMS,
    "suppressions": SUPPRESSIONS,
    "sends": SENDS,
    "releases": RELEASES,
}

# ONE ROW = ONE USER. Lists of one group have one length; history lists are ordered by time. Channel lists have one
# entry per configured channel, in the config's order; `channel` codes index that order, -1 is "no channel".
PLANNING_INPUT = schema(
    user=pa.int32(),
    user_id=pa.string(),
    user_hash=pa.uint64(),
    timezone=pa.string(),  # IANA, known to this machine; null where the user has none
    consent=pa.list_(pa.int8()),  # per channel: code in CONSENTS, opt-outs already applied
    suppressed=pa.list_(pa.bool_()),  # per channel
    audience=pa.list_(pa.bool_()),  # per distinct audience of PlanContext.audiences
    segment=pa.int32(),  # row of the model's segments, -1 = none
    # every known send, past or reserved: ledger (confirmed at its actual time, else send_at) and external
    send_us=pa.list_(pa.int64()),
    send_channel=pa.list_(pa.int8()),
    send_class=pa.list_(pa.int8()),  # code in CLASSES; transactional only where all items of it are
    send_categories=pa.list_(pa.uint64()),  # bit i: PlanContext.categories[i]
    send_ours=pa.list_(pa.bool_()),  # in our ledger (max_sends and quotas count these alone)
    send_day=pa.list_(pa.int32()),  # UTC day, from 1970, that its key names: of the planned moment, whenever it was confirmed
    # every item that was sent
    sent_item=pa.list_(pa.int32()),
    sent_item_us=pa.list_(pa.int64()),
    sent_item_channel=pa.list_(pa.int8()),
    sent_item_class=pa.list_(pa.int8()),
    sent_item_send=pa.list_(pa.int32()),  # place of its send in send_us
    # trailing run of ignored sends per channel, as of `as_of`
    ignored=pa.list_(pa.int32()),
    ignored_us=pa.list_(pa.int64()),  # time of the last of them, 0 where none
    features=pa.list_(pa.float32()),  # per channel, what scoring/features.py counts as of `as_of`
    hours=pa.list_(pa.float32()),  # 168: own engagements and visits by local hour of the week, from Monday 00:00
    # taste: ordered by (item, channel); weight = event weight × value × decay, summed
    seen_item=pa.list_(pa.int32()),  # sorted, every item with an interaction on any channel
    taste_item=pa.list_(pa.int32()),
    taste_channel=pa.list_(pa.int8()),
    taste_weight=pa.list_(pa.float32()),
    # signs of taste by category of the item (planning/item_counts.py numbers them), in Facts.response_us; ascending
    liked_category=pa.list_(pa.int32()),
    liked_count=pa.list_(pa.float32()),
)

# ONE ROW = ONE USER again: what could be sent to each, so that passes that only differ in prices need not look for it again.
OFFERS = schema(
    user=pa.int32(),
    user_id=pa.string(),
    user_hash=pa.uint64(),
    timezone=pa.string(),  # the config's where the user has none
    held=pa.bool_(),  # in the holdout
    inside=pa.list_(pa.bool_()),  # per distinct audience of PlanContext.audiences
    room=pa.list_(pa.int32()),  # per channel: messages that max_sends still allows
    send_us=pa.list_(pa.int64()),  # known sends, as in PLANNING_INPUT
    send_channel=pa.list_(pa.int8()),
    send_class=pa.list_(pa.int8()),
    send_categories=pa.list_(pa.uint64()),
    send_ours=pa.list_(pa.bool_()),
    p_unsubscribe=pa.list_(pa.float64()),  # per channel
    open=pa.list_(pa.int32()),  # per lane: candidates that could be sent
    closed_channel=pa.list_(pa.int8()),  # the others, counted by channel and headline
    closed_reason=pa.list_(pa.int8()),
    closed_count=pa.list_(pa.int32()),
    lane=pa.list_(pa.int8()),  # of each offer, and so on; see planning/offered.py
    moment=pa.list_(pa.int16()),
    content=pa.list_(pa.int16()),
    value=pa.list_(pa.float64()),
    weight=pa.list_(pa.float64()),
    categories=pa.list_(pa.uint64()),
    size=pa.list_(pa.int8()),
    p_open=pa.list_(pa.float64()),
    item=pa.list_(pa.int32()),  # of the items of all offers, one offer after the other: model rows
    score=pa.list_(pa.float64()),
    p_click=pa.list_(pa.float64()),
    source=pa.list_(pa.int8()),
)
