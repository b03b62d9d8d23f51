"""The fatigue curve of each channel as data shows it, beside what the config says; what plans and people read of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.errors import DataError

FloatArray = npt.NDArray[np.float64]
DAY_US = 86_400_000_000
USUAL_HALF_LIFE_US, USUAL_STRENGTH = 3.0 * DAY_US, 0.3  # believed where the config says nothing; no value was ever published
FAINTEST, STRONGEST, AT_95, NINE_TENTHS = 0.005, 0.999, 1.96, 0.9


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float

    def mapped(self, by: Callable[[float], float]) -> Estimate:
        """The same through a rising function."""
        return Estimate(by(self.value), by(self.low), by(self.high))


@dataclass(frozen=True)
class Written:
    """What the config's fatigue rules say of one channel, and how firmly that is believed.

    strength: (n_channels,) by the channel that tires it. said: whether any rule does. *_sd: one standard deviation of the logarithm of
    the half-life, and of slopes of the logit: evidence outweighs them as it grows.
    """

    half_life_us: float
    strength: tuple[float, ...]
    said: bool
    half_life_sd: float = 1.0
    own_sd: float = 0.5
    other_sd: float = 0.25
    ignored_sd: float = 0.25

    def slopes(self, rate: float) -> FloatArray:
        """The strengths as slopes of the logit at answer rate `rate`."""
        return np.asarray(-np.log1p(-np.minimum(self.strength, STRONGEST)) / (1.0 - rate))

    def slope_sd(self, target: int) -> FloatArray:
        """How firmly each is believed."""
        return np.where(np.arange(len(self.strength)) == target, self.own_sd, self.other_sd)


@dataclass(frozen=True)
class ChannelFatigue:
    """How users of one channel (of that place in the config) tire: p × Π over sources of (1 − strength)^F, F with this half-life.

    strength: by the channel that tires, in the config's order; below 0 an earlier send helps. ignored: share of p that each ignored send
    in a row takes. spread: standard deviation of users' own logits. fitted: False where there were too few answers to learn from.
    """

    channel: str
    place: int
    sends: int
    answers: int
    half_life_us: Estimate
    strength: tuple[Estimate, ...]
    ignored: Estimate
    spread: float
    fitted: bool
    written: Written

    def used(self, source: int) -> float:
        """The strength that plans reckon with: what helps, or takes next to nothing, counts as nothing."""
        strength = self.strength[source].value
        return min(strength, STRONGEST) if strength >= FAINTEST else 0.0

    def recovery_us(self, n: int) -> float:
        """How long until NINE_TENTHS of the value are back after `n` sends at once on the channel."""
        weight = -n * float(np.log1p(-self.used(self.place)))
        return self.half_life_us.value * float(np.log2(max(weight / -np.log(NINE_TENTHS), 1.0)))


def believed(channels: Sequence[str], target: int, written: Written, sends: int, answers: int) -> ChannelFatigue:
    """What is believed before any data: the config's values, as wide as they are believed."""

    def around(middle: float, sd: float) -> Estimate:
        return Estimate(middle, middle - AT_95 * sd, middle + AT_95 * sd)

    def share(slope: float, sd: float) -> Estimate:
        return around(slope, sd).mapped(lambda s: 1.0 - float(np.exp(-s)))

    return ChannelFatigue(
        channel=channels[target],
        place=target,
        sends=sends,
        answers=answers,
        half_life_us=around(float(np.log(written.half_life_us)), written.half_life_sd).mapped(lambda log: float(np.exp(log))),
        strength=tuple(share(*pair) for pair in zip(written.slopes(0.0).tolist(), written.slope_sd(target).tolist(), strict=True)),
        ignored=share(0.0, written.ignored_sd),
        spread=0.0,
        fitted=False,
        written=written,
    )


@dataclass(frozen=True)
class FatigueCurve:
    """One entry a channel, in the config's order."""

    channels: tuple[str, ...]
    fits: tuple[ChannelFatigue, ...]

    def of(self, channel: str) -> ChannelFatigue:
        return self.fits[self.channels.index(channel)]

    def to_json(self) -> str:
        """As one JSON object; `from_json` reads it back bit by bit."""
        return json.dumps({"channels": self.channels, "fits": [asdict(fit) for fit in self.fits]}, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> FatigueCurve:
        """Raises DataError where `text` is not what `to_json` wrote."""
        try:
            stored = json.loads(text)
            return cls(tuple(stored["channels"]), tuple(_fit(entry) for entry in stored["fits"]))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"the fatigue curve of a model is damaged: {error}", "train again") from None


def _fit(entry: Mapping[str, Any]) -> ChannelFatigue:
    written = Written(**{**entry["written"], "strength": tuple(entry["written"]["strength"])})
    estimates = {name: Estimate(**entry[name]) for name in ("half_life_us", "ignored")}
    strength = tuple(Estimate(**one) for one in entry["strength"])
    return ChannelFatigue(**{**entry, **estimates, "strength": strength, "written": written})
