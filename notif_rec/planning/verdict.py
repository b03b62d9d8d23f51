"""What may reach whom and when, before any choice: consent, filters and caps as sets of moments, with the rules that closed them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from notif_rec.planning.blocking import Clock, blocked_by_history
from notif_rec.planning.chance import held_out
from notif_rec.planning.context import PlanContext
from notif_rec.planning.grid import Words, pack
from notif_rec.planning.reasons import HOLDOUT, MAX_SENDS, PAUSED, SUPPRESSED, bit
from notif_rec.planning.users import Users
from notif_rec.policy.local_time import zone_codes
from notif_rec.policy.rule import Filter, Moments, Rule, UserBatch
from notif_rec.scoring.send_time import week_hour
from notif_rec.tables import CLASSES

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Verdict:
    """Per user and lane, whatever the item.

    open: (n_users, n_lanes, n_words) moments that filters and caps leave. full, touch: (n_users, n_lanes) bits of the reasons that
    close every moment alone, and that close some. blocked: (n_users, n_caps, n_words) what each cap closes, given the sends known.
    room: (n_users, n_channels) messages that max_sends still allows. held: (n_users,) in the holdout.
    """

    open: Words
    full: Words
    touch: Words
    blocked: Words
    room: npt.NDArray[np.int64]
    held: BoolArray
    clock: Clock
    hour: npt.NDArray[np.int64]  # (n_zones, n_moments) local hour of the week
    periods: npt.NDArray[np.int64]  # (len(PER), n_zones, n_moments)


def judge(users: Users, context: PlanContext) -> Verdict:
    """The verdict on a batch; `open` ignores the holdout, whose shadow sends are planned like any other."""
    names, zone, known = zone_codes(users.timezone, context.settings.timezone)
    moments_us = context.grid.moments_us()
    clock = Clock(names or (context.settings.timezone,), zone, context.settings.as_of_us, context.settings.end_us)
    wall_us = clock.wall_us(moments_us)
    moments = Moments(moments_us, clock.zone, wall_us, clock.names, known)
    held = held_out(users.user_id, context.settings.holdout_salt, context.settings.holdout)
    room = _room(users, context)
    closed, full, touch = _filtered(users, context, moments)
    blocked = blocked_by_history(users.sends, context.caps, context.grid, clock)
    open_words = pack(~closed)
    _apply_caps(context, blocked, open_words, full, touch)
    _close_lanes(users, context, room, open_words, full)
    return Verdict(open_words, full, touch, blocked, room, held, clock, week_hour(wall_us), clock.periods_of_moments(moments_us))


def _room(users: Users, context: PlanContext) -> npt.NDArray[np.int64]:
    """max_sends less our own sends in [as_of, as_of + horizon), whichever plan made them."""
    sends, settings = users.sends, context.settings
    owner = np.repeat(np.arange(users.n), np.diff(sends.start))
    within = (sends.ours > 0) & (sends.channel >= 0) & (sends.us >= settings.as_of_us) & (sends.us < settings.end_us)
    cell = owner[within] * len(context.channels) + sends.channel[within]
    used = np.bincount(cell, minlength=users.n * len(context.channels)).reshape(users.n, len(context.channels))
    most = np.array([channel.max_sends for channel in context.channels], dtype=np.int64)
    return np.asarray(np.maximum(most - used, 0), dtype=np.int64)


def _filtered(users: Users, context: PlanContext, moments: Moments) -> tuple[BoolArray, Words, Words]:
    """(n_users, n_lanes, n_moments) closed by filters, and the bits of those that closed all and some."""
    lanes = context.lanes
    shape = (users.n, len(lanes.channel), context.grid.n)
    closed = np.zeros(shape, dtype=np.bool_)
    full, touch = (np.zeros(shape[:2], dtype=np.uint64) for _ in range(2))
    batch = UserBatch(context.names, users.consent, users.ignored, users.ignored_us, np.array(context.active, dtype=np.bool_))
    for number, rule in enumerate(context.rules):
        if not isinstance(rule, Filter):
            continue
        shut = ~np.asarray(rule.allows(batch, moments), dtype=np.bool_)
        some, every = np.asarray(shut.any(axis=-1)), np.asarray(shut.all(axis=-1))  # (n_users or 1, n_channels or 1)
        for lane in _lanes_bound(rule, context):
            at = lanes.channel[lane] if shut.shape[1] > 1 else 0
            closed[:, lane] |= shut[:, at]
            full[:, lane] |= np.where(every[:, at], bit(number), np.uint64(0))
            touch[:, lane] |= np.where(some[:, at], bit(number), np.uint64(0))
    return closed, full, touch


def _lanes_bound(rule: Rule, context: PlanContext) -> list[int]:
    lanes, names = context.lanes, rule.channels or context.names
    pairs = enumerate(zip(lanes.channel, lanes.item_class, strict=True))
    return [lane for lane, (channel, k) in pairs if context.names[channel] in names and CLASSES[k] not in rule.exempt]


def _apply_caps(context: PlanContext, blocked: Words, open_words: Words, full: Words, touch: Words) -> None:
    """Closes what caps on whole messages block, and notes which did; caps on categories and items wait for the item."""
    caps, lanes = context.caps, context.lanes
    everything = pack(np.ones(context.grid.n, dtype=np.bool_))
    for cap in np.flatnonzero((caps.same_item == 0) & (caps.category == 0)):
        some, every = (blocked[:, cap] != 0).any(axis=1), (blocked[:, cap] == everything).all(axis=1)
        mark = bit(int(caps.rule[cap]))
        for lane in np.flatnonzero(caps.channels[cap, lanes.channel] * caps.binds[cap, lanes.item_class]):
            open_words[:, lane] &= ~blocked[:, cap]
            full[:, lane] |= np.where(every, mark, np.uint64(0))
            touch[:, lane] |= np.where(some, mark, np.uint64(0))


def _close_lanes(users: Users, context: PlanContext, room: npt.NDArray[np.int64], open_words: Words, full: Words) -> None:
    """Closes what no moment can mend: suppressed users, paused channels, channels without room."""
    for lane, channel in enumerate(context.lanes.channel):
        name = context.names[channel]
        paused = np.full(users.n, name in context.paused or "" in context.paused)
        for shut, reason in ((users.suppressed[:, channel], SUPPRESSED), (paused, PAUSED), (room[:, channel] <= 0, MAX_SENDS)):
            full[:, lane] |= np.where(shut, bit(reason), np.uint64(0))
            open_words[shut, lane] = 0


def shadow_bits(verdict: Verdict, context: PlanContext) -> Words:
    """(n_users, n_lanes) the holdout's bit where a held-out user's lane is marketing."""
    marketing = context.lanes.item_class == CLASSES.index("marketing")
    return np.where(verdict.held[:, None] & marketing[None, :], bit(HOLDOUT), np.uint64(0))
