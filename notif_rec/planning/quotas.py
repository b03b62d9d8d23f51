"""Limits across users: of the sends that users would get, the most valuable that every quota has room for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from notif_rec.planning.compiled import kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.reasons import reason_names
from notif_rec.tables import SENDS

IntArray = npt.NDArray[np.int64]
ANY = "any"
QUOTA = "quota"


@dataclass(frozen=True)
class Quota:
    """At most `room` more sends of a channel, an item (an id, or `any`: each for itself) or a category; exactly one is named.

    used: for `any`, sends that an item has already, by item code.
    """

    room: int
    channel: str | None = None
    item: str | None = None
    category: str | None = None
    used: Mapping[int, int] | None = None


@dataclass(frozen=True)
class Settled:
    """What a plan came to. sends: messages per channel; dropped: candidates per (channel, reason); lost: messages that quotas took.

    value: Σ value × discount. bound: no plan over the same offers is worth more. shadows, nothings: recorded, never sent.
    """

    users: int
    sends: Mapping[str, int]
    shadows: int
    nothings: int
    explored: int
    dropped: Mapping[tuple[str, str], int]
    lost: int
    value: float
    bound: float


def settle(parts: Sequence[Path], context: PlanContext, quotas: Sequence[Quota], plan_id: str, target: Path) -> Settled:
    """Writes the rows of tables.SENDS that stay into `target` (Parquet) and returns what they come to.

    parts: files of DECISIONS. Explorers go first, then the most valuable; ties by send_key. Memory is bounded by a part where there
    are no quotas, and by a few numbers a send where there are.
    """
    keys = _refused(parts, context, quotas) if quotas else pa.array([], pa.string())
    told = _Told(context)
    with pq.ParquetWriter(target, SENDS, compression="zstd") as writer:
        for batch in _batches(parts):
            rows = _rows_of(batch, plan_id)
            gone = pc.and_(pc.is_in(rows.column("send_key"), value_set=keys), pc.equal(rows.column("kind"), "send"))
            kept = _without(rows, gone)
            told.count(batch, kept, rows.filter(gone))
            writer.write_table(kept.select(SENDS.names).cast(SENDS))
    return told.settled()


def _batches(parts: Sequence[Path]) -> Iterator[pa.RecordBatch]:
    for part in parts:
        with pa.memory_map(str(part)) as source:
            reader = pa.ipc.open_file(source)
            yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


def _rows_of(batch: pa.RecordBatch, plan_id: str) -> pa.Table:
    """The sends of a batch of DECISIONS as rows of tables.SENDS, and their discount."""
    owner = pc.list_parent_indices(batch.column("sends"))
    decided = pa.Table.from_struct_array(pc.list_flatten(batch.column("sends")))
    n = len(owner)
    decided = decided.append_column("bucket", batch.column("bucket").take(owner)).append_column("user", batch.column("user").take(owner))
    decided = decided.append_column("plan_id", pa.array([plan_id], pa.string()).take(pa.array(np.zeros(n, dtype=np.int64))))
    return decided.append_column("seq", pa.nulls(n, pa.int32()))


def _without(rows: pa.Table, gone: pa.ChunkedArray) -> pa.Table:
    """The rows that stay; those of users who lost one have no known propensity any more."""
    losers = pc.unique(rows.column("user").filter(gone))
    kept = rows.filter(pc.invert(gone))
    if not len(losers):
        return kept
    hit = pc.and_(pc.is_in(kept.column("user"), value_set=losers), pc.equal(kept.column("kind"), "send"))
    blank = pc.if_else(hit, pa.scalar(None, pa.float64()), kept.column("propensity"))
    return kept.set_column(kept.column_names.index("propensity"), "propensity", blank)


def _refused(parts: Sequence[Path], context: PlanContext, quotas: Sequence[Quota]) -> pa.Array:
    """Keys of the sends that find no room."""
    wanted = ("send_key", "channel", "item", "category", "value", "discount", "explored", "position")
    tables = [rows.filter(pc.equal(rows.column("kind"), "send")).select(wanted) for rows in (_rows_of(b, "") for b in _batches(parts))]
    rows = pa.concat_tables(tables) if tables else None
    if rows is None or not rows.num_rows:
        return pa.array([], pa.string())
    first = rows.filter(pc.equal(rows.column("position"), 1))
    worth = pc.multiply(first.column("value"), first.column("discount")).to_numpy()
    explored = first.column("explored").fill_null(False).to_numpy()
    keys = first.column("send_key").combine_chunks()
    by_key = np.argsort(np.argsort(keys.to_numpy(zero_copy_only=False).astype(str), kind="stable"))
    order = np.lexsort((by_key, -worth, ~explored))
    start, quota, room = _uses(rows, context, quotas)
    accepted = np.zeros(len(keys), dtype=np.bool_)
    _accept(order, start, quota, room, accepted)
    return keys.filter(pa.array(~accepted))


def _uses(rows: pa.Table, context: PlanContext, quotas: Sequence[Quota]) -> tuple[IntArray, IntArray, IntArray]:
    """Which quotas each send uses (ragged by send: start, quota) and the room of each quota."""
    send = np.cumsum(rows.column("position").to_numpy() == 1) - 1
    item = rows.column("item").to_numpy().astype(np.int64)
    code = dict(zip(context.model.item_ids, context.model.item_codes.tolist(), strict=True))
    pairs, rooms, n = [], [], 0
    for quota in quotas:
        if quota.item == ANY:
            used = np.zeros(int(item.max(initial=0)) + 1, dtype=np.int64)
            for known, times in (quota.used or {}).items():
                if known < len(used):
                    used[known] = times
            pairs.append(np.stack([send, n + item]))
            rooms.append(np.maximum(quota.room - used, 0))
            n += len(used)
            continue
        mine = _matches(rows, item, quota, code)
        pairs.append(np.stack([send[mine], np.full(int(mine.sum()), n)]))
        rooms.append(np.array([max(quota.room, 0)], dtype=np.int64))
        n += 1
    both = np.unique(np.concatenate(pairs, axis=1), axis=1)
    start = np.searchsorted(both[0], np.arange(send[-1] + 2)).astype(np.int64)
    return start, both[1].astype(np.int64), np.concatenate(rooms)


def _matches(rows: pa.Table, item: IntArray, quota: Quota, code: Mapping[str, int]) -> npt.NDArray[np.bool_]:
    if quota.channel is not None:
        found: Any = pc.equal(rows.column("channel"), quota.channel).to_numpy()
    elif quota.category is not None:
        found = pc.fill_null(pc.equal(rows.column("category"), quota.category), False).to_numpy()
    else:
        found = item == code.get(quota.item or "", -2)
    return np.asarray(found, dtype=np.bool_)


@kernel
def _accept(order: Any, start: Any, quota: Any, room: Any, accepted: Any) -> None:
    """Takes sends in order; one is accepted where every quota that it uses has room."""
    for s in order:
        fits = True
        for q in range(start[s], start[s + 1]):
            if room[quota[q]] <= 0:
                fits = False
        if fits:
            accepted[s] = True
            for q in range(start[s], start[s + 1]):
                room[quota[q]] -= 1


class _Told:
    """Sums over batches."""

    def __init__(self, context: PlanContext) -> None:
        self.names, self.reasons = context.names, reason_names(context.rules)
        self.sends: Counter[str] = Counter({name: 0 for name in context.names})
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.users = self.shadows = self.nothings = self.explored = self.lost = 0
        self.value = self.bound = 0.0

    def count(self, batch: pa.RecordBatch, kept: pa.Table, gone: pa.Table) -> None:
        self.users += batch.num_rows
        self.explored += int(pc.sum(batch.column("explored")).as_py() or 0)
        self.bound += float(pc.sum(batch.column("bound")).as_py() or 0.0)
        first = kept.filter(pc.equal(kept.column("position"), 1))
        sent = first.filter(pc.equal(first.column("kind"), "send"))
        self.value += float(pc.sum(pc.multiply(sent.column("value"), sent.column("discount"))).as_py() or 0.0)
        self.sends.update(sent.column("channel").to_pylist())
        self.shadows += int(pc.sum(pc.equal(first.column("kind"), "shadow")).as_py() or 0)
        self.nothings += int(pc.sum(pc.equal(first.column("kind"), "nothing")).as_py() or 0)
        self.lost += len(pc.unique(gone.column("send_key")))
        for channel in gone.column("channel").to_pylist():
            self.dropped[channel, QUOTA] += 1
        counts = zip(*(batch.column(c).flatten().to_pylist() for c in ("drop_channel", "drop_reason", "drop_count")), strict=True)
        for channel, reason, n in counts:
            self.dropped[self.names[channel], self.reasons[reason]] += n

    def settled(self) -> Settled:
        return Settled(
            self.users, dict(self.sends), self.shadows, self.nothings, self.explored, dict(sorted(self.dropped.items())), self.lost,
            self.value, self.bound,
        )  # fmt: skip
