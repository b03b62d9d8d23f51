"""The part of `train` that learns what sends bring, from past sends and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import duckdb

from notif_rec.config import Config
from notif_rec.models.model import Model
from notif_rec.planning.bucket import to_us
from notif_rec.planning.facts import SegmentMap
from notif_rec.planning.past_sends import collect_sends, rank_sends, rank_since, read_shelf
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.engagement_fit import Effort, fit_engagement
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.send_outcomes import SendOutcomes
from notif_rec.workflows.facts import facts_of, segment_map


def fit_rates(
    con: duckdb.DuckDBPyConnection,
    config: Config,
    as_of: datetime,
    fit: Callable[[datetime], Model],
    curve: FatigueCurve | None = None,
    segments: SegmentMap | None = None,
    *,
    jobs: int = 1,
) -> Engagement:
    """The engagement model of every channel from sends whose outcome was known before `as_of`.

    fit: the ranking model of an earlier moment. It is asked for once, where enough sends came after that moment: a rank by a
    model that has seen the click it is to foretell would flatter the first places. curve: how users tire. segments: whose hours differ.
    """
    sends, _ = collect_sends(con, replace(facts_of(config, curve), segments=segments or SegmentMap()), as_of)
    since = rank_since(sends, as_of)
    if since is not None:
        sends = ranked(con, config, sends, fit(since), since, as_of)
    return fit_engagement(config.channel_names, sends, to_us(as_of), effort_of(config, jobs))


def effort_of(config: Config, jobs: int) -> Effort:
    """How the config wants engagement to be learned."""
    facts = facts_of(config)
    answers, leaves = facts.horizon_us + facts.attribution_us, facts.horizon_us + facts.leave_us
    return Effort((answers, answers, leaves), config.engagement.model, config.seed, jobs)


def ranked(
    con: duckdb.DuckDBPyConnection, config: Config, sends: SendOutcomes, model: Model, since: datetime, as_of: datetime
) -> SendOutcomes:
    """`sends` with the ranks that `model`, of the moment `since`, gives what was sent from then on."""
    facts = replace(facts_of(config), segments=segment_map(model))
    shelf = read_shelf(con, model, facts, tuple(c.exclude_seen for c in config.channels.values()), since, as_of)
    return rank_sends(con, model, facts, shelf, since, sends)
