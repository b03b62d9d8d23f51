"""What a message adds to what its user would have done anyway, per channel: what `objective: uplift` values sends by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from notif_rec.causal.experiment import mismatch
from notif_rec.causal.interval import Estimate
from notif_rec.causal.qini import judge
from notif_rec.causal.uplift import Experiment
from notif_rec.errors import DataError
from notif_rec.scoring.features import N_FEATURES
from notif_rec.scoring.trees import no_trees
from notif_rec.scoring.uplift import Surface, fit_uplift, judged_apart

FloatArray = npt.NDArray[np.float64]
RESPONSE, ALIKE, BY_USER = "response", "one effect for all", "by user"
FEW_HELD, FEW_CAME = 100, 20  # users of an arm, and of these who came by, under which nothing is said of a channel
SORTED = 4.0  # standard errors by which the groups' sizes may miss the shares that were set
NOTHING = Surface(0.0, no_trees())


@dataclass(frozen=True)
class Increment:
    """One channel. kind: BY_USER, ALIKE, or RESPONSE where the holdout cannot tell (why). without: days on which a user comes by within the
    window, without messages; uplift: how many a message adds. messages: that treated users got within the window, which share what
    they added. effect: per message; qini: per user; both with intervals, None where nothing was fitted.
    """

    kind: str
    why: str
    treated: int
    held: int
    messages: float
    without: Surface
    uplift: Surface
    effect: Estimate | None
    qini: Estimate | None

    def foretold(self, features: npt.NDArray[np.float32]) -> tuple[FloatArray, FloatArray]:
        """(n,) days without a message, at least 0, and what one adds."""
        return np.maximum(self.without.of(features), 0.0), self.uplift.of(features) / self.messages

    def to_json(self) -> dict[str, Any]:
        """Plain values; floats read back bit by bit."""
        told = {name: getattr(self, name) for name in ("kind", "why", "treated", "held", "messages")}
        told |= {name: getattr(self, name).to_json() for name in ("without", "uplift")}
        return told | {name: found.to_json() if (found := getattr(self, name)) else None for name in ("effect", "qini")}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Increment:
        """Raises ValueError, KeyError or TypeError where `stored` is not what `to_json` wrote."""
        plain = (str(stored["kind"]), str(stored["why"]), int(stored["treated"]), int(stored["held"]), float(stored["messages"]))
        without, uplift = (Surface.from_json(stored[name], N_FEATURES) for name in ("without", "uplift"))
        effect, qini = (Estimate(**stored[name]) if stored[name] else None for name in ("effect", "qini"))
        if plain[0] not in (RESPONSE, ALIKE, BY_USER) or not plain[4] > 0:
            raise ValueError("an unknown kind of uplift")
        return cls(*plain, without, uplift, effect, qini)


@dataclass(frozen=True)
class Incremental:
    """The channels of a model, by name, in the order of the config."""

    channels: Mapping[str, Increment]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Channels that are valued by their response instead, and why."""
        return tuple(f"{name}: {one.why}, so that sends are valued by response" for name, one in self.channels.items() if one.why)

    def to_json(self) -> str:
        """One JSON object; `from_json` reads it back bit by bit."""
        return json.dumps({name: one.to_json() for name, one in self.channels.items()}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Incremental:
        """Raises DataError where `text` is not what `to_json` wrote."""
        try:
            return cls({name: Increment.from_json(one) for name, one in json.loads(text).items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(f"the uplift of a model is damaged: {error}", "train again") from None


def response(why: str, treated: int = 0, held: int = 0) -> Increment:
    """A channel of which the holdout says nothing."""
    return Increment(RESPONSE, why, treated, held, 1.0, NOTHING, NOTHING, None, None)


def fit_increment(
    experiment: Experiment, share: FloatArray, explored: float, messages: FloatArray, *, seed: int = 1, threads: int = 1
) -> Increment:
    """What a message adds on a channel. The experiment's propensities are put right here.

    share: (n,) held out in each row's plan. explored: the largest share of users whose message chance decided, who are missing among the
    treated. messages: (n,) that each user got in the window. Differences between users count where their Qini is above 0, one effect
    for all where that is off 0, with 95 %; else, or where groups are small or not alike, it is RESPONSE.
    """
    held = ~experiment.treated
    n_held, n_treated = int(held.sum()), int(experiment.treated.sum())
    came = min(int((experiment.outcome[arm] > 0).sum()) for arm in (held, ~held))
    if min(n_held, n_treated) < FEW_HELD or came < FEW_CAME:
        least = f"at least {FEW_HELD} of each, {FEW_CAME} of whom came by, are needed"
        return response(f"{n_held:,} held-out and {n_treated:,} treated users had a first message; {least}", n_treated, n_held)
    wrong = _not_alike(held, share, explored)
    if wrong:
        return response(wrong, n_treated, n_held)
    odds = (1.0 - share) / share * (n_treated / ((1.0 - share) / share)[held].sum())  # of being treated, among these rows
    right = Experiment(experiment.features, experiment.treated, odds / (1.0 + odds), experiment.outcome, experiment.cluster)
    scores, foretold, half = judged_apart(right, seed=seed, threads=threads)
    verdict = judge(scores, foretold, right.cluster, half, seed=seed)
    per_user, dose = verdict.effect, max(float(messages[~held].mean()), 1.0)
    effect = Estimate(*(getattr(per_user, name) / dose for name in ("value", "error", "low", "high")))
    personal, alike = verdict.qini.low > 0.0, per_user.low > 0.0 or per_user.high < 0.0
    if not personal and not alike:
        told = f"{effect.value:+.4f} days with a visit a message ({effect.low:+.4f} to {effect.high:+.4f})"
        return response(f"what a message adds cannot be told from nothing: {told}", n_treated, n_held)
    model = fit_uplift(right, seed=seed, threads=threads)
    kind, uplift = (BY_USER, model.uplift) if personal and not model.uplift.flat else (ALIKE, Surface(per_user.value, no_trees()))
    return Increment(kind, "", n_treated, n_held, dose, model.without, uplift, effect, verdict.qini)


def _not_alike(held: npt.NDArray[np.bool_], share: FloatArray, explored: float) -> str:
    """Why the groups cannot be compared: more, or fewer, are held out than the shares make likely."""
    n, expected = len(held), float(share.mean())
    most = expected / (expected + (1.0 - expected) * (1.0 - explored))
    few, many = mismatch(int(held.sum()), n - int(held.sum()), expected), mismatch(int(held.sum()), n - int(held.sum()), most)
    if few >= -SORTED and many <= SORTED:
        return ""
    return f"{held.mean():.1%} of those with a first message were held out where {expected:.1%} were drawn: quotas or rules sort the groups"
