"""How others plan, as functions like `plan_batch`: the same users, rules and moments, but another idea of what to send.

They share what a fair comparison must share (candidates' eligibility, consent, every filter and cap of the policy), and choose by
score or popularity, first come first served: no probabilities, no value, no personal hours, no price for the next send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.engines.engine import Engine, Progress, R, T, Task
from notif_rec.planning.choose import Choice, choose, past_of, pool_of
from notif_rec.planning.context import PlanContext, Worth
from notif_rec.planning.decisions import decisions_of
from notif_rec.planning.drops import count_drops
from notif_rec.planning.offered import Offers
from notif_rec.planning.offers import make_offers
from notif_rec.planning.plan_batch import plan_batch
from notif_rec.planning.select import agreeing
from notif_rec.tables import CLASSES

Planner = Callable[[pa.RecordBatch, PlanContext], pa.RecordBatch]
ANYTHING = Worth(opened=1.0, clicked=1.0, unsubscribed=0.0)  # nothing is ever worth less than nothing
MARKETING = CLASSES.index("marketing")


def score_first(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """Each user's messages by the model's score, the best first, as many as the rules allow; as `plan_batch`."""
    return _first_come(users, careless(context))


def popular_first(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    """What is popular with everybody to everybody, as often as the rules allow; as `plan_batch`."""
    return _first_come(_without_taste(users), _of_strangers(careless(context)))


def careless(context: PlanContext) -> PlanContext:
    """The context without a sense of worth: any send is good, at the channel's best hour, which is everybody's."""
    hours = context.engagement.hours
    engagement = replace(context.engagement, hours=replace(hours, pull=np.zeros_like(hours.pull)))
    settings = replace(context.settings, worth=ANYTHING, exploration=0.0)
    return replace(context, engagement=engagement, settings=settings)


def _of_strangers(context: PlanContext) -> PlanContext:
    """The context with a model that has never met anybody."""
    model = context.model
    return replace(context, model=replace(model, user_row=np.full_like(model.user_row, -1)))


def _without_taste(users: pa.RecordBatch) -> pa.RecordBatch:
    """The users with nothing that tells one from another; what they have seen stays."""
    for name in ("taste_item", "taste_channel", "taste_weight"):
        at = users.schema.get_field_index(name)
        users = users.set_column(at, users.schema.field(at), pa.array([[]] * users.num_rows, users.schema.field(at).type))
    at = users.schema.get_field_index("segment")
    return users.set_column(at, users.schema.field(at), pa.array(np.full(users.num_rows, -1), pa.int32()))


def _first_come(users: pa.RecordBatch, context: PlanContext) -> pa.RecordBatch:
    offers = make_offers(users, context)
    choice = _choice(offers, _served(offers, context), context)
    return decisions_of(offers, choice, count_drops(offers, choice, context), context)


def _served(offers: Offers, context: PlanContext) -> npt.NDArray[np.bool_]:
    """(n_offers,) True for what is sent: offers by falling score, each taken where the rules allow it beside those taken before."""
    pool, past, owner = pool_of(offers, context), past_of(offers), offers.owner()
    tireless = context.fatigues._replace(keep=np.ones_like(context.fatigues.keep))
    score = offers.score[:, 0]
    order = np.lexsort((pool.tie, -score, owner))
    open_ = ~(offers.verdict.held[owner] & (pool.item_class == MARKETING))
    taken = np.zeros(offers.n, dtype=np.bool_)
    while True:
        fits = agreeing(pool, past, offers.verdict.room, context.caps, tireless, taken) & open_
        rows = order[fits[order]]
        first = rows[np.diff(owner[rows], prepend=-1) != 0]
        if not len(first):
            return taken
        taken[first] = True


def _choice(offers: Offers, sent: npt.NDArray[np.bool_], context: PlanContext) -> Choice:
    """The choice that sends these; of what a plan would have chosen nothing is left."""
    value = np.bincount(offers.owner()[sent], offers.value[sent], offers.users.n).astype(np.float64)
    none, certain = np.zeros_like(sent), sent.astype(np.float64)
    return replace(
        choose(offers, context), sent=sent, shadow=none, discount=np.ones(offers.n), propensity=certain, value=value, bound=value
    )


@dataclass(frozen=True)
class Instead:
    """An engine on which `plan_batch` is another planner; everything before and after it is the real pipeline."""

    engine: Engine
    planner: Planner

    @property
    def apart(self) -> bool:
        """As Engine.apart."""
        return self.engine.apart

    @property
    def threads(self) -> int:
        """As Engine.threads."""
        return self.engine.threads

    def each(self, work: Callable[[T], R], things: Sequence[T], stage: str, progress: Progress) -> Iterator[R]:
        """As Engine.each."""
        return self.engine.each(work, things, stage, progress)

    def map_parts(self, task: Task, parts: Sequence[Path], sink: Path, context: Path, progress: Progress) -> list[Path]:
        """As Engine.map_parts."""
        task = replace(task, function=self.planner) if task.function is plan_batch else task
        return self.engine.map_parts(task, parts, sink, context, progress)
