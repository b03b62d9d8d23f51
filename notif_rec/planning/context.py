"""Everything `plan_batch` needs besides the users: settings, rules, items, model; loaded once a process, never changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.errors import ConfigError
from notif_rec.models.model import Model
from notif_rec.planning.caps import Caps, Fatigues, Recoveries, caps_of, fatigues_of, recoveries_of
from notif_rec.planning.cells import ANY, Limits, Quota, limits_of
from notif_rec.planning.grid import STEP_US, Grid, grid_between
from notif_rec.planning.weekly import Weekly
from notif_rec.policy.rule import Rule
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.incremental import Incremental
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
MAX_OFFERS = 1000
EVERYBODY = -1  # an item without an audience
NEVER_EXPIRES = np.iinfo(np.int64).max
ALWAYS_THERE = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Channel:
    """One entry of `channels:` in the config, as far as planning cares."""

    name: str
    items_per_send: int = 1
    max_sends: int = 1
    exclude_seen: bool = True
    cost: float = 0.0


@dataclass(frozen=True)
class Worth:
    """What an outcome is worth (config `value:`)."""

    opened: float = 0.1
    clicked: float = 1.0
    unsubscribed: float = -30.0


@dataclass(frozen=True)
class Settings:
    """The scalars of a plan. Spans and times in microseconds (UTC). node_limit: search steps a user before the bound must do.

    exploration: share of (user, channel) pairs whose send chance decides. temperature: of values, by which it weighs them; None = alike.
    """

    as_of_us: int
    lead_us: int
    horizon_us: int
    timezone: str = "UTC"
    worth: Worth = Worth()
    seed: int = 1
    holdout: float = 0.0
    holdout_salt: str = ""
    exploration: float = 0.0
    temperature: float | None = None
    max_offers: int = 24
    candidates: int = 50
    node_limit: int = 20_000

    @property
    def end_us(self) -> int:
        return self.as_of_us + self.horizon_us


@dataclass(frozen=True)
class Items:
    """What a send must know of each item; every array has one entry a row of the model's items, so that a smaller row is a smaller id.

    channels: (n_items, n_channels) True where the item fits the channel. created_us ≤ send_at < expires_us. item_class: code in
    CLASSES. audience: place in PlanContext.audiences or EVERYBODY. category: place in category_names, -1 = none.
    categories: the bit of PlanContext.categories. withdrawn items fit no channel. age, and popularity (n_items, n_channels, 2) by opens
    and by clicks: parts of cells (scoring/item_parts.py).
    """

    channels: npt.NDArray[np.bool_]
    created_us: IntArray
    expires_us: IntArray
    item_class: npt.NDArray[np.int8]
    audience: npt.NDArray[np.int16]
    category: npt.NDArray[np.int32]
    categories: npt.NDArray[np.uint64]
    value: npt.NDArray[np.float64]
    age: npt.NDArray[np.int8]
    popularity: npt.NDArray[np.int8]
    category_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Market:
    """The quotas' cells (planning/cells.py) that can bind, and what they cost now.

    place: (n_cells,) its number among those in play, -1 = it cannot bind. price: (n_in_play,) per unit; unit: amounts that are one.
    shut: those that are used up, so that no offer may take of them.
    """

    place: npt.NDArray[np.int32]
    price: npt.NDArray[np.float64]
    unit: npt.NDArray[np.float64]
    shut: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Overruled:
    """Users whose own choice the quotas had no room for, by code, and what they get: bit i is their i-th offer."""

    user: npt.NDArray[np.int32]
    bits: npt.NDArray[np.uint64]


NOBODY = Overruled(np.zeros(0, np.int32), np.zeros(0, np.uint64))


class Lanes(NamedTuple):
    """One row a (channel, item class) that has items: candidates are ranked, and messages filled, within a lane.

    size: items a message. spacing: moments between a user's anchors on the channel; group: channels that share them.
    exclusive: (n, n) 1 where an item sent in one lane may not follow in the other. capped: bits of categories that a cap limits.
    """

    channel: IntArray
    item_class: IntArray
    size: IntArray
    spacing: IntArray
    group: IntArray
    exclusive: npt.NDArray[np.uint8]
    capped: npt.NDArray[np.uint64]


class ItemFacts(NamedTuple):
    """The part of Items that compiled code reads. plain: (n_lanes, n_items) live all along, and in no category that a cap limits there."""

    created_us: IntArray
    expires_us: IntArray
    categories: npt.NDArray[np.uint64]
    value: npt.NDArray[np.float64]
    plain: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PlanContext:
    """A plan's fixed part. rules: as policy.load.binding_rules gives them. active: per channel, an open or click in the last 30 days.

    curve: how users tire, for rules that learn. n_item_codes: how many codes the store's dictionary of items has. incremental: what sends
    add, None = they are valued by response. weekly: the weekly budget of each channel, None where it has none; empty = none has. reach:
    a menu leaves out what is worth so much less than the best, prices paid.
    """

    settings: Settings
    channels: tuple[Channel, ...]
    rules: tuple[Rule, ...]
    categories: tuple[str, ...]
    audiences: tuple[str, ...]
    items: Items
    model: Model
    engagement: Engagement
    active: tuple[bool, ...]
    curve: FatigueCurve | None = None
    paused: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    market: Market | None = None
    overruled: Overruled = NOBODY
    incremental: Incremental | None = None
    weekly: tuple[Weekly | None, ...] = ()
    reach: float = np.inf

    def __post_init__(self) -> None:
        if len(self.rules) > MAX_RULES:
            raise ConfigError(f"{len(self.rules)} rules, at most {MAX_RULES} can be told apart", "merge rules that say the same")
        if not 1 <= self.settings.max_offers <= MAX_OFFERS:
            raise ConfigError(f"max_offers {self.settings.max_offers} is outside 1 to {MAX_OFFERS}", "24 loses little")

    def with_market(self, market: Market, overruled: Overruled = NOBODY, reach: float = np.inf) -> PlanContext:
        return replace(self, market=market, overruled=overruled, reach=reach)

    @cached_property
    def all_limits(self) -> Limits:
        """The quotas with all their cells."""
        costs = [channel.cost for channel in self.channels]
        return limits_of(self.quotas, self.names, costs, self.model.item_ids, self.categories, self.audiences)

    def cell_name(self, number: int) -> str:
        """What a cell of the quotas is for: `email`, `item i7 on push`."""
        place = int(np.searchsorted(self.all_limits.base, number, side="right")) - 1
        item = self.model.item_ids[number - int(self.all_limits.base[place])] if self.quotas[place].item == ANY else None
        return self.quotas[place].named(item)

    @cached_property
    def limits(self) -> Limits:
        """The quotas with those of their cells that the market has in play (all, before there is one)."""
        return self.all_limits if self.market is None else self.all_limits._replace(place=np.array(self.market.place))

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    @cached_property
    def grid(self) -> Grid:
        return grid_between(self.settings.as_of_us + self.settings.lead_us, self.settings.end_us)

    @cached_property
    def caps(self) -> Caps:
        return caps_of(self.rules, self.names, self.categories)

    @cached_property
    def fatigues(self) -> Fatigues:
        return fatigues_of(self.rules, self.names, self.curve, self.engagement.knowing, self.settings.as_of_us)

    @cached_property
    def recoveries(self) -> Recoveries:
        return recoveries_of(self.rules, self.names)

    @cached_property
    def name_order(self) -> IntArray:
        """Per channel its place in the alphabet: of two sends at one moment, the first name counts as the earlier."""
        return np.argsort(np.argsort(np.array(self.names))).astype(np.int64)

    @cached_property
    def lookup(self) -> npt.NDArray[np.int32]:
        """Row of the model's items by item code of the store, -1 = unknown."""
        return self.model.item_rows(int(self.model.item_codes.max(initial=-1)) + 1)

    @cached_property
    def facts(self) -> ItemFacts:
        own, moments = self.items, self.grid.moments_us()
        live = np.zeros(len(own.value), np.bool_) if not len(moments) else (own.created_us <= moments[0]) & (own.expires_us > moments[-1])
        plain = live & ((np.array(own.categories)[None, :] & self.lanes.capped[:, None]) == 0)
        return ItemFacts(np.array(own.created_us), np.array(own.expires_us), np.array(own.categories), np.array(own.value), plain)

    @cached_property
    def lanes(self) -> Lanes:
        return lanes_of(self.channels, self.items, self.caps, self.grid)


RESERVED_BITS = 14  # reasons that are no rules (planning/reasons.py)
MAX_RULES = 64 - RESERVED_BITS
SHORT_SPACING = 12  # moments (3 h) between anchors where no rule asks for more


def lanes_of(channels: Sequence[Channel], items: Items, caps: Caps, grid: Grid) -> Lanes:
    """The lanes in the order of channels, then of classes."""
    present = [(c, k) for c in range(len(channels)) for k in range(len(CLASSES)) if np.any(items.channels[:, c] & (items.item_class == k))]
    channel, item_class = (np.array([lane[i] for lane in present], dtype=np.int64) for i in (0, 1))
    spacing, group = _anchors(len(channels), caps, grid)
    bound = caps.channels[:, channel] * caps.binds[:, item_class]  # (n_caps, n_lanes)
    counted = caps.channels[:, channel] * caps.counts[:, item_class]
    repeats = caps.same_item[:, None, None] * (bound[:, :, None] * counted[:, None, :] | counted[:, :, None] * bound[:, None, :])
    capped = [int(np.bitwise_or.reduce(caps.category[bound[:, lane] > 0], initial=0)) for lane in range(len(present))]
    return Lanes(
        channel=channel,
        item_class=item_class,
        size=np.array([channels[c].items_per_send for c, _ in present], dtype=np.int64),
        spacing=spacing[channel],
        group=group[channel],
        exclusive=repeats.max(axis=0, initial=0).astype(np.uint8),
        capped=np.array(capped, dtype=np.uint64),
    )


def _anchors(n_channels: int, caps: Caps, grid: Grid) -> tuple[IntArray, IntArray]:
    """Per channel the longest gap (in moments) that some rule keeps and that leaves a plan room for two, and who shares it."""
    spacing = np.full(n_channels, SHORT_SPACING, dtype=np.int64)
    group = np.arange(n_channels, dtype=np.int64)
    gaps = (caps.maximum == 1) & (caps.per == 0) & (caps.category == 0) & (caps.same_item == 0)
    steps = -(-caps.window_us // STEP_US)
    for cap in sorted(np.flatnonzero(gaps & (steps > 1) & (steps < grid.n)), key=lambda c: int(steps[c])):
        members = np.flatnonzero(caps.channels[cap])
        spacing[members], group[members] = steps[cap], members.min(initial=n_channels)
    widest = np.array([spacing[group == g].max() for g in group], dtype=np.int64)
    return widest, group
