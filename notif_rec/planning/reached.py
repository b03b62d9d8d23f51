"""Whom plans with a holdout had a first message for, sent or kept back, and on how many days they came by afterwards: an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.answers import attribute_outcomes
from notif_rec.planning.bucket import code_sql, read_past, to_us
from notif_rec.planning.facts import Facts
from notif_rec.planning.history import history_of, lens_of
from notif_rec.planning.prepare import bucket_spans, read_shared
from notif_rec.planning.sends import gather_sends
from notif_rec.scoring.features import N_FEATURES, features_of

# Held-out users have shadows of what they would have been sent; what chance sent or kept back has none, and is left out on both sides.
# A user counts once in each draw of the holdout (salt): later messages go to those whom earlier ones did not drive away.
FIRST = """
CREATE TEMP TABLE reached AS
WITH shown AS (
    SELECT s."user", {channel} AS channel, a.salt, a.as_of, a.share, min(s.send_at) AS first, bool_or(s.kind = 'shadow') AS held
    FROM sends s JOIN asked a USING (plan_id)
    WHERE s.kind = 'shadow' OR (s.kind = 'send' AND s.item_class = 'marketing' AND NOT s.explored) GROUP BY ALL
)
SELECT row_number() OVER (ORDER BY "user", as_of, channel, salt) - 1 AS row, * FROM (
    SELECT * FROM shown QUALIFY as_of = min(as_of) OVER (PARTITION BY "user", salt)
) WHERE channel >= 0 AND first >= $since AND first + $window <= $until
"""
CAME = """
SELECT r.row, count(DISTINCT e.timestamp::DATE) AS n FROM reached r JOIN events e ON e."user" = r."user"
WHERE e.timestamp >= r.first AND e.timestamp < r.first + $window AND list_contains($names, e.event) GROUP BY r.row
"""
GOT = """
SELECT r.row, count(DISTINCT l.send_key) AS n FROM reached r JOIN ledger l ON l."user" = r."user"
WHERE l.actual_at >= r.first AND l.actual_at < r.first + $window AND l.item_class = 'marketing' AND NOT l.released AND NOT r.held
GROUP BY r.row
"""


@dataclass(frozen=True)
class Asked:
    """An applied plan that held users out: this share of them, drawn by this salt."""

    plan_id: str
    as_of: datetime
    salt: str
    share: float


@dataclass(frozen=True)
class Reached:
    """One row a (user, draw of the holdout, channel) with a first message. share: held out then. came: days with a sign of taste within the
    window after it. messages: that the user got in that time, on any channel. features: (n, N_FEATURES) as the plan knew the user."""

    user: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    held: npt.NDArray[np.bool_]
    share: npt.NDArray[np.float64]
    came: npt.NDArray[np.float64]
    messages: npt.NDArray[np.float64]
    features: npt.NDArray[np.float32]


def collect_reached(
    connection: duckdb.DuckDBPyConnection, facts: Facts, plans: Sequence[Asked], names: Sequence[str], as_of: datetime
) -> Reached:
    """The rows whose window (facts.attribution_us) was over before `as_of`. names: events that count as coming by."""
    columns = {name: [getattr(plan, name) for plan in plans] for name in Asked.__dataclass_fields__}
    kinds = {"plan_id": pa.string(), "as_of": pa.timestamp("us"), "salt": pa.string(), "share": pa.float64()}
    connection.register("asked", pa.table({name: pa.array(values, kinds[name]) for name, values in columns.items()}))
    window = timedelta(microseconds=facts.attribution_us)
    spans = {"since": as_of - timedelta(microseconds=facts.learn_us), "until": as_of, "window": window}
    connection.execute(FIRST.format(channel=code_sql("s.channel", facts.channels, "-1", "TINYINT")), spans)
    found = connection.sql('SELECT "user", channel, held, share, as_of FROM reached ORDER BY row').fetchnumpy()
    n = len(found["user"])
    came = _by_row(connection, CAME, {"window": window, "names": list(names)}, n)
    messages = _by_row(connection, GOT, {"window": window}, n)
    connection.execute("DROP TABLE reached")
    connection.unregister("asked")
    user, channel = np.asarray(found["user"], np.int32), np.asarray(found["channel"], np.int8)
    planned = np.asarray(found["as_of"]).astype("datetime64[us]").astype(np.int64)
    features = _features(connection, facts, user, channel, planned, as_of)
    held, share = np.asarray(found["held"], np.bool_), np.asarray(found["share"], np.float64)
    return Reached(user, channel, held, share, came, messages, features)


def _by_row(connection: duckdb.DuckDBPyConnection, query: str, parameters: dict[str, object], n: int) -> npt.NDArray[np.float64]:
    found = connection.execute(query, parameters).fetchnumpy()
    values = np.zeros(n)
    values[np.asarray(found["row"], np.int64)] = np.asarray(found["n"], np.float64)
    return values


def _features(
    connection: duckdb.DuckDBPyConnection, facts: Facts, user: npt.NDArray[np.int32], channel: npt.NDArray[np.int8],
    planned: npt.NDArray[np.int64], as_of: datetime,
) -> npt.NDArray[np.float32]:  # fmt: skip
    """What was known of each user when the plan was made, by the very code of planning."""
    features, only = np.zeros((len(user), N_FEATURES), np.float32), np.unique(user)
    if not len(user):
        return features
    shared = read_shared(connection, facts, as_of)
    for span in bucket_spans(connection):
        past = read_past(connection, span, facts, only)
        sends = gather_sends(past, shared.item_log)
        answers = attribute_outcomes(past.events, sends, facts, to_us(as_of), len(past.users))
        row_of = np.full(int(only[-1]) + 1, -1, np.int64)
        row_of[past.users.user] = np.arange(len(past.users))
        mine = np.flatnonzero(row_of[user] >= 0)
        history = history_of(past, sends, answers, facts)
        features[mine] = features_of(history, row_of[user[mine]], channel[mine], planned[mine], lens_of(facts))
    return features
