"""Quotas met: offers are made once, prices found on a sample, one pass made at them, and what still does not fit is repaired.

docs/decisions.md tells what value, bound and gap mean. Every pass is a task of the engine; what comes back is whole numbers, or one row
a user in the order of the parts, so that nothing depends on who worked out which part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from notif_rec.engines.engine import Engine, Progress, Task
from notif_rec.errors import DataError
from notif_rec.planning.allot import allot, better_prices, dual_bound, net_of_choosers, reach_of
from notif_rec.planning.context import NOBODY, Market, Overruled, PlanContext
from notif_rec.planning.context_file import load_context, save_context
from notif_rec.planning.decisions import DECISIONS
from notif_rec.planning.menu_table import MENUS, Listed, menu_batch, read_menus
from notif_rec.planning.menus import Rooms
from notif_rec.planning.offers import offer_batch
from notif_rec.planning.plan_batch import decide_batch
from notif_rec.planning.potential import POTENTIAL, potential_batch, summed
from notif_rec.planning.quotas import read_batches
from notif_rec.tables import OFFERS, PLANNING_INPUT

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
SAMPLE, A_CELL = 20_000, 600  # users on whom prices are sought at first, and in the end for each cell
PASSES, CLOSE = 8, 2e-5  # passes over samples at most; the search ends when no prices could lower the bound by a larger share
KNOWN = 1e-4  # such a share where an earlier plan's prices are begun at
LUCK, DOUBT = 0.03, 0.3  # prices of a sample are better for it than for all by so much a price and user; the part of it worth a pass
ROUNDS, GOOD = 3, 1e-4  # passes over everybody at most; a gap that needs no further one
OFFER = Task(offer_batch, load_context, reads=PLANNING_INPUT, writes=OFFERS)
COUNT = Task(potential_batch, load_context, reads=OFFERS, writes=POTENTIAL)
LIST = Task(menu_batch, load_context, reads=OFFERS, writes=MENUS)
DECIDE = Task(decide_batch, load_context, reads=OFFERS, writes=DECISIONS)


@dataclass(frozen=True)
class Office:
    """Where passes are made: an engine, a folder for what they write, and the model's folder."""

    engine: Engine
    folder: Path
    model: Path
    progress: Progress

    def run(self, task: Task, parts: Sequence[Path], context: PlanContext, name: str) -> list[Path]:
        """What the task makes of each part at `context`; `name` tells this pass from all others."""
        home = self.folder / f"context-{name}"
        save_context(home, context, self.model)
        return self.engine.map_parts(task, parts, self.folder / f"out-{name}", home, self.progress)


@dataclass(frozen=True)
class Allocated:
    """parts: the decisions. context: with the market they were made at. bound: no plan of these offers that keeps the quotas is worth
    more (inf: see the decisions). sampled, whole: passes over the sample and over everybody. unsettled: by what share of it better
    prices might still have lowered the bound when no pass was left, 0 where they settled or the gap is small.
    """

    parts: Sequence[Path]
    context: PlanContext
    bound: float
    sampled: int
    whole: int
    unsettled: float = 0.0


def allocate(office: Office, files: Sequence[Path], context: PlanContext, rooms: Rooms, known: FloatArray) -> Allocated:
    """Decisions of the users in `files` (tables.PLANNING_INPUT) that keep the context's quotas.

    rooms, known: of all cells; known: prices of an earlier plan to begin at, 0 where there are none. DataError where a minimum is
    above what is eligible or cannot be met beside the other quotas.
    """
    return allocate_offers(office, office.run(OFFER, files, context, "offers"), context, rooms, known)


def allocate_offers(office: Office, offers: Sequence[Path], context: PlanContext, rooms: Rooms, known: FloatArray) -> Allocated:
    """The same over `offers` (files of tables.OFFERS) that were made before."""
    counted = office.run(COUNT, offers, context, "potential")
    potential = summed((batch for part in counted for batch in read_batches(part)), len(rooms.high))
    _check_eligible(context, rooms, potential)
    play = np.flatnonzero((potential > rooms.high) | (rooms.low > 0))
    place = np.full(len(rooms.high), -1, dtype=np.int32)
    place[play] = np.arange(len(play), dtype=np.int32)
    inside = Rooms(rooms.low[play], rooms.high[play], rooms.unit[play])
    market = Market(place, known[play], inside.unit, inside.high == 0)
    auction = _Auction(office, offers, context, market, inside)
    if not (inside.high > 0).any():
        return auction.decided(market.price, np.inf, NOBODY)
    return auction.settle(*auction.search())


def _check_eligible(context: PlanContext, rooms: Rooms, potential: IntArray) -> None:
    for cell in np.flatnonzero(rooms.low > potential):
        name, least, most = context.cell_name(int(cell)), rooms.low[cell], potential[cell]
        raise DataError(
            f"quota of {name}: at least {least} sends are asked for, but all offers to everybody allow {most} at most",
            "lower its min_sends, raise candidates and max_offers, or loosen the rules that bind these sends",
        )


class _Auction:
    """The passes over one plan's offers; `rooms` are of the cells in play."""

    def __init__(self, office: Office, offers: Sequence[Path], context: PlanContext, market: Market, rooms: Rooms) -> None:
        self.office, self.offers, self.context, self.market, self.rooms = office, offers, context, market, rooms
        self.users = np.cumsum([sum(batch.num_rows for batch in read_batches(part)) for part in offers])
        self.sampled = self.whole = 0
        self.unsettled = 0.0

    def search(self) -> tuple[FloatArray, Listed | None, float]:
        """Prices near the best; what everybody would do at them, where the last sample was everybody; and the reach of menus, of that or
        of what is to be asked.

        They are sought on few users, then on as many as the cells need, so that most passes are cheap; known ones on these alone.
        """
        price, warm, listed, reach = self.market.price, bool(self.market.price.any()), None, np.inf
        few, many = (int(np.searchsorted(self.users, enough)) + 1 for enough in (SAMPLE, max(SAMPLE, A_CELL * len(price))))
        for last in [many] if warm or few == many else [few, many]:
            reach = np.inf if listed is None else reach_of(listed, self.rooms, price)
            price, listed = self._search(self.offers[:last], price, reach)  # parts are buckets of a hash: any will do
        assert listed is not None
        return (price, listed, reach) if many >= len(self.offers) else (price, None, reach_of(listed, self.rooms, price))

    def _search(self, sample: Sequence[Path], price: FloatArray, reach: float) -> tuple[FloatArray, Listed]:
        """Prices near the best for the sample, and what it told: each pass shows what users would choose at prices that are too low."""
        users, listed, warm, first = int(self.users[len(sample) - 1]), None, bool(price.any()), True
        share = users / max(1, int(self.users[-1]))
        while True:
            listed = self._list(sample, price, f"sample-{self.sampled}", listed, reach)
            self.sampled += 1
            better, lowest = better_prices(listed, self.rooms, price if warm or not first else None, share)
            loss, luck = dual_bound(listed, self.rooms, price, share) - lowest, LUCK * int((price > 0).sum()) / users * (share < 1.0)
            enough = max(KNOWN, luck) if warm and first and share < 1.0 else max(CLOSE, DOUBT * luck)
            if loss <= enough * abs(lowest) or self.sampled >= PASSES:
                return price, listed
            price, first = better, False

    def settle(self, price: FloatArray, known: Listed | None, reach: float) -> Allocated:
        """The plan at `price` or better ones, with every quota kept. known: what everybody would do at `price`, where that was asked;
        reach: as PlanContext's.
        """
        nets, asked = list[tuple[FloatArray, float]](), known is not None
        while True:
            if not asked:
                known = self._list(self.offers, price, f"whole-{self.whole}", known, reach)
                self.whole += 1
            assert known is not None
            nets.append((price, net_of_choosers(known)))
            bound, asked = min(dual_bound(known, self.rooms, at, net=net) for at, net in nets), False  # all at this pass's draws
            found = allot(known, self.rooms, price)
            if reach < np.inf and (found.taken < self.rooms.low).any():
                reach = np.inf  # what menus left out may meet a minimum
            elif self.whole >= ROUNDS or bound - found.value <= GOOD * abs(bound) or bound - found.lowest <= CLOSE * abs(bound):
                break
            else:
                price, reach = found.prices, 2.0 * reach
        self._check_minimums(found.taken)
        if bound - found.value > GOOD * abs(bound) and bound - found.lowest > CLOSE * abs(bound):
            self.unsettled = min(1.0, (bound - found.lowest) / abs(bound))
        ruled = np.flatnonzero(found.bits != known.own)
        ruled = ruled[np.argsort(known.user[ruled])]
        return self.decided(price, bound, Overruled(known.user[ruled], found.bits[ruled]))

    def decided(self, price: FloatArray, bound: float, overruled: Overruled) -> Allocated:
        """Everybody's decisions at `price`."""
        context = self.context.with_market(replace(self.market, price=price), overruled)
        parts = self.office.run(DECIDE, self.offers, context, "decide")
        return Allocated(parts, context, bound, self.sampled, self.whole, self.unsettled)

    def _list(self, parts: Sequence[Path], price: FloatArray, name: str, before: Listed | None, reach: float) -> Listed:
        """What the users of some parts would do at `price`, and what else they could; with what was known `before`."""
        context = self.context.with_market(replace(self.market, price=price), reach=reach)
        made = self.office.run(LIST, parts, context, name)
        seen = read_menus(batch for part in made for batch in read_batches(part))
        return seen if before is None else seen.after(before)

    def _check_minimums(self, taken: IntArray) -> None:
        for number in np.flatnonzero(taken < self.rooms.low):
            name = self.context.cell_name(int(np.flatnonzero(self.market.place == number)[0]))
            least, most = self.rooms.low[number], taken[number]
            raise DataError(
                f"quota of {name}: at least {least} sends are asked for, but rules and other quotas leave room for {most}",
                "lower its min_sends, or loosen what stands in its way",
            )
