"""`recommend`: the raw top-k of each user on one channel, without any policy."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.config import Config
from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.models.artifact import load_model
from notif_rec.models.interactions import read_interactions, read_seen
from notif_rec.models.model import ChannelModel, Model
from notif_rec.models.taste import Taste
from notif_rec.planning.audience import in_audience, parse_audience
from notif_rec.scoring.candidates import Candidates, Lists, retrieve
from notif_rec.scoring.live_items import live_items
from notif_rec.store.files import whole_file
from notif_rec.store.store import Store
from notif_rec.workflows.context import newest_model
from notif_rec.workflows.user_file import read_user_file

USERS_AT_ONCE = 8192
LISTS = pa.schema([("user_id", pa.string()), ("rank", pa.int32()), ("item_id", pa.string()), ("score", pa.float64())])


@dataclass(frozen=True)
class RecommendResult:
    """How many users were asked for and got rows. unknown: those the store has never heard of."""

    model_id: str
    channel: str
    users: int
    unknown: int
    rows: int
    output: Path

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "output": str(self.output)}


@dataclass(frozen=True)
class _People:
    """Whom to recommend to, by id: code in the store (-1 unknown), row in the model, segment, audiences."""

    ids: pa.Array
    code: npt.NDArray[np.int32]
    segment: npt.NDArray[np.int32]
    audience: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Known:
    """What the store knows of taste and of what was seen, by user code."""

    taste: Taste
    taste_row: npt.NDArray[np.int32]
    seen: Lists


@dataclass(frozen=True)
class _Job:
    """Everything a block of users needs."""

    model: Model
    channel: ChannelModel
    people: _People
    known: _Known
    eligible: npt.NDArray[np.bool_]
    audience_of_item: npt.NDArray[np.int16]
    exclude_seen: bool
    k: int
    threads: int


def recommend(
    store: Store, config: Config, channel: str, as_of: datetime, output: Path, *, k: int = 20, users: Path | None = None, jobs: int = 1
) -> RecommendResult:
    """Writes `user_id,rank,item_id,score` to `output`, whole or not at all; users by id, ranks from 1.

    Never an item that was seen (where the channel excludes those), that is not live on the channel at as_of, or whose audience
    the user is not in. Users of whom nothing is known get what is popular. users: a CSV file of ids; None = all.
    """
    if channel not in config.channels:
        raise UsageError(f"no channel '{channel}'{did_you_mean(channel, config.channels)}", f"one of {', '.join(config.channels)}")
    model = load_model(store.root / newest_model(store, as_of).path)
    if channel not in model.channels:
        raise DataError(f"model {model.model_id} was trained without channel '{channel}'", "run `notif-rec train`")
    with store.connect(threads=jobs) as con:
        eligible = live_items(con, model.item_codes, channel, as_of)
        audiences, audience_of_item = _audiences(con, model)
        people = _people(con, model, None if users is None else read_user_file(users), audiences)
        known = _known(con, config, model, channel, as_of)
    job = _Job(model, model.channels[channel], people, known, eligible, audience_of_item, config.channels[channel].exclude_seen, k, jobs)
    with whole_file(output) as draft:
        rows = _write(job, draft)
    return RecommendResult(model.model_id, channel, len(people.ids), int((people.code < 0).sum()), rows, output)


def _write(job: _Job, path: Path) -> int:
    """How many rows went into `path`, a block of users at a time."""
    starts = range(0, len(job.people.ids), USERS_AT_ONCE)
    blocks = (block for start in starts for block in _block(job, start).to_batches())
    with duckdb.connect(config={"threads": 1}) as con:
        con.register("lists", pa.RecordBatchReader.from_batches(LISTS, blocks))
        target = str(path).replace("'", "''")
        written: int = con.execute(f"COPY lists TO '{target}' (FORMAT csv, HEADER true, DELIMITER ',')").fetchall()[0][0]
    return written


def _block(job: _Job, start: int) -> pa.Table:
    part = slice(start, min(start + USERS_AT_ONCE, len(job.people.ids)))
    return _table(job.model, job.people.ids[part.start : part.stop], _retrieve(job, part))


def _audiences(con: duckdb.DuckDBPyConnection, model: Model) -> tuple[list[str], npt.NDArray[np.int16]]:
    """The distinct audiences of the model's items, and each item's place among them, -1 = everybody."""
    table = con.sql("SELECT item, audience FROM items WHERE audience <> '' ORDER BY item").to_arrow_table()
    encoded = table["audience"].combine_chunks().dictionary_encode()
    of_item = np.full(len(model.item_codes), -1, dtype=np.int16)
    row = model.item_rows(int(max(table["item"].to_numpy(), default=-1)) + 1)[table["item"].to_numpy()]
    of_item[row[row >= 0]] = encoded.indices.to_numpy()[row >= 0]
    return encoded.dictionary.to_pylist(), of_item


def _people(con: duckdb.DuckDBPyConnection, model: Model, ids: pa.Array | None, audiences: list[str]) -> _People:
    asked = con.sql("SELECT user_id FROM user_ids").to_arrow_table() if ids is None else pa.table({"user_id": ids})
    con.register("asked", asked)
    parsed = [parse_audience(text) for text in audiences]
    names = sorted({key for audience in parsed for key, _ in audience} | set(model.segments.attributes))
    columns = "".join(f", u.attributes[${i}] AS a{i}" for i in range(1, len(names) + 1))
    query = f"""
    SELECT a.user_id, coalesce(i."user", -1)::INTEGER AS code{columns}
    FROM asked a LEFT JOIN user_ids i USING (user_id) LEFT JOIN users u USING ("user") ORDER BY a.user_id
    """
    table = con.sql(query, params=names).to_arrow_table().combine_chunks()
    con.unregister("asked")
    value = {name: table[f"a{i}"].combine_chunks().dictionary_encode() for i, name in enumerate(names, 1)}
    return _People(
        table["user_id"].combine_chunks(),
        table["code"].to_numpy(),
        _segments(model, value, table.num_rows),
        in_audience(parsed, value, table.num_rows),
    )


def _segments(model: Model, value: dict[str, pa.DictionaryArray], n: int) -> npt.NDArray[np.int32]:
    rows = {values: row for row, values in enumerate(model.segments.values)}
    if not rows:
        return np.full(n, -1, dtype=np.int32)
    texts = zip(*(value[name].cast(pa.string()).fill_null("").to_pylist() for name in model.segments.attributes), strict=True)
    return np.fromiter((rows.get(text, -1) for text in texts), np.int32, n)


def _known(con: duckdb.DuckDBPyConnection, config: Config, model: Model, channel: str, as_of: datetime) -> _Known:
    half_life = config.model_of(channel).half_life
    read = read_interactions(con, as_of, events=config.events, channels=config.channel_names, half_life=half_life)
    item = model.item_rows(int(read.item_codes.max(initial=-1)) + 1)[read.item_codes][read.taste.item_index]
    taste = _kept(Taste(read.taste.offsets, item, read.taste.channel, read.taste.weight), item >= 0)
    row = np.full(int(read.user_codes.max(initial=-1)) + 1, -1, dtype=np.int32)
    row[read.user_codes] = np.arange(len(read.user_codes), dtype=np.int32)
    seen_user, seen_item = read_seen(con, as_of, config.events)
    place = model.item_rows(int(seen_item.max(initial=-1)) + 1)[seen_item]
    seen_user, place = seen_user[place >= 0], place[place >= 0]
    offsets = np.searchsorted(seen_user, np.arange(int(seen_user.max(initial=-1)) + 2)).astype(np.int64)
    return _Known(taste, row, Lists(offsets, place))


def _kept(taste: Taste, keep: npt.NDArray[np.bool_]) -> Taste:
    offsets = np.concatenate([[0], np.cumsum(keep)])[taste.offsets].astype(np.int64)
    return Taste(offsets, taste.item_index[keep], taste.channel[keep], taste.weight[keep])


def _retrieve(job: _Job, part: slice) -> Candidates:
    code, known = job.people.code[part], job.known
    at, offsets = _gather(known.taste.offsets, _looked_up(known.taste_row, code))
    taste = Taste(offsets, known.taste.item_index[at], known.taste.channel[at], known.taste.weight[at])
    seen_at, seen_offsets = _gather(known.seen.offsets, np.where(code < len(known.seen.offsets) - 1, code, -1))
    return retrieve(
        job.channel,
        taste,
        job.model.rows_of_users(code),
        job.k,
        eligible=job.eligible,
        exclude=Lists(seen_offsets, known.seen.item[seen_at]) if job.exclude_seen else None,
        segment=job.people.segment[part],
        audience_of_item=job.audience_of_item,
        audience=job.people.audience[part],
        threads=job.threads,
    )


def _looked_up(row: npt.NDArray[np.int32], code: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    inside = (code >= 0) & (code < len(row))
    found = np.full(len(code), -1, dtype=np.int32)
    found[inside] = row[code[inside]]
    return found


def _gather(offsets: npt.NDArray[np.int64], rows: npt.NDArray[np.integer]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Places of the entries of `rows` (-1 = no entries), one row after the other, and their new offsets."""
    sizes = np.where(rows >= 0, np.diff(offsets, append=offsets[-1])[rows], 0)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.arange(starts[-1]) + np.repeat(offsets[rows] - starts[:-1], sizes), starts


def _table(model: Model, ids: pa.Array, found: Candidates) -> pa.Table:
    there = found.item_index >= 0
    user, rank = np.nonzero(there)
    items = pa.array(model.item_ids, pa.string()).take(pa.array(found.item_index[there]))
    columns = [ids.take(pa.array(user)), pa.array((rank + 1).astype(np.int32)), items, pa.array(found.score[there])]
    return pa.table(columns, schema=LISTS)
