"""What became of a plan's marketing sends, counted by one yardstick."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.config import Config
from notif_rec.planning.chances import ANY_US, action_ids, item_marks
from notif_rec.planning.context import PlanContext, Worth
from notif_rec.planning.facts import Facts
from notif_rec.planning.realised import realised_outcomes
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from notif_rec.strict_yaml import microseconds

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
HashArray = npt.NDArray[np.uint64]
LEDGER = """
SELECT "user", hash(send_key)::UBIGINT AS key, channel, epoch_us(send_at) AS us, item, propensity, explored FROM sends
WHERE plan_id = $plan AND kind = 'send' AND item_class = 'marketing' ORDER BY send_key, position
"""


@dataclass(frozen=True)
class Yardstick:
    """How rewards are counted, for all policies alike: by one config, from outcomes before `as_of`.

    any_moment: a message is the same action whenever it goes out.
    """

    config: Config
    as_of: datetime
    any_moment: bool = False

    @property
    def worth(self) -> Worth:
        """What each outcome counts."""
        return Worth(self.config.value.opened, self.config.value.clicked, self.config.value.unsubscribed)

    def facts(self, since: datetime) -> Facts:
        """What attribution needs to know to judge sends from `since` on."""
        config, window = self.config, microseconds(self.config.attribution)
        return Facts(
            channels=config.channel_names,
            consent=tuple(channel.consent for channel in config.channels.values()),
            event_weights=dict(config.events),
            timezone=config.timezone,
            attribution_us=window,
            response_us=microseconds(self.as_of - since) + window,
        )


@dataclass(frozen=True)
class Outcomes:
    """The ledger's word on a plan's marketing sends, ordered by action; propensity NaN where it is blank; drawn: chance decided it."""

    user: IntArray
    action: HashArray
    reward: FloatArray
    propensity: FloatArray
    drawn: npt.NDArray[np.bool_]

    def of(self, users: IntArray) -> Outcomes:
        """Those of some users."""
        kept = np.isin(self.user, users)
        return Outcomes(self.user[kept], self.action[kept], self.reward[kept], self.propensity[kept], self.drawn[kept])


def read_outcomes(store: Store, row: PlanRow, context: PlanContext, yardstick: Yardstick) -> Outcomes:
    """Every marketing send of the plan that was applied, and the value of what became of it."""
    with store.connect() as now:
        rows = now.sql(LEDGER, params={"plan": row.plan_id}).to_arrow_table()
        key = rows.column("key").to_numpy()
        reward = _rewards(now, yardstick, key, row.as_of)
    first = np.flatnonzero(np.append(True, key[1:] != key[:-1])) if len(key) else np.zeros(0, dtype=np.int64)
    names = pa.array(context.names, pa.string())
    channel = pc.index_in(rows.column("channel"), value_set=names).to_numpy().astype(np.int64)[first]
    user, us = (rows.column(name).to_numpy().astype(np.int64)[first] for name in ("user", "us"))
    marks = item_marks(rows.column("item").to_numpy().astype(np.int64))
    us = np.full(len(us), ANY_US) if yardstick.any_moment else us
    action = action_ids(user, channel, us, np.add.reduceat(marks, first) if len(first) else marks)
    order = np.argsort(action, kind="stable")
    propensity = rows.column("propensity").to_numpy(zero_copy_only=False).astype(np.float64)[first]
    drawn = rows.column("explored").to_numpy(zero_copy_only=False).astype(np.bool_)[first]
    return Outcomes(user[order], action[order], reward[first][order], propensity[order], drawn[order])


def _rewards(now: duckdb.DuckDBPyConnection, yardstick: Yardstick, key: HashArray, since: datetime) -> FloatArray:
    """(n,) the value of what became of the send with each key; 0 where it never went out."""
    known, worth = now.sql("SELECT item, coalesce(value, 1.0) AS value FROM items").fetchnumpy(), yardstick.worth
    item_value = np.ones(int(known["item"].max(initial=-1)) + 1)
    item_value[known["item"]] = known["value"]
    found = realised_outcomes(now, yardstick.facts(since), yardstick.as_of, item_value, key)
    value = worth.opened * found.opened + worth.clicked * found.clicked + worth.unsubscribed * found.unsubscribed
    at = np.searchsorted(found.key, key)
    met = at < len(found.key)
    met[met] = found.key[at[met]] == key[met]
    reward = np.zeros(len(key))
    reward[met] = value[at[met]]
    return reward
