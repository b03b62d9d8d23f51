"""A model of one outcome on one channel beside three baselines, judged by later sends: the channel's rate, the user's own, a logistic
regression of what is known of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.models.bootstrap import Interval
from notif_rec.scoring.calibration import calibrated, identity, logit
from notif_rec.scoring.engagement import CLICKED, LEFT, OPENED, Engagement, item_base
from notif_rec.scoring.engagement_fit import Effort, examples_of, fit_engagement_rates, recipe_of
from notif_rec.scoring.features import FEATURES, ITEMS
from notif_rec.scoring.reliability import Trial, Verdict, judge, lead
from notif_rec.scoring.scorer import LOGISTIC, Scorer
from notif_rec.scoring.scorer_fit import Examples, fit_scorer, follow, foretold
from notif_rec.scoring.send_outcomes import SendOutcomes

FloatArray = npt.NDArray[np.float64]
MODEL, CHANNEL_RATE, USER_RATE, LOGISTIC_ALONE = CONTENDERS = ("model", "channel_rate", "user_rate", "logistic")
FEW = 20  # sends, or answers, under which nothing is judged
DAY_US = 86_400_000_000
ANSWER_H = next(place for place, feature in enumerate(FEATURES) if feature.name == "answer_h")


@dataclass(frozen=True)
class Contest:
    """kind: what the model is (scorer.RATES, LOGISTIC, TREES). models: verdicts by contender. leads: of the model over each other."""

    kind: str
    rows: int
    positives: float
    models: Mapping[str, Verdict]
    leads: Mapping[str, Mapping[str, Interval]]

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        models = {name: verdict.to_json() for name, verdict in self.models.items()}
        leads = {name: {metric: interval.to_json() for metric, interval in of.items()} for name, of in self.leads.items()}
        return {"kind": self.kind, "rows": self.rows, "positives": self.positives, "models": models, "leads": leads}


@dataclass(frozen=True)
class EngagementReport:
    """What was found, by channel and outcome; what input had that is odd; and what could not be judged, and why."""

    channels: Mapping[str, Mapping[str, Contest]]
    oddities: Mapping[str, int]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """channels.<c>.<outcome>.{kind, rows, positives, models, leads}, oddities, notes."""
        found = {name: {outcome: of.to_json() for outcome, of in outcomes.items()} for name, outcomes in self.channels.items()}
        return {"channels": found, "oddities": dict(self.oddities), "notes": list(self.notes)}


def contest(
    channels: Sequence[str], at: int, outcome: int, learned: SendOutcomes, known: SendOutcomes, judged: SendOutcomes, effort: Effort
) -> Contest | str:
    """Every contender learns from `learned` and foretells `judged` (of this channel, later); or why there is nothing to judge.

    known: all sends of this channel. The level of the model, and of the logistic, follows the answers that are in by the time of each
    plan, as it does where training is nightly; nothing else is learned after the split.
    """
    rates = fit_engagement_rates(channels, learned)
    mine = learned.where(learned.channel == at)
    past, everything, test = (examples_of(rates, at, sends, outcome) for sends in (mine, known, judged))
    if len(test.label) < FEW or test.label.sum() < 1:
        return f"only {len(test.label)} sends with {test.label.sum():.0f} of them came after the split; a longer --horizon has more"
    recipe = recipe_of(outcome, effort)
    scorer = fit_scorer(past, recipe)
    plain = fit_scorer(replace(past, parts=None), replace(recipe, most=LOGISTIC))
    p = {
        MODEL: _followed(scorer, everything, test, recipe.delay_us),
        CHANNEL_RATE: np.full(len(test.label), _rate(rates, at, outcome)),
        USER_RATE: calibrated(identity(), _user_margin(rates, at, outcome, test)),
        LOGISTIC_ALONE: _followed(plain, replace(everything, parts=None), replace(test, parts=None), recipe.delay_us),
    }
    trial = _trial(judged, outcome, test)
    leads = {name: lead(p[MODEL], p[name], trial) for name in CONTENDERS[1:]}
    return Contest(scorer.kind, len(test.label), float(test.label.sum()), {name: judge(of, trial) for name, of in p.items()}, leads)


def _followed(scorer: Scorer, known: Examples, test: Examples, delay_us: int) -> FloatArray:
    shifts = follow(scorer, known, test.plan_us, delay_us)
    return calibrated(identity(), logit(foretold(scorer, test)) + shifts)


def _rate(rates: Engagement, at: int, outcome: int) -> float:
    return float({OPENED: rates.open_rate, CLICKED: rates.click_rate, LEFT: rates.unsubscribe_rate}[outcome][at])


def _user_margin(rates: Engagement, at: int, outcome: int, test: Examples) -> FloatArray:
    """Log-odds by the user's own rate, whatever the item's rank."""
    assert test.own is not None
    base = item_base(rates, at, np.full(len(test.label), -1)) if outcome == CLICKED else test.base
    return base + test.own


def _trial(judged: SendOutcomes, outcome: int, test: Examples) -> Trial:
    known = {OPENED: ~judged.blind, CLICKED: judged.of_item(), LEFT: judged.leave_known}[outcome]
    user, day = judged.user[known], test.plan_us // DAY_US
    return Trial(test.label, user.astype(np.int64), day - day.min(), _cohorts(test))


def _cohorts(test: Examples) -> dict[str, npt.NDArray[np.str_]]:
    """Groups of rows by what was known of the user."""
    items, hours = test.features[:, ITEMS], test.features[:, ANSWER_H]
    past = np.select([items < 1, items < 5, items < 20], ["nothing", "1 to 4", "5 to 19"], "20 or more")
    last = np.select(
        [hours <= 7 * 24, hours <= 30 * 24, hours < 180 * 24], ["in 7 days", "in 30 days", "in 180 days"], "longer ago or never"
    )
    return {"sent before": past, "last answer": last}
