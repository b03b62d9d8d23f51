"""The whole contract of a rule: a filter allows moments, a cap limits how many, a weight lowers value.

A rule is a frozen pydantic model registered under its `rule` literal; its fields are its schema in the config.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt
from pydantic import Field, SerializerFunctionWrapHandler, ValidationInfo, field_validator, model_serializer, model_validator

from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.strict_yaml import StrictModel

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
ItemClass = Literal["marketing", "transactional"]

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
    """Value is multiplied by (1 − strength)^F, F = Σ over earlier sends on `channels` of 2^(−Δt / half_life_us).

    tired: the channels whose value that is; empty = the same ones.
    """

    channels: tuple[str, ...]
    half_life_us: float
    strength: float
    tired: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecoverySpec:
    """An item's value is lowered by penalty · 2^(−age / half_life_us), age since it last went to the user on any of `channels`."""

    channels: tuple[str, ...]
    half_life_us: int
    penalty: float


class Rule(StrictModel):
    """One entry under `rules:`. `channels` empty = all configured channels."""

    rule: str
    channels: tuple[str, ...] = Field(default=(), description="the channels that it binds; left out = all")
    exempt: tuple[ItemClass, ...] = Field(default=(), description="item classes that it does not bind")
    precedence: ClassVar[int] = 50  # of several rules that block a candidate, the lowest is the headline

    @field_validator("channels", "exempt")
    @classmethod
    def _plain(cls, words: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if not words and info.field_name == "channels":
            raise ValueError("an empty list names no channel; leave the key out to mean all")
        doubled = sorted({w for w in words if words.count(w) > 1})
        if doubled:
            raise ValueError(f"{doubled[0]!r} stands twice")
        return words

    @model_serializer(mode="wrap")
    def _without_empty(self, standard: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {key: value for key, value in standard(self).items() if value not in ((), [], None)}

    def describe(self) -> str:
        """The rule on one line, as it may stand in the config."""
        fields = type(self).model_fields
        plain = {f.alias or n for n, f in fields.items() if isinstance(f.default, str | bool) and getattr(self, n) == f.default}
        given = {k: v for k, v in self.model_dump(mode="json").items() if k != "rule" and k not in plain}
        words = [f"{key}: {_plain(value)}" for key, value in given.items()]
        return f"{self.rule} {{{', '.join(words)}}}" if words else self.rule

    def with_curve(self, curve: FatigueCurve, channels: tuple[str, ...]) -> Rule:
        """The rule as past sends would have it; `channels` is its own or all configured ones. Most have nothing to learn."""
        return self

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name in get_args(cls.model_fields["rule"].annotation):
            if name in REGISTRY:
                raise TypeError(f"two rules are called '{name}': {REGISTRY[name].__module__} and {cls.__module__}")
            REGISTRY[name] = cls


def _plain(value: object) -> str:
    """A JSON value as a config spells it."""
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)


class Filter(Rule):
    """Allows or forbids a moment."""

    @abstractmethod
    def allows(self, users: UserBatch, moments: Moments) -> BoolArray:
        """True where a send may go out; broadcastable to (n_users, n_channels, n_moments).

        Need not look at `channels` or `exempt`: the caller limits the answer to them.
        """


class Counting(Rule):
    """A rule over earlier sends, which may leave sends of exempt classes out of its count."""

    count_exempt: bool = Field(default=True, description="whether sends of exempt classes count all the same")

    @model_validator(mode="after")
    def _exempt_something(self) -> Self:
        if not self.count_exempt and not self.exempt:
            raise ValueError("count_exempt: false says nothing without exempt: [...]")
        return self


class Cap(Counting):
    """Limits how many."""

    @abstractmethod
    def limit(self, channels: tuple[str, ...]) -> CapSpec:
        """What is counted and how many may be; `channels` is the rule's own or all configured ones."""


class Weight(Counting):
    """Lowers value."""

    learned: bool = Field(default=False, description="by what past sends show, leaning on what is written while they are few")

    @abstractmethod
    def fatigue(self, channels: tuple[str, ...]) -> FatigueSpec:
        """How earlier sends lower the value of the next."""


class ItemWeight(Counting):
    """Lowers the value of single items."""

    @abstractmethod
    def recovery(self, channels: tuple[str, ...]) -> RecoverySpec:
        """How a send of an item lowers the value of the same item later."""
