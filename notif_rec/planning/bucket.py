"""Some buckets of the store as arrays: their users in the order of their ids, and every event and ledger item of theirs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.planning.facts import DAY_US, Facts
from notif_rec.tables import CLASSES, CONSENTS, OUTCOMES

Array = npt.NDArray[Any]
BoolArray = npt.NDArray[np.bool_]
Span = tuple[int, int]  # the first and the last bucket

ORGANIC, OTHER_CHANNEL = -1, -2  # no channel at all; one that the config does not have
UNSAID = -1  # a consent that no users row states
OPENED, CLICKED, SENT = OUTCOMES.index("opened"), OUTCOMES.index("clicked"), OUTCOMES.index("sent")
LONG_AGO = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Users:
    """One row a user, ordered by bucket and user_id text; `row_of[user]` is that row, -1 for users of other buckets.

    consent_word, consent_us: (n_users, n_channels) code in CONSENTS and its date, UNSAID and LONG_AGO where the users file is silent.
    created_us: LONG_AGO where the file is silent. attributes: dictionary-encoded texts by name.
    """

    bucket: npt.NDArray[np.uint8]
    user: npt.NDArray[np.int32]
    user_id: pa.Array
    user_hash: Array
    row_of: npt.NDArray[np.int32]
    timezone: pa.DictionaryArray
    consent_word: npt.NDArray[np.int8]
    consent_us: npt.NDArray[np.int64]
    created_us: npt.NDArray[np.int64]
    attributes: dict[str, pa.DictionaryArray]

    def __len__(self) -> int:
        return len(self.user)


@dataclass(frozen=True)
class Events:
    """Every event of the users, in no promised order. event: place in `event_names`, -1 for others.

    channel: the config's code, ORGANIC or OTHER_CHANNEL. key: a hash of the send key, 0 = none. external: a `sent` of none of ours.
    """

    row: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    channel: npt.NDArray[np.int8]
    event: npt.NDArray[np.int16]
    at_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    key: npt.NDArray[np.uint64]
    external: BoolArray
    seq: npt.NDArray[np.int32]

    def where(self, mask: BoolArray) -> Events:
        """The events that `mask` picks."""
        return Events(*(getattr(self, name)[mask] for name in EVENT_FIELDS))


@dataclass(frozen=True)
class LedgerItems:
    """Every item of our ledger sends. category: place in Facts.categories, -1 = none. gone: released, and never sent all the same.

    day: the UTC day, from 1970, for which it was planned, whenever it was sent.
    """

    row: npt.NDArray[np.int32]
    key: npt.NDArray[np.uint64]
    channel: npt.NDArray[np.int8]
    at_us: npt.NDArray[np.int64]
    item: npt.NDArray[np.int32]
    item_class: npt.NDArray[np.int8]
    category: npt.NDArray[np.int8]
    gone: BoolArray
    day: npt.NDArray[np.int32]

    def where(self, pick: Array) -> LedgerItems:
        """The rows that `pick`, a mask or indices, picks."""
        return LedgerItems(*(getattr(self, name)[pick] for name in LEDGER_FIELDS))


EVENT_FIELDS, LEDGER_FIELDS = tuple(Events.__dataclass_fields__), tuple(LedgerItems.__dataclass_fields__)


@dataclass(frozen=True)
class Past:
    """All that the store knows of some users."""

    users: Users
    events: Events
    ledger: LedgerItems


def to_us(moment: datetime) -> int:
    """Microseconds since 1970 of a naive UTC time."""
    whole = moment.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    return (whole.days * 86_400 + whole.seconds) * 1_000_000 + whole.microseconds


def event_names(facts: Facts) -> tuple[str, ...]:
    """The names behind event codes: the outcomes, then the config's signs of taste."""
    return (*OUTCOMES, *sorted(set(facts.event_weights) - set(OUTCOMES)))


def text_sql(text: str) -> str:
    """`text` as a SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def code_sql(column: str, texts: Sequence[str], otherwise: str, kind: str) -> str:
    """A DuckDB expression: the place of `column` in `texts`."""
    cases = " ".join(f"WHEN {text_sql(text)} THEN {place}" for place, text in enumerate(texts))
    return f"(CASE {column} {cases} ELSE {otherwise} END)::{kind}" if texts else f"({otherwise})::{kind}"


def channel_sql(facts: Facts) -> str:
    """A DuckDB expression: the code of `channel`."""
    other = f"CASE WHEN coalesce(channel, '') = '' THEN {ORGANIC} ELSE {OTHER_CHANNEL} END"
    return code_sql("channel", facts.channels, other, "TINYINT")


def read_past(connection: duckdb.DuckDBPyConnection, buckets: Span, facts: Facts, only: npt.NDArray[np.int32] | None = None) -> Past:
    """The users of some buckets (all that have a users row, an event or a ledger row; of `only`, codes, where given) and their past."""
    events, ledger = _events(connection, buckets, facts), _ledger(connection, buckets, facts)
    known = connection.sql(USER_IDS_SQL, params=list(buckets)).to_arrow_table()
    users = _users(known, _users_table(connection, buckets, facts), [events[0], ledger[0]], facts, only)
    of_event, of_item = _rows(events[0], users.row_of), _rows(ledger[0], users.row_of)
    placed = Events(of_event, *events[1:])
    strangers = of_event < 0
    return Past(users, placed.where(~strangers) if strangers.any() else placed, LedgerItems(of_item, *ledger[1:]).where(of_item >= 0))


INSIDE = "bucket BETWEEN ? AND ?"
USER_IDS_SQL = f'SELECT bucket, "user", user_id, user_hash FROM user_ids WHERE {INSIDE} ORDER BY bucket, user_id'


def _events(connection: duckdb.DuckDBPyConnection, buckets: Span, facts: Facts) -> list[Array]:
    """The columns of Events, with user codes in the place of rows."""
    event = code_sql("event", event_names(facts), "-1", "SMALLINT")
    found = connection.execute(
        f"""SELECT "user", coalesce(item, -1) AS item, {channel_sql(facts)} AS channel, {event} AS event, epoch_us(timestamp) AS at_us,
        coalesce(value, 1.0)::DOUBLE AS value, CASE WHEN coalesce(send_key, '') = '' THEN 0 ELSE hash(send_key) END::UBIGINT AS key,
        event = 'sent' AND confirms IS NULL AS external, seq FROM events WHERE {INSIDE}""",
        list(buckets),
    ).fetchnumpy()
    return [np.asarray(found[name]) for name in ("user", *EVENT_FIELDS[1:])]


def _ledger(connection: duckdb.DuckDBPyConnection, buckets: Span, facts: Facts) -> list[Array]:
    """The columns of LedgerItems, with user codes in the place of rows."""
    found = connection.execute(
        f"""SELECT "user", hash(send_key)::UBIGINT AS key, {channel_sql(facts)} AS channel, epoch_us(actual_at) AS at_us, item,
        {code_sql("item_class", CLASSES, "0", "TINYINT")} AS item_class,
        {code_sql("category", facts.categories, "-1", "TINYINT")} AS category,
        released AND NOT confirmed AS gone, (epoch_us(send_at) // {DAY_US})::INTEGER AS day FROM ledger WHERE {INSIDE}""",
        list(buckets),
    ).fetchnumpy()
    return [np.asarray(found[name]) for name in ("user", *LEDGER_FIELDS[1:])]


def _users_table(connection: duckdb.DuckDBPyConnection, buckets: Span, facts: Facts) -> pa.Table:
    words = [
        f"{code_sql(f'consent[{text_sql(name)}]', CONSENTS, str(UNSAID), 'TINYINT')} AS word_{at}, "
        f"coalesce(epoch_us(consent_at[{text_sql(name)}]), {LONG_AGO}) AS date_{at}"
        for at, name in enumerate(facts.channels)
    ]
    asked = [f"attributes[{text_sql(name)}] AS attribute_{at}" for at, name in enumerate(facts.attributes)]
    columns = ", ".join(['"user"', "timezone", f"coalesce(epoch_us(created_at), {LONG_AGO}) AS created_0", *words, *asked])
    return connection.sql(f"SELECT {columns} FROM users WHERE {INSIDE}", params=list(buckets)).to_arrow_table()


def _users(known: pa.Table, said: pa.Table, mentioned: Sequence[Array], facts: Facts, only: npt.NDArray[np.int32] | None) -> Users:
    codes, speakers = known["user"].to_numpy(), said["user"].to_numpy()
    size = 1 + max((int(of.max()) for of in (codes, speakers, *mentioned) if len(of)), default=-1)
    present = np.zeros(size, dtype=np.bool_)
    for of in (speakers, *mentioned):
        present[of] = True
    if only is not None:
        wanted = np.zeros(size, dtype=np.bool_)
        wanted[only[(only >= 0) & (only < size)]] = True
        present &= wanted
    kept = np.flatnonzero(present[codes])
    user = codes[kept].astype(np.int32)
    said_at = np.full(size, len(said), dtype=np.int64)  # one past the end: the users file is silent
    said_at[speakers] = np.arange(len(said))
    take = pa.array(said_at[user], mask=said_at[user] == len(said))
    known = known.take(pa.array(kept))
    return Users(
        bucket=known["bucket"].to_numpy(),
        user=user,
        user_id=_whole(known["user_id"], pa.string()),
        user_hash=known["user_hash"].to_numpy(),
        row_of=_row_of(user, size),
        timezone=_whole(said["timezone"].take(take), pa.string()).dictionary_encode(),
        consent_word=_numbers(said, "word", take, UNSAID, len(facts.channels)).astype(np.int8),
        consent_us=_numbers(said, "date", take, int(LONG_AGO), len(facts.channels)),
        created_us=_numbers(said, "created", take, int(LONG_AGO), 1)[:, 0],
        attributes={
            name: _whole(said[f"attribute_{at}"].take(take), pa.string()).dictionary_encode() for at, name in enumerate(facts.attributes)
        },
    )


def _numbers(said: pa.Table, prefix: str, take: pa.Array, silent: int, n_channels: int) -> npt.NDArray[np.int64]:
    numbers = np.empty((len(take), n_channels), np.int64)
    for at in range(n_channels):
        numbers[:, at] = said[f"{prefix}_{at}"].take(take).fill_null(silent).to_numpy()
    return numbers


def _row_of(user: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int32]:
    row_of = np.full(size, -1, dtype=np.int32)
    row_of[user] = np.arange(len(user), dtype=np.int32)
    return row_of


def _whole(column: pa.ChunkedArray, kind: pa.DataType) -> pa.Array:
    cast = column.cast(kind)
    return pa.concat_arrays(cast.chunks) if cast.num_chunks else pa.array([], kind)


def _rows(user: Array, row_of: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    return row_of[user] if len(user) else np.zeros(0, np.int32)
