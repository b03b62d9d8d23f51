"""What preparing must know besides the store: a small frozen bundle that workflows fill from the config and the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from notif_rec.errors import BugError, ConfigError
from notif_rec.planning.audience import Audience, parse_audience

DAY_US = 86_400_000_000
MOST_CATEGORIES = 64  # one bit each in PLANNING_INPUT.send_categories


@dataclass(frozen=True)
class SegmentMap:
    """Which of the model's segments a user falls into: the row of the texts of `attributes`, in their order.

    A user whose attributes, missing ones as '', are no key of `rows` has none.
    """

    attributes: tuple[str, ...] = ()
    rows: Mapping[tuple[str, ...], int] = field(default_factory=dict)


@dataclass(frozen=True)
class Facts:
    """channels in the config's order; one entry of `consent` and `click_rate` each. Spans and half-lives in microseconds.

    lookback_us: how far back the rules and fatigue look. response_us: how far back a user's own rates look.
    half_life_us: 0 = taste never fades.
    """

    channels: tuple[str, ...]
    consent: tuple[str, ...]
    categories: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    event_weights: Mapping[str, float] = field(default_factory=dict)
    timezone: str = "UTC"
    half_life_us: int = 90 * DAY_US
    hours_half_life_us: int = 30 * DAY_US
    lookback_us: int = 90 * DAY_US
    attribution_us: int = 7 * DAY_US
    response_us: int = 180 * DAY_US
    click_rate: tuple[float, ...] = ()
    segments: SegmentMap = SegmentMap()

    def __post_init__(self) -> None:
        if len(self.categories) > MOST_CATEGORIES:
            raise ConfigError(
                f"rules and quotas name {len(self.categories)} categories, at most {MOST_CATEGORIES} can be counted",
                "name fewer categories, or give several of them one name in the items file",
            )
        if len(self.consent) != len(self.channels) or (self.click_rate and len(self.click_rate) != len(self.channels)):
            raise BugError(f"{len(self.channels)} channels, {len(self.consent)} consents, {len(self.click_rate)} click rates")

    @cached_property
    def parsed_audiences(self) -> tuple[Audience, ...]:
        """The audiences, parsed; raises DataError for one that cannot be read."""
        return tuple(parse_audience(text) for text in self.audiences)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every attribute that an audience or the segments ask for, sorted."""
        asked = {key for audience in self.parsed_audiences for key, _ in audience}
        return tuple(sorted(asked | set(self.segments.attributes)))
