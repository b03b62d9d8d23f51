"""Limits across users: the plan of every user together, less what the quotas have no room for, most valuable first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.planning.compiled import inner, kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.reasons import CLOSED, FIXED, reason_names
from notif_rec.tables import SENDS

IntArray = npt.NDArray[np.int64]
UNLIMITED = np.iinfo(np.int64).max
ANY = "any"


@dataclass(frozen=True)
class Quota:
    """At most `max_sends` of one thing. name: a channel, an item_id, a category, or 'any' (each item for itself)."""

    kind: Literal["channel", "item", "category"]
    name: str
    max_sends: int


@dataclass(frozen=True)
class Used:
    """Sends of the ledger inside the horizon, whichever plan made them, by channel, by item_id and by category."""

    channel: Mapping[str, int] = field(default_factory=dict)
    item: Mapping[str, int] = field(default_factory=dict)
    category: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settled:
    """A plan as a whole.

    sends: tables.SENDS (without seq), by bucket, user, time, channel and position. dropped: candidates by channel and reason.
    value: Σ value × discount of the sends; bound: no plan of these offers is worth more; users: how many were planned for.
    lost: users with a send that a quota dropped. room: what each quota has left.
    """

    sends: pa.Table
    dropped: Mapping[str, Mapping[str, int]]
    value: float
    bound: float
    users: int
    steps: int
    lost: npt.NDArray[np.int32]
    room: Mapping[str, int]

    @property
    def gap(self) -> float:
        """How far from the best plan this one can be, as a share of the bound."""
        return (self.bound - self.value) / self.bound if self.bound > 0 else 0.0


def settle(parts: Sequence[Path], context: PlanContext, quotas: Sequence[Quota], used: Used, plan_id: str) -> Settled:
    """The plan in the decisions (planning/decisions.py) under `parts`, with every quota kept.

    Explored sends take their room first, then the most valuable ones, ties by send key. Where a quota took a send, the user's
    other sends lose their propensity: it was the chance of a plan that was not made.
    """
    decisions = pa.concat_tables([pa.Table.from_batches(list(read_batches(part))) for part in parts]) if parts else None
    if decisions is None:
        return Settled(_shaped(None, plan_id), {}, 0.0, 0.0, 0, 0, np.zeros(0, dtype=np.int32), {})
    rows = _flattened(decisions)
    keep, room = _trim(rows, context, quotas, used)
    lost = np.unique(rows.column("user").to_numpy()[~keep]).astype(np.int32)
    gone = rows.filter(pa.array(~keep))
    kept = _unsure(rows.filter(pa.array(keep)), lost)
    real = kept.filter(pc.and_(pc.equal(kept.column("kind"), "send"), pc.equal(kept.column("position"), 1)))
    return Settled(
        sends=_shaped(kept, plan_id),
        dropped=_dropped(decisions, gone, context),
        value=pc.sum(pc.multiply(real.column("value"), real.column("discount"))).as_py() or 0.0,
        bound=pc.sum(decisions.column("bound")).as_py() or 0.0,
        users=decisions.num_rows,
        steps=pc.sum(decisions.column("steps")).as_py() or 0,
        lost=lost,
        room=room,
    )


def read_batches(part: Path) -> Iterator[pa.RecordBatch]:
    """The decisions of a part, batch by batch."""
    with pa.memory_map(str(part)) as source:
        reader = pa.ipc.open_file(source)
        yield from (reader.get_batch(i) for i in range(reader.num_record_batches))


def read_decisions(parts: Sequence[Path]) -> pa.Table:
    """One row an item of a send in the decisions under `parts`, with its user and bucket."""
    return pa.concat_tables([_flattened(pa.Table.from_batches([batch])) for part in parts for batch in read_batches(part)])


def _flattened(decisions: pa.Table) -> pa.Table:
    """One row an item of a send, with its user and bucket."""
    lists = decisions.column("sends").combine_chunks()
    parents = pc.list_parent_indices(lists)
    items = lists.flatten()
    columns = {field.name: items.field(n) for n, field in enumerate(items.type)}
    owner = {name: decisions.column(name).combine_chunks().take(parents) for name in ("bucket", "user")}
    return pa.table(owner | columns)


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


def _trim(rows: pa.Table, context: PlanContext, quotas: Sequence[Quota], used: Used) -> tuple[npt.NDArray[np.bool_], Mapping[str, int]]:
    """(n_rows,) whether a row stays, and what is left of each quota."""
    limits = _Limits(rows, context, quotas, used)
    keep = np.ones(rows.num_rows, dtype=np.bool_)
    real = pc.equal(rows.column("kind"), "send").to_numpy(zero_copy_only=False)
    if not quotas or not real.any():
        return keep, limits.left(quotas)
    first = np.flatnonzero(real & (rows.column("position").to_numpy() == 1))
    size = np.diff(np.append(np.flatnonzero(rows.column("position").to_numpy() == 1), rows.num_rows))
    size = size[np.isin(np.flatnonzero(rows.column("position").to_numpy() == 1), first)]
    gain = (rows.column("value").to_numpy() * rows.column("discount").to_numpy())[first]
    explored = rows.column("explored").to_numpy(zero_copy_only=False)[first]
    keys = pc.rank(rows.column("send_key").combine_chunks().take(pa.array(first)), tiebreaker="dense").to_numpy()
    order = np.lexsort((keys, -gain, ~explored))
    _take_room(
        order, first, size, limits.channel, limits.item, limits.category, limits.of_channel, limits.of_item, limits.of_category, keep
    )
    return keep, limits.left(quotas)


class _Limits:
    """The room of every channel, item and category that the rows mention, and the codes of each row."""

    def __init__(self, rows: pa.Table, context: PlanContext, quotas: Sequence[Quota], used: Used) -> None:
        self.channels, self.channel = _coded(rows.column("channel"))
        self.categories, self.category = _coded(rows.column("category"))
        ids = pa.array(context.model.item_ids, pa.string())
        item = rows.column("item").to_numpy()
        row = np.where(item >= 0, context.lookup[np.maximum(item, 0)], -1) if len(context.lookup) else np.full(len(item), -1)
        self.items, self.item = _coded(pa.chunked_array([ids.take(pa.array(row, mask=row < 0))]))
        self.of_channel = _room(self.channels, "channel", quotas, used.channel)
        self.of_item = _room(self.items, "item", quotas, used.item)
        self.of_category = _room(self.categories, "category", quotas, used.category)
        self.used = used

    def left(self, quotas: Sequence[Quota]) -> Mapping[str, int]:
        """Room by quota, after the rows took theirs; of 'any' item, the smallest there is."""
        told = {}
        for quota in quotas:
            names: Sequence[str] = getattr(self, {"channel": "channels", "item": "items", "category": "categories"}[quota.kind])
            room: IntArray = getattr(self, f"of_{quota.kind}")
            spent: Mapping[str, int] = getattr(self.used, quota.kind)
            own = [room[names.index(quota.name)]] if quota.name in names else [max(0, quota.max_sends - spent.get(quota.name, 0))]
            found = room if quota.name == ANY and quota.kind == "item" and len(names) else np.array(own)
            told[f"{quota.kind} {quota.name}"] = int(found.min())
        return told


def _coded(column: pa.ChunkedArray) -> tuple[list[str], IntArray]:
    """Distinct texts, and each row's place in them, -1 for null."""
    encoded = column.combine_chunks().dictionary_encode()
    return encoded.dictionary.to_pylist(), encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)


def _room(names: Sequence[str], kind: str, quotas: Sequence[Quota], used: Mapping[str, int]) -> IntArray:
    """What the tightest quota on each name leaves; UNLIMITED where there is none."""
    room = np.full(len(names), UNLIMITED, dtype=np.int64)
    place = {name: n for n, name in enumerate(names)}
    spent = np.array([used.get(name, 0) for name in names], dtype=np.int64)
    for quota in quotas:
        if quota.kind == kind and quota.name == ANY and kind == "item":
            room = np.minimum(room, np.maximum(quota.max_sends - spent, 0))
        elif quota.kind == kind and quota.name in place:
            at = place[quota.name]
            room[at] = min(room[at], max(quota.max_sends - spent[at], 0))
    return room


@kernel
def _take_room(
    order: Any, first: Any, size: Any, channel: Any, item: Any, category: Any, of_channel: Any, of_item: Any, of_category: Any, keep: Any
) -> None:
    """Sends in `order` take one place of their channel, of each item and of each category, or go."""
    for s in order:
        low, high = first[s], first[s] + size[s]
        fits = of_channel[channel[low]] > 0
        for r in range(low, high):
            fits = fits and (item[r] < 0 or of_item[item[r]] > 0) and (category[r] < 0 or of_category[category[r]] > 0)
        if not fits:
            for r in range(low, high):
                keep[r] = False
            continue
        of_channel[channel[low]] -= 1
        for r in range(low, high):
            if item[r] >= 0:
                of_item[item[r]] -= 1
            if category[r] >= 0 and not _is_counted(category, low, r):
                of_category[category[r]] -= 1


@inner
def _is_counted(category: Any, low: int, row: int) -> bool:
    for r in range(low, row):  # noqa: SIM110
        if category[r] == category[row]:
            return True
    return False
