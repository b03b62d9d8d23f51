"""One user's fate, candidate by candidate: what is sent, and of the rest every reason, its counter and when it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.models.model import SOURCES
from notif_rec.planning.blocking import Clock, blocked_by_history
from notif_rec.planning.choose import Choice, choose
from notif_rec.planning.context import Overruled, PlanContext
from notif_rec.planning.gains import increment_of
from notif_rec.planning.grid import STEP_US, Grid, unpack
from notif_rec.planning.offers import Considered, consider
from notif_rec.planning.pacing import words_of_shares
from notif_rec.planning.reasons import CLOSED, WEEKLY, bit, by_precedence, reason_names
from notif_rec.planning.unchosen import charges, fate_masks, places
from notif_rec.policy.local_time import zone_codes
from notif_rec.policy.rule import Cap, Filter, Moments, Rule, UserBatch
from notif_rec.scoring.influence import Influence
from notif_rec.tables import CONSENTS

IntArray = npt.NDArray[np.int64]
AHEAD_US = 40 * 86_400_000_000  # how far ahead the next free moment is looked for
EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Reason:
    """Why a candidate is not sent. rule: as in the config, '' for what is no rule. counter: `n of m`. free_from: the next moment
    from the plan's start at which this reason alone would allow a send on the channel; None = none in 40 days, or not a matter of time.
    """

    name: str
    rule: str = ""
    counter: str = ""
    free_from: datetime | None = None


@dataclass(frozen=True)
class PlannedSend:
    """A send as the plan holds it; items by id."""

    channel: str
    at_us: int
    items: frozenset[str]


@dataclass(frozen=True)
class Fate:
    """A candidate. rank from 1 in the channel's list. value: of a send that holds it alone, at an hour of average weight, before fatigue.
    send_at where it is sent (or would be: shadow); else reasons, the headline first. influences: what moved its probabilities, where
    somebody asked. Where sends are valued by what they add: without, the days on which the user would come by anyway, and uplift, those
    that the best message of the channel adds.
    """

    channel: str
    item_id: str
    rank: int
    score: float
    source: str
    p_open: float
    p_click: float
    p_unsubscribe: float
    value: float
    send_at: datetime | None
    shadow: bool
    reasons: tuple[Reason, ...]
    influences: tuple[Influence, ...] = ()
    without: float | None = None
    uplift: float | None = None


def fates_of(user: pa.RecordBatch, context: PlanContext, sends: Sequence[PlannedSend] | None = None) -> list[Fate]:
    """Every candidate of the one user in `user` (tables.PLANNING_INPUT), by channel and rank.

    sends: what the plan holds for the user, where quotas may have overruled the user's own choice.
    """
    seen = consider(user, context, everything=True)
    own = choose(seen.offers, context)
    choice = own if sends is None else _as_planned(seen, own, sends, context)
    masks, order, clock = fate_masks(seen, own, choice, context), by_precedence(context.rules), _Ahead(seen, context)
    sent, shadow, charged = places(seen, choice.sent), places(seen, choice.shadow), charges(seen, context)
    ranking, found = seen.ranking, list[Fate]()
    for lane, channel in enumerate(context.lanes.channel.tolist()):
        increment = increment_of(lane, context)
        added = (None, None) if increment is None else increment.foretold(seen.users.features[:1, channel])
        for r in range(int((ranking.item[lane, 0] >= 0).sum())):
            item, numbers, place = int(ranking.item[lane, 0, r]), _numbers(masks[lane, r], order), (lane, r)
            if not numbers and place not in sent:
                numbers = _numbers(seen.verdict.full[0, lane] or seen.verdict.touch[0, lane], order)
            at = sent.get(place, shadow.get(place))
            lost = 0.0 if ranking.penalty is None else float(ranking.penalty[lane, 0, r])
            p_open, p_click, p_unsubscribe = ranking.p_open[lane, 0, r], ranking.p_click[lane, 0, r], ranking.p_unsubscribe[0, channel]
            found.append(
                Fate(
                    channel=context.names[channel],
                    item_id=context.model.item_ids[item],
                    rank=r + 1,
                    score=float(ranking.score[lane, 0, r]),
                    source=SOURCES[int(ranking.source[lane, 0, r])],
                    p_open=float(p_open),
                    p_click=float(p_click),
                    p_unsubscribe=float(p_unsubscribe),
                    value=_value(context, float(ranking.gain[lane, 0]), float(p_open), float(p_click), float(p_unsubscribe), item) - lost,
                    send_at=None if at is None else _time(context.grid.first_us + STEP_US * at),
                    shadow=place in shadow,
                    reasons=() if place in sent else tuple(clock.reason(n, channel, item, charged.get(place, "")) for n in numbers),
                    without=None if added[0] is None else float(added[0][0]),
                    uplift=None if added[1] is None else float(added[1][0]),
                )
            )
    return found


def _as_planned(seen: Considered, own: Choice, sends: Sequence[PlannedSend], context: PlanContext) -> Choice:
    """The user's own choice, or what the plan sends instead."""
    offers, planned = seen.offers, {(s.channel, s.at_us, s.items) for s in sends}
    ids = context.model.item_ids
    rows = [
        row
        for row in range(offers.n)
        if (
            context.names[context.lanes.channel[offers.lane[row]]],
            context.grid.first_us + STEP_US * int(offers.moment[row]),
            frozenset(ids[i] for i in offers.item[row] if i >= 0),
        )
        in planned
    ]
    if len(rows) != len(planned) or set(rows) == set(np.flatnonzero(own.sent).tolist()):
        return own
    bits = np.array([sum(1 << row for row in rows)], dtype=np.uint64)
    return choose(offers, replace(context, overruled=Overruled(offers.users.user, bits)))


def _value(context: PlanContext, gain: float, p_open: float, p_click: float, p_unsubscribe: float, item: int) -> float:
    worth = context.settings.worth
    answers = worth.opened * p_open + worth.clicked * float(context.items.value[item]) * p_click
    return gain * answers + worth.unsubscribed * p_unsubscribe


def _numbers(mask: np.uint64, order: IntArray) -> list[int]:
    """The reasons in a mask, the headline first."""
    return [int(number) for number in order if mask & bit(int(number))]


class _Ahead:
    """What each rule alone allows over the 40 days from the plan's start."""

    def __init__(self, seen: Considered, context: PlanContext) -> None:
        self.users, self.context, self.names = seen.users, context, reason_names(context.rules)
        users, self.shares = seen.users, words_of_shares(seen.offers, context)
        self.grid = Grid(context.grid.first_us, AHEAD_US // STEP_US)
        zones, zone, known = zone_codes(users.timezone, context.settings.timezone)
        self.clock = Clock(
            zones, zone, context.settings.as_of_us, context.settings.as_of_us + AHEAD_US + context.settings.lead_us + STEP_US
        )
        moments = self.grid.moments_us()
        self.moments = Moments(moments, self.clock.zone, self.clock.wall_us(moments), zones, known)
        self.blocked = unpack(blocked_by_history(users.sends, context.caps, self.grid, self.clock)[0], self.grid.n)
        active = np.array(context.active, dtype=np.bool_)
        self.batch = UserBatch(context.names, users.consent, users.ignored, users.ignored_us, active)

    def reason(self, number: int, channel: int, item: int, charge: str) -> Reason:
        """The reason of that number for an item on a channel; `charge`: what the quotas charge for it, in words."""
        if not 0 <= number < len(self.context.rules):
            words = {CLOSED: charge, WEEKLY: self.shares.get(self.context.names[channel], "")}
            return Reason(self.names[number], counter=words.get(number, ""))
        rule = self.context.rules[number]
        if isinstance(rule, Cap):
            counter, closed = self._cap(number, item)
        elif isinstance(rule, Filter):
            counter, closed = self._counter_of(rule, channel), self._closed_by(rule, channel)
        else:
            return Reason(self.names[number], rule.describe())
        free = np.flatnonzero(~closed)
        return Reason(self.names[number], rule.describe(), counter, _time(int(self.moments.utc_us[free[0]])) if len(free) else None)

    def _closed_by(self, rule: Filter, channel: int) -> npt.NDArray[np.bool_]:
        allowed = np.broadcast_to(rule.allows(self.batch, self.moments), (1, len(self.context.names), self.grid.n))
        return ~np.asarray(allowed[0, channel], dtype=np.bool_)

    def _counter_of(self, rule: Rule, channel: int) -> str:
        if rule.rule == "opt_in":
            return f"consent {CONSENTS[int(self.users.consent[0, channel])]}"
        if rule.rule == "back_off":
            return f"{int(self.users.ignored[0, channel])} ignored in a row"
        return ""

    def _cap(self, number: int, item: int) -> tuple[str, npt.NDArray[np.bool_]]:
        """`n of m` about the plan's first moment, and the moments that the cap closes."""
        caps, c = self.context.caps, int(np.flatnonzero(self.context.caps.rule == number)[0])
        if not caps.same_item[c]:
            return f"{self._near(c)} of {int(caps.maximum[c])}", self.blocked[c]
        times = self._times_of(item, c)
        close = np.abs(self.moments.utc_us[:, None] - times[None, :]) < caps.window_us[c]
        last = f"last sent {_time(int(times.max())):%Y-%m-%dT%H:%MZ}" if len(times) else ""
        return last, close.any(axis=1) if len(times) else np.zeros(self.grid.n, dtype=np.bool_)

    def _near(self, c: int) -> int:
        """Known sends that share the window before, or the calendar period of, the plan's first moment."""
        caps, sends, start = self.context.caps, self.users.sends, self.grid.first_us
        channel = sends.channel.astype(np.int64)
        counted = (channel >= 0) & (caps.channels[c, np.maximum(channel, 0)] > 0) & (caps.counts[c, sends.item_class] > 0)
        if caps.category[c]:
            counted &= (sends.categories & caps.category[c]) != 0
        if caps.per[c] == 0:
            return int((counted & (sends.us > start - caps.window_us[c]) & (sends.us < start + caps.window_us[c])).sum())
        periods = self.clock.periods_of_sends(sends.start, sends.us)[caps.per[c]]
        now = self.clock.periods_of_moments(self.moments.utc_us[:1])[caps.per[c], 0, 0]
        return int((counted & (periods == now)).sum())

    def _times_of(self, item: int, c: int) -> IntArray:
        sent, caps = self.users.sent_items, self.context.caps
        channel = sent.channel.astype(np.int64)
        mine = (sent.item == item) & (channel >= 0)
        mine &= (caps.channels[c, np.maximum(channel, 0)] > 0) & (caps.counts[c, sent.item_class] > 0)
        return np.asarray(sent.us[mine], dtype=np.int64)


def _time(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)
