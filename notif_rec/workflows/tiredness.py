"""The part of `train` that learns how users tire, beside what the config says of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np

from notif_rec.config import Config
from notif_rec.planning.facts import Facts
from notif_rec.planning.send_history import collect_history
from notif_rec.policy.rule import FatigueSpec, Weight
from notif_rec.scoring.fatigue import DAY_US, USUAL_HALF_LIFE_US, USUAL_STRENGTH, ChannelFatigue, Estimate, FatigueCurve, Written
from notif_rec.scoring.fatigue_fit import MOST_SENDS, fit_fatigue


def fit_curve(con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime) -> FatigueCurve:
    """The curve of every channel from what became of sends before `as_of`."""
    facts = Facts(
        channels=config.channel_names,
        consent=tuple(c.consent for c in config.channels.values()),
        event_weights=dict(config.events),
        timezone=config.timezone,
        attribution_us=config.attribution // timedelta(microseconds=1),
    )
    return fit_fatigue(config.channel_names, collect_history(con, facts, as_of, MOST_SENDS), written_curves(config))


def written_curves(config: Config) -> list[Written]:
    """What the fatigue rules say of each channel: all that bind it together, with the half-life of the strongest."""
    names = config.channel_names
    specs = [rule.fatigue(rule.channels or names) for rule in config.rules if isinstance(rule, Weight)]
    return [_written(channel, names, [spec for spec in specs if channel in spec.channels]) for channel in names]


def _written(channel: str, names: Sequence[str], specs: Sequence[FatigueSpec]) -> Written:
    if not specs:
        own = tuple(USUAL_STRENGTH if name == channel else 0.0 for name in names)
        return Written(USUAL_HALF_LIFE_US, own, said=False)
    left = [float(np.prod([1.0 - spec.strength for spec in specs if name in spec.channels])) for name in names]
    strongest = max(specs, key=lambda spec: spec.strength)
    return Written(float(strongest.half_life_us), tuple(1.0 - share for share in left), said=True)


def curve_rows(curve: FatigueCurve) -> list[tuple[str, str, str, str, str]]:
    """(channel, what, fitted, 95 %, config) for people: a channel's half-life, what its own and other channels take, and ignored sends."""
    return [row for fit in curve.fits for row in _rows(fit, curve.channels)]


def _rows(fit: ChannelFatigue, names: Sequence[str]) -> list[tuple[str, str, str, str, str]]:
    says = fit.written.said
    said = _days(fit.written.half_life_us) if says else "–"
    rows = [(fit.channel, "half-life", _days(fit.half_life_us.value), _span(fit.half_life_us, _days), said)]
    for name, strength, written in zip(names, fit.strength, fit.written.strength, strict=True):
        what = "a send takes" if name == fit.channel else f"a send on {name} takes"
        rows.append((fit.channel, what, _share(strength.value), _span(strength, _share), _share(written) if says else "–"))
    rows.append((fit.channel, "each ignored in a row takes", _share(fit.ignored.value), _span(fit.ignored, _share), "–"))
    return rows


def _days(us: float) -> str:
    return f"{us / DAY_US:.3g} d"


def _share(share: float) -> str:
    return f"{share:.1%}"


def _span(estimate: Estimate, show: Any) -> str:
    return f"{show(estimate.low)} to {show(estimate.high)}"


def curve_json(curve: FatigueCurve) -> dict[str, Any]:
    """By channel: half_life_days, strength by the channel that tires, ignored, each [value, low, high]; what they were fitted to."""
    return {fit.channel: _told(fit, curve.channels) for fit in curve.fits}


def _told(fit: ChannelFatigue, names: Sequence[str]) -> dict[str, Any]:
    half_life = fit.half_life_us
    return {
        "half_life_days": [us / DAY_US for us in (half_life.value, half_life.low, half_life.high)],
        "strength": {name: _three(strength) for name, strength in zip(names, fit.strength, strict=True)},
        "ignored": _three(fit.ignored),
        "fitted": fit.fitted,
        "sends": fit.sends,
        "answers": fit.answers,
        "written": {
            "half_life_days": fit.written.half_life_us / DAY_US,
            "strength": dict(zip(names, fit.written.strength, strict=True)),
            "in_config": fit.written.said,
        },
    }


def _three(estimate: Estimate) -> list[float]:
    return [estimate.value, estimate.low, estimate.high]
