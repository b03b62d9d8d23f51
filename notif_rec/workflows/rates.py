"""The part of `train` that learns what sends bring: rates by channel, rank and hour from past sends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import duckdb

from notif_rec.config import Config
from notif_rec.models.model import Model
from notif_rec.planning.facts import Facts, SegmentMap
from notif_rec.planning.past_sends import collect_sends, rank_sends, rank_since, read_shelf
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.engagement_fit import fit_engagement


def fit_rates(con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime, fit: Callable[[datetime], Model]) -> Engagement:
    """Rates of every channel from sends whose outcome was known before `as_of`.

    fit: the ranking model of an earlier moment. It is asked for once, where enough sends came after that moment: a rank by a
    model that has seen the click it is to foretell would flatter the first places.
    """
    facts = _facts(config)
    sends = collect_sends(con, facts, as_of)
    since = rank_since(sends, as_of)
    if since is not None:
        model = fit(since)
        facts = _facts(config, SegmentMap(model.segments.attributes, {values: row for row, values in enumerate(model.segments.values)}))
        shelf = read_shelf(con, model, facts, tuple(c.exclude_seen for c in config.channels.values()), since, as_of)
        sends = rank_sends(con, model, facts, shelf, since, sends)
    return fit_engagement(config.channel_names, sends)


def _facts(config: Config, segments: SegmentMap | None = None) -> Facts:
    half_life = config.model.half_life
    return Facts(
        channels=config.channel_names,
        consent=tuple(c.consent for c in config.channels.values()),
        event_weights=dict(config.events),
        timezone=config.timezone,
        half_life_us=half_life // timedelta(microseconds=1) if half_life else 0,
        attribution_us=config.attribution // timedelta(microseconds=1),
        segments=segments or SegmentMap(),
    )
