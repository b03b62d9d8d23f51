"""The part of `evaluate` that asks whether probabilities mean what they say, on sends that came after all that they were learned from."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import partial
from typing import Any

import duckdb
import numpy as np

from notif_rec.config import Config
from notif_rec.planning.bucket import to_us
from notif_rec.planning.past_sends import collect_sends, rank_since
from notif_rec.scoring.contest import Contest, EngagementReport, contest
from notif_rec.scoring.engagement import LEFT, OUTCOMES
from notif_rec.scoring.send_outcomes import SendOutcomes
from notif_rec.workflows.facts import facts_of, microseconds
from notif_rec.workflows.fit_model import fit_model
from notif_rec.workflows.rates import effort_of, ranked
from notif_rec.workflows.tiredness import fit_curve

EPOCH = datetime(1970, 1, 1)


def evaluate_engagement(
    con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime, horizon: timedelta, *, jobs: int = 1
) -> EngagementReport:
    """Models learned from sends whose answers were all in at a split, judged by the sends of `horizon` from then on.

    The split is so long before `as_of` that these sends' answers are all in too: a horizon and `attribution`, and for leaving a
    horizon and `engagement.unsubscribe_window`.
    """
    split_us = to_us(as_of) - microseconds(horizon + config.attribution)
    facts = facts_of(config, fit_curve(con, config, EPOCH + timedelta(microseconds=split_us)))
    sends, oddities = collect_sends(con, facts, as_of)
    fit = partial(fit_model, con, config, jobs=jobs)
    channels: dict[str, dict[str, Contest]] = {name: {} for name in config.channel_names}
    notes: list[str] = []
    effort = effort_of(config, jobs)
    known = _ranked_twice(con, config, sends, split_us, as_of, fit)
    for outcome, word in enumerate(OUTCOMES):
        window = facts.leave_us if outcome == LEFT else facts.attribution_us
        split = to_us(as_of) - microseconds(horizon) - window
        learned = known.where(known.at_us + window <= split)
        judged = known.where((known.at_us >= split) & (known.at_us < to_us(as_of) - window))
        for at, name in enumerate(config.channel_names):
            of = known.channel == at
            found = contest(config.channel_names, at, outcome, learned, known.where(of), judged.where(judged.channel == at), effort)
            if isinstance(found, str) and of.any():
                notes.append(f"{name}: {word} is not judged, {found}")
            elif not isinstance(found, str):
                channels[name][word] = found
    return EngagementReport({name: of for name, of in channels.items() if of}, oddities.to_json(), tuple(notes))


def _ranked_twice(
    con: duckdb.DuckDBPyConnection, config: Config, sends: SendOutcomes, split_us: int, as_of: datetime, fit: Any
) -> SendOutcomes:
    """Sends that are judged are ranked by the model of the split, those before it by an older one, as in `train`."""
    split = EPOCH + timedelta(microseconds=split_us)
    window = config.attribution
    since = rank_since(sends.where(sends.at_us + microseconds(window) <= split_us), split)
    if since is None:
        return sends
    older = ranked(con, config, sends, fit(since), since, split)
    newer = ranked(con, config, sends, fit(split), split, as_of)
    late = older.at_us >= split_us
    item_late = late[older.of_item()]
    return older.with_ranks(np.where(item_late, newer.item_rank, older.item_rank))
