"""The fatigue curve of each channel as data shows it, beside what the config says; what plans and people read of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.errors import DataError
from notif_rec.scoring.fatigue_state import DAY_US

FloatArray = npt.NDArray[np.float64]
USUAL_HALF_LIFE_US, USUAL_STRENGTH = 3.0 * DAY_US, 0.3  # believed where the config says nothing; no value was ever published
STRONGEST = 0.999


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
    """What the config's fatigue rules say of one channel. strength: (n_channels,) by the channel that tires it; said: whether any does."""

    half_life_us: float
    strength: tuple[float, ...]
    said: bool

    def slopes(self, rate: float) -> FloatArray:
        """The strengths as slopes of the logit at answer rate `rate`."""
        return -np.log1p(-np.minimum(self.strength, STRONGEST)) / (1.0 - rate)


@dataclass(frozen=True)
class ChannelFatigue:
    """How one channel's users tire: p × Π over sources of (1 − strength)^F, F with this half-life.

    strength: by the channel that tires, in the config's order; below 0 an earlier send helps. ignored: share of p that each ignored send in a
    row takes. spread: standard deviation of users' own logits. fitted: False where there were too few answers to learn from.
    """

    channel: str
    sends: int
    answers: int
    half_life_us: Estimate
    strength: tuple[Estimate, ...]
    ignored: Estimate
    spread: float
    fitted: bool
    written: Written

    @classmethod
    def believed(
        cls, channels: Sequence[str], target: int, written: Written, sends: int, answers: int, *sd: float
    ) -> ChannelFatigue:
        """What is believed before any data: the config's values, as wide as the fit's beliefs. sd: half-life, own, other, ignored."""
        own = [sd[1] if source == target else sd[2] for source in range(len(channels))]
        slopes = written.slopes(0.0)

        def share(slope: float, wide: float) -> Estimate:
            return Estimate(slope, slope - 1.96 * wide, slope + 1.96 * wide).mapped(lambda s: 1.0 - float(np.exp(-s)))

        log = float(np.log(written.half_life_us))
        return cls(
            channel=channels[target],
            sends=sends,
            answers=answers,
            half_life_us=Estimate(log, log - 1.96 * sd[0], log + 1.96 * sd[0]).mapped(lambda x: float(np.exp(x))),
            strength=tuple(share(float(s), wide) for s, wide in zip(slopes, own, strict=True)),
            ignored=share(0.0, sd[3]),
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
