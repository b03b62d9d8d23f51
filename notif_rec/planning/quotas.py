"""A plan as a whole: the decisions of all users as sends, and what they take of each quota."""

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

from notif_rec.errors import BugError
from notif_rec.planning.cells import Limits, Takings, takings_of
from notif_rec.planning.compiled import kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.menus import Rooms
from notif_rec.planning.reasons import CLOSED, FIXED, reason_names
from notif_rec.tables import SENDS

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Settled:
    """A plan as a whole.

    sends: tables.SENDS (without seq), by bucket, user, time, channel and position. dropped: candidates by channel and reason.
    value: Σ value × discount of the sends; bound: no set of these offers is worth more at the prices, prices paid. users: how many were
    planned for. taken: (n_cells,) of each quota's cell.
    """

    sends: pa.Table
    dropped: Mapping[str, Mapping[str, int]]
    value: float
    bound: float
    users: int
    steps: int
    taken: IntArray


@dataclass(frozen=True)
class Segments:
    """Who is in which of the audiences: inside[i] is of user[i], codes in their order."""

    user: npt.NDArray[np.int32]
    inside: BoolArray

    def of(self, users: npt.NDArray[np.int32]) -> BoolArray:
        """(n, n_audiences) of some users that are known."""
        found: BoolArray = self.inside[np.searchsorted(self.user, users)]
        return found


def settle(parts: Sequence[Path], context: PlanContext, rooms: Rooms, segments: Segments, plan_id: str, *, trim: bool = False) -> Settled:
    """The plan in the decisions (planning/decisions.py) under `parts`; every quota is counted again over its sends.

    trim: sends go, the least valuable first, until every quota is kept (who plans without prices needs it); else BugError where one
    is not. Where a quota took a send, the user's other sends lose their propensity: it was the chance of a plan that was not made.
    """
    if not parts:
        return Settled(_shaped(None, plan_id), {}, 0.0, 0.0, 0, 0, np.zeros(len(rooms.high), dtype=np.int64))
    decisions = pa.concat_tables([pa.Table.from_batches(list(read_batches(part))) for part in parts])
    rows = _flattened(decisions)
    keep = np.ones(rows.num_rows, dtype=np.bool_)
    taken = np.zeros(len(rooms.high), dtype=np.int64)
    if context.quotas:
        taken = _kept(rows, keep, context, rooms, segments, trim)
    lost = np.unique(rows.column("user").to_numpy()[~keep]).astype(np.int32)
    gone, kept = rows.filter(pa.array(~keep)), _unsure(rows.filter(pa.array(keep)), lost)
    real = kept.filter(pc.and_(pc.equal(kept.column("kind"), "send"), pc.equal(kept.column("position"), 1)))
    return Settled(
        sends=_shaped(kept, plan_id),
        dropped=_dropped(decisions, gone, context),
        value=pc.sum(pc.multiply(real.column("value"), real.column("discount"))).as_py() or 0.0,
        bound=pc.sum(decisions.column("bound")).as_py() or 0.0,
        users=decisions.num_rows,
        steps=pc.sum(decisions.column("steps")).as_py() or 0,
        taken=taken,
    )


def read_batches(part: Path) -> Iterator[pa.RecordBatch]:
    """The batches of a part."""
    with pa.memory_map(str(part)) as source:
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


def _flattened(decisions: pa.Table) -> pa.Table:
    """One row an item of a send, with its user and bucket."""
    lists = decisions.column("sends").combine_chunks()
    parents = pc.list_parent_indices(lists)
    items = lists.flatten()
    columns = {field.name: items.field(n) for n, field in enumerate(items.type)}
    owner = {name: decisions.column(name).combine_chunks().take(parents) for name in ("bucket", "user")}
    return pa.table(owner | columns)


def _kept(rows: pa.Table, keep: BoolArray, context: PlanContext, rooms: Rooms, segments: Segments, trim: bool) -> IntArray:
    """What the sends take of each cell; clears `keep` for those that are trimmed."""
    limits = context.all_limits
    real = np.flatnonzero(pc.equal(rows.column("kind"), "send").to_numpy(zero_copy_only=False))
    taken = np.zeros(len(rooms.high), dtype=np.int64)
    if not len(real):
        return taken
    sends = rows.take(pa.array(real))
    takings, first = sends_take(sends, context, limits, segments)
    size = np.diff(np.append(first, len(real)))
    stays = np.ones(len(first), dtype=np.uint8)
    if trim:
        gain = (sends.column("value").to_numpy() * sends.column("discount").to_numpy())[first]
        explored = sends.column("explored").to_numpy(zero_copy_only=False)[first]
        keys = pc.rank(sends.column("send_key").combine_chunks().take(pa.array(first)), tiebreaker="dense").to_numpy()
        _first_come(np.lexsort((keys, -gain, ~explored)), takings, rooms.high, taken, stays)
    else:
        taken += np.bincount(takings.cell, weights=takings.amount, minlength=len(taken)).astype(np.int64)
    if (over := np.flatnonzero(taken > rooms.high)).size:
        raise BugError(
            f"{taken[over[0]]} of quota cell {over[0]} are taken, {rooms.high[over[0]]} are allowed", "tell us how to see it again"
        )
    keep[real] = np.repeat(stays, size) == 1
    return taken


def sends_take(sends: pa.Table, context: PlanContext, limits: Limits, segments: Segments) -> tuple[Takings, IntArray]:
    """What each send takes of the quotas' cells, and its first row: `sends` has one row an item, those of a send together."""
    first = np.flatnonzero(sends.column("position").to_numpy() == 1)
    send = np.cumsum(sends.column("position").to_numpy() == 1) - 1
    codes = sends.column("item").to_numpy()
    row = (
        np.where(codes >= 0, context.lookup[np.clip(codes, 0, len(context.lookup) - 1)], -1)
        if len(context.lookup)
        else np.full(len(codes), -1)
    )
    row = np.where(codes < len(context.lookup), row, -1)
    item = np.full((len(first), int(sends.column("position").to_numpy().max(initial=1))), -1, dtype=np.int32)
    known = np.flatnonzero(row >= 0)
    place = np.arange(len(known)) - np.searchsorted(send[known], send[known])  # items that the model lacks leave no hole
    item[send[known], place] = row[known]
    named = pc.index_in(sends.column("category"), pa.array(context.categories, pa.string())).fill_null(-1).to_numpy().astype(np.int64)
    categories = np.zeros(len(first), dtype=np.uint64)
    bits = np.where(named >= 0, np.uint64(1) << np.maximum(named, 0).astype(np.uint64), np.uint64(0))
    np.bitwise_or.at(categories, send, bits)
    channel = pc.index_in(sends.column("channel"), pa.array(context.names, pa.string())).to_numpy().astype(np.int64)[first]
    users, owner = np.unique(sends.column("user").to_numpy()[first], return_inverse=True)
    return takings_of(channel, item, categories, owner.astype(np.int64), segments.of(users.astype(np.int32)), limits), first


@kernel
def _first_come(order: Any, takings: Any, high: Any, taken: Any, stays: Any) -> None:
    """Sends in `order` take their places of every cell, or go."""
    for s in order:
        for k in range(takings.first[s], takings.first[s + 1]):
            if taken[takings.cell[k]] + takings.amount[k] > high[takings.cell[k]]:
                stays[s] = 0
        if stays[s]:
            for k in range(takings.first[s], takings.first[s + 1]):
                taken[takings.cell[k]] += takings.amount[k]


def _shaped(rows: pa.Table | None, plan_id: str) -> pa.Table:
    """Rows as tables.SENDS, but for the commit's number."""
    wanted = pa.schema([f for f in SENDS if f.name != "seq"])
    if rows is None:
        return wanted.empty_table()
    whole = rows.append_column("plan_id", pa.repeat(pa.scalar(plan_id, pa.string()), rows.num_rows))
    return whole.select(wanted.names).cast(wanted).sort_by([("bucket", "ascending")])


def _unsure(rows: pa.Table, lost: npt.NDArray[np.int32]) -> pa.Table:
    """Without a propensity where the user lost a send; what chance decided was out of the repair's reach and keeps its own."""
    touched = pc.and_(pc.is_in(rows.column("user"), pa.array(lost, pa.int32())), pc.equal(rows.column("kind"), "send"))
    touched = pc.and_not(touched, rows.column("explored"))
    blank = pc.if_else(touched, pa.scalar(None, pa.float64()), rows.column("propensity"))
    return rows.set_column(rows.schema.get_field_index("propensity"), "propensity", blank)


def _dropped(decisions: pa.Table, gone: pa.Table, context: PlanContext) -> Mapping[str, Mapping[str, int]]:
    """Candidates by channel and headline, quotas included; channels in the config's order, reasons by name."""
    names = reason_names(context.rules)
    flat = {name: pc.list_flatten(decisions.column(f"drop_{name}")).to_numpy() for name in ("channel", "reason", "count")}
    cells = flat["channel"].astype(np.int64) * 64 + flat["reason"]
    totals = np.bincount(cells, weights=flat["count"], minlength=64 * len(context.names)).astype(np.int64).reshape(-1, 64)
    by_quota = Counter(gone.column("channel").to_pylist())
    told: dict[str, dict[str, int]] = {}
    for channel, name in enumerate(context.names):
        counted: Counter[str] = Counter({FIXED[CLOSED][0]: by_quota[name]} if by_quota[name] else {})
        for number in np.flatnonzero(totals[channel]):
            counted[names[int(number)]] += int(totals[channel, number])
        told[name] = dict(sorted(counted.items()))
    return told
