"""Menus as a table, one row a user: what a pass over the offers tells about who could do without what."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from notif_rec.planning.ahead import cost_ahead
from notif_rec.planning.alternatives import list_menus
from notif_rec.planning.arms import BEST
from notif_rec.planning.choose import TRANSACTIONAL, choose, past_of, pool_of, takings_by
from notif_rec.planning.compiled import kernel
from notif_rec.planning.context import PlanContext
from notif_rec.planning.menus import Menus, joined, merged, near, net_values
from notif_rec.planning.pacing import read_offers
from notif_rec.tables import schema

FloatArray = npt.NDArray[np.float64]
MOST = 12  # entries of a user
MENUS = schema(
    user=pa.int32(),
    alone=pa.bool_(),  # chance decides, which no quota overrules
    bound=pa.float64(),  # no feasible set is worth more at the context's prices, prices paid
    own=pa.uint64(),  # what the user gets unless overruled: bit i is the i-th offer
    value=pa.list_(pa.float64()),
    bits=pa.list_(pa.uint64()),
    taken=pa.list_(pa.int32()),  # how many cells each entry takes of
    cell=pa.list_(pa.int32()),
    amount=pa.list_(pa.int32()),
)


@dataclass(frozen=True)
class Listed:
    """The menus of some users. own: what each gets unless overruled; bits: of each entry; bound: of each user, prices paid."""

    user: npt.NDArray[np.int32]
    alone: npt.NDArray[np.bool_]
    bound: FloatArray
    own: npt.NDArray[np.uint64]
    bits: npt.NDArray[np.uint64]
    menus: Menus

    def after(self, before: Listed) -> Listed:
        """With the entries that an earlier pass over the same users told, each set once; not for those for whom chance decides: prices
        move its draw.
        """
        fresh = np.ones(len(self.bits), dtype=np.bool_)
        _forget_known(before.menus.start, before.bits, self.menus.start, self.bits, self.alone, fresh)
        still = ~self.alone[np.repeat(np.arange(before.menus.n), np.diff(before.menus.start))]
        menus, order = merged(before.menus, self.menus, np.concatenate([still, fresh]))
        return replace(self, menus=menus, bits=np.concatenate([before.bits, self.bits])[order])


@kernel
def _forget_known(old: Any, known: Any, start: Any, bits: Any, alone: Any, fresh: Any) -> None:
    """Clears `fresh` of the sets that a user was known to have, but for users who are `alone`."""
    for u in range(len(start) - 1):
        for e in range(start[u], start[u + 1] if not alone[u] else start[u]):
            for k in range(old[u], old[u + 1]):
                if known[k] == bits[e]:
                    fresh[e] = False
                    break


def menu_batch(offers: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """The menu of each user in `offers` (tables.OFFERS) at the context's prices: one row of MENUS a user; all of it only for those for
    whom chance decides, else what the context's reach leaves.
    """
    made = read_offers(offers, context)
    takings, owner = takings_by(made, context), made.owner()
    choice, pool = choose(made, context, takings), pool_of(made, context, takings)
    alone, marketing = choice.explored != BEST, pool.item_class != TRANSACTIONAL
    drawn = choice.sent & marketing & (choice.explored[owner] == pool.channel)
    toll = cost_ahead(pool, made.users, context)
    open_ = ~made.verdict.held[owner] | ~marketing
    usable = pool._replace(price=pool.price + toll, usable=(pool.usable.astype(np.bool_) & open_).astype(np.uint8))
    menus, bits = list_menus(
        usable, past_of(made), made.verdict.room, context.caps, context.fatigues, takings, choice.sent, alone, drawn, toll, MOST
    )
    if context.market is not None and context.reach < np.inf:
        menus, kept = near(menus, net_values(menus, context.market.price, context.market.unit), context.reach, alone)
        bits = bits[kept]
    place = (np.arange(made.n) - made.start[owner]).astype(np.uint64)
    own = np.zeros(made.users.n, dtype=np.uint64)
    np.bitwise_or.at(own, owner[choice.sent], np.uint64(1) << place[choice.sent])
    start = pa.array(menus.start.astype(np.int32))
    uses = pa.array(menus.first[menus.start].astype(np.int32))
    lists = [pa.ListArray.from_arrays(start, pa.array(a)) for a in (menus.value, bits, np.diff(menus.first).astype(np.int32))]
    lists += [pa.ListArray.from_arrays(uses, pa.array(a)) for a in (menus.cell, menus.amount)]
    flat = [pa.array(made.users.user), pa.array(alone), pa.array(choice.bound), pa.array(own)]
    return pa.RecordBatch.from_arrays([*flat, *lists], schema=MENUS)


def read_menus(batches: Iterable[pa.RecordBatch]) -> Listed:
    """The menus of several tables, in their order."""
    tables = list(batches)
    whole = pa.Table.from_batches(tables, MENUS)

    def flat(name: str) -> npt.NDArray[Any]:
        return np.asarray(whole.column(name).to_numpy())

    def spread(name: str, part: pa.RecordBatch) -> npt.NDArray[Any]:
        return np.asarray(part.column(name).flatten().to_numpy(zero_copy_only=False))

    parts = [
        Menus(
            start=_offsets(part.column("value")),
            value=spread("value", part),
            first=np.concatenate(([0], np.cumsum(spread("taken", part), dtype=np.int64))),
            cell=spread("cell", part),
            amount=spread("amount", part),
        )
        for part in tables
    ]
    bits = np.concatenate([np.zeros(0, np.uint64), *(spread("bits", part) for part in tables)])
    return Listed(flat("user"), flat("alone").astype(np.bool_), flat("bound"), flat("own"), bits, joined(parts))


def _offsets(lists: pa.ListArray) -> npt.NDArray[np.int64]:
    return np.concatenate(([0], np.cumsum(pc.list_value_length(lists).to_numpy(), dtype=np.int64)))
