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
    """channels in the config's order; one entry of `consent`, `benchmarks` and `tiring_half_life_us` each. Spans in microseconds.

    lookback_us: how far back the rules and fatigue look. response_us: how far back features look. half_life_us: 0 = taste never fades.
    attribution_us, leave_us: within which an answer, or a leave, belongs to a send. horizon_us: from a plan to the next.
    learn_us: how far back sends are learned from.
    benchmarks: rates of opens and clicks that thin histories lean on. tiring_half_life_us, spill: features.Lens.
    """

    channels: tuple[str, ...]
    consent: tuple[str, ...]
    categories: tuple[str, ...] = ()
    audiences: tuple[str, ...] = ()
    event_weights: Mapping[str, float] = field(default_factory=dict)
    timezone: str = "UTC"
    half_life_us: int = 90 * DAY_US
    hours_half_life_us: int = 60 * DAY_US
    lookback_us: int = 90 * DAY_US
    attribution_us: int = 7 * DAY_US
    leave_us: int = 28 * DAY_US
    response_us: int = 180 * DAY_US
    learn_us: int = 730 * DAY_US
    horizon_us: int = DAY_US
    benchmarks: tuple[tuple[float, float], ...] = ()
    tiring_half_life_us: tuple[float, ...] = ()
    spill: tuple[tuple[float, ...], ...] = ()
    segments: SegmentMap = SegmentMap()

    def __post_init__(self) -> None:
        if len(self.categories) > MOST_CATEGORIES:
            raise ConfigError(
                f"rules and quotas name {len(self.categories)} categories, at most {MOST_CATEGORIES} can be counted",
                "name fewer categories, or give several of them one name in the items file",
            )
        for name in ("consent", "benchmarks", "tiring_half_life_us", "spill"):
            if len(getattr(self, name)) not in ((len(self.channels),) if name == "consent" else (0, len(self.channels))):
                raise BugError(f"{len(self.channels)} channels, but {len(getattr(self, name))} entries of {name}")

    @cached_property
    def parsed_audiences(self) -> tuple[Audience, ...]:
        """The audiences, parsed; raises DataError for one that cannot be read."""
        return tuple(parse_audience(text) for text in self.audiences)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Every attribute that an audience or the segments ask for, sorted."""
        asked = {key for audience in self.parsed_audiences for key, _ in audience}
        return tuple(sorted(asked | set(self.segments.attributes)))
