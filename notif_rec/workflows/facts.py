"""Config → the facts that preparing and learning share, so that both count the same way."""

from __future__ import annotations

import math
from datetime import timedelta

from notif_rec.config import Config
from notif_rec.models.model import Model
from notif_rec.planning.facts import Facts, SegmentMap
from notif_rec.scoring.engagement import prior_of
from notif_rec.scoring.fatigue import FatigueCurve


def facts_of(config: Config, curve: FatigueCurve | None = None) -> Facts:
    """What the config says, and the curve of how users tire, where there is one; no categories, audiences or segments."""
    half_life = config.model.half_life
    priors = [prior_of(name) for name in config.channel_names]
    return Facts(
        channels=config.channel_names,
        consent=tuple(c.consent for c in config.channels.values()),
        event_weights=dict(config.events),
        timezone=config.timezone,
        half_life_us=microseconds(half_life) if half_life else 0,
        attribution_us=microseconds(config.attribution),
        leave_us=microseconds(config.engagement.unsubscribe_window),
        learn_us=microseconds(config.engagement.history),
        horizon_us=microseconds(config.horizon),
        benchmarks=tuple((prior.opened, prior.clicked) for prior in priors),
        tiring_half_life_us=() if curve is None else tuple(fit.half_life_us.value for fit in curve.fits),
        spill=() if curve is None else _spill(curve),
    )


def _spill(curve: FatigueCurve) -> tuple[tuple[float, ...], ...]:
    """[source][target] what a send just before takes from the logarithm of p."""
    n = len(curve.fits)
    return tuple(tuple(-math.log1p(-fit.used(source)) for fit in curve.fits) for source in range(n))


def segment_map(model: Model) -> SegmentMap:
    """Which of the model's segments a user falls into."""
    return SegmentMap(model.segments.attributes, {values: row for row, values in enumerate(model.segments.values)})


def microseconds(span: timedelta) -> int:
    """A span in µs."""
    return span // timedelta(microseconds=1)
