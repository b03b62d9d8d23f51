"""What each user permits, by everything the store knows: consent in the order of time, and suppressions."""

from __future__ import annotations

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.bucket import INSIDE, LONG_AGO, ORGANIC, UNSAID, BoolArray, Events, Span, Users, channel_sql
from notif_rec.planning.facts import Facts
from notif_rec.tables import CONSENTS, OUTCOMES

NO, YES = CONSENTS.index("no"), CONSENTS.index("yes")
OUT = tuple(OUTCOMES.index(name) for name in ("unsubscribed", "complained"))
IN = (OUTCOMES.index("subscribed"),)
UNDATED = LONG_AGO


def consent(users: Users, events: Events, facts: Facts) -> npt.NDArray[np.int8]:
    """(n_users, n_channels) codes in CONSENTS.

    The newest dated word holds: an opt-out (`unsubscribed`, `complained`; without a channel on all), a `subscribed` event, or the
    users row's word with a date. Of two at one moment the opt-out wins. An undated word of the users row holds where no opt-out
    came, or a `subscribed` followed it; where that row says nothing, `subscribed` means yes and else the config's default holds.
    """
    shape = (len(users), len(facts.channels))
    out_us, in_us = _newest(events, OUT, shape), _newest(events, IN, shape)
    word, word_us = users.consent_word, np.where(users.consent_word == UNSAID, UNDATED, users.consent_us)
    default = np.array([CONSENTS.index(name) for name in facts.consent], np.int8)
    subscribed = (in_us != LONG_AGO) & ((word == UNSAID) | ((word_us != UNDATED) & (in_us > word_us)))
    state = np.where(subscribed, YES, np.where(word == UNSAID, default, word))
    opted_out = (out_us != LONG_AGO) & (out_us >= in_us) & (out_us >= word_us)
    return np.where(opted_out, NO, state).astype(np.int8)


def _newest(events: Events, kinds: tuple[int, ...], shape: tuple[int, int]) -> npt.NDArray[np.int64]:
    """The time of each user's newest event of `kinds` per channel, LONG_AGO where none; one without a channel stands for all."""
    newest = np.full(shape, LONG_AGO)
    wanted = np.isin(events.event, kinds)
    own = events.where(wanted & (events.channel >= 0))
    np.maximum.at(newest, (own.row, own.channel.astype(np.int64)), own.at_us)
    everywhere = np.full(shape[0], LONG_AGO)
    general = events.where(wanted & (events.channel == ORGANIC))
    np.maximum.at(everywhere, general.row, general.at_us)
    latest: npt.NDArray[np.int64] = np.maximum(newest, everywhere[:, None])
    return latest


def suppressed(connection: duckdb.DuckDBPyConnection, buckets: Span, users: Users, facts: Facts) -> BoolArray:
    """(n_users, n_channels) True where a suppression stands, on the channel or on all."""
    found = connection.execute(
        f'SELECT "user", {channel_sql(facts)} AS channel FROM suppressions WHERE {INSIDE}', list(buckets)
    ).fetchnumpy()
    user, channel = np.asarray(found["user"]), np.asarray(found["channel"]).astype(np.int64)
    inside = user < len(users.row_of)
    row, channel = users.row_of[user[inside]], channel[inside]
    barred = np.zeros((len(users), len(facts.channels)), np.bool_)
    barred[row[(row >= 0) & (channel == ORGANIC)]] = True
    one = (row >= 0) & (channel >= 0)
    barred[row[one], channel[one]] = True
    return barred
