"""The whole contract of a rule: a filter allows moments, a cap limits how many, a weight lowers value.

A rule is a frozen pydantic model registered under its `rule` literal; its fields are its schema in the config.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field

from notif_rec.strict_yaml import StrictModel

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]

REGISTRY: dict[str, type[Rule]] = {}


@dataclass(frozen=True)
class Moments:
    """The moments of a plan for a batch of users.

    utc_us: (n_moments,) int64, ascending. zone: (n_users,) row of `wall_us`. wall_us: (n_zones, n_moments) int64, the wall
    clock as microseconds since 1970-01-01 00:00 of that wall clock. zone_names: (n_zones,) IANA names. zone_known: (n_users,)
    False where the user has none and the config's stands in.
    """

    utc_us: IntArray
    zone: IntArray
    wall_us: IntArray
    zone_names: Sequence[str]
    zone_known: BoolArray


@dataclass(frozen=True)
class UserBatch:
    """What filters may know of each user; every array has one row a user.

    consent: (n_users, n_channels) int8 codes of tables.CONSENTS. ignored, ignored_us: (n_users, n_channels).
    channels: the names behind the channel axis. active: (n_channels,) channels with an open or click in the last 30 days.
    """

    channels: Sequence[str]
    consent: npt.NDArray[np.int8]
    ignored: npt.NDArray[np.int32]
    ignored_us: IntArray
    active: BoolArray


@dataclass(frozen=True)
class CapSpec:
    """At most `maximum` sends of a kind in any `window_us`, or in each calendar period of the user's wall clock.

    per: 'rolling', 'calendar_day', 'calendar_week' or 'calendar_month' (window_us counts for 'rolling' alone).
    category: counts only sends that hold an item of it. same_item: counts per item (no_repeat).
    """

    channels: tuple[str, ...]
    maximum: int
    per: Literal["rolling", "calendar_day", "calendar_week", "calendar_month"] = "rolling"
    window_us: int = 0
    category: str | None = None
    same_item: bool = False


@dataclass(frozen=True)
class FatigueSpec:
    """Value is multiplied by (1 − strength)^F, F = Σ over earlier sends on `channels` of 2^(−Δt / half_life_us)."""

    channels: tuple[str, ...]
    half_life_us: int
    strength: float


class Rule(StrictModel):
    """One entry under `rules:`. `channels` empty = all configured channels."""

    rule: str
    channels: tuple[str, ...] = ()
    exempt: tuple[Literal["marketing", "transactional"], ...] = Field(default=(), description="item classes that it does not bind")
    count_exempt: bool = Field(default=True, description="whether sends of exempt classes count all the same")
    precedence: ClassVar[int] = 50  # of several rules that block a candidate, the lowest is the headline

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "rule" not in cls.__annotations__:
            return
        annotation = cls.__annotations__["rule"]
        name = get_args(annotation)[0] if not isinstance(annotation, str) else annotation.split('"')[1]
        if name in REGISTRY:
            raise TypeError(f"two rules are called '{name}': {REGISTRY[name].__module__} and {cls.__module__}")
        REGISTRY[name] = cls


class Filter(Rule):
    """Allows or forbids a moment."""

    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        """True where a send may go out; broadcastable to (n_users, n_channels, n_moments).

        Need not look at `channels` or `exempt`: the caller limits the answer to them.
        """
        raise NotImplementedError


class Cap(Rule):
    """Limits how many."""

    def limit(self, channels: tuple[str, ...]) -> CapSpec:
        """What is counted and how many may be; `channels` is the rule's own or all configured ones."""
        raise NotImplementedError


class Weight(Rule):
    """Lowers value."""

    def fatigue(self, channels: tuple[str, ...]) -> FatigueSpec:
        """How earlier sends lower the value of the next."""
        raise NotImplementedError
