"""One channel's contenders, fitted, ranked and judged: what both forms of `evaluate` have in common."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np

from notif_rec.models.evaluate import Ground, Report, activity_groups, judge
from notif_rec.models.fit import Evidence, Step, add_content, assemble, fit_parts
from notif_rec.models.metrics import Targets
from notif_rec.models.model import ChannelModel
from notif_rec.models.regression import without_self
from notif_rec.models.settings import ModelSettings
from notif_rec.models.similar import Neighbours
from notif_rec.scoring.contenders import BLEND, Asked, popularities, rank_all
from notif_rec.scoring.contest import EngagementReport

ALL = "all"  # the row over everything, whatever the channel


@dataclass(frozen=True)
class ChannelReport:
    """What was found on one channel.

    exclude_seen: whether items that a user had before were neither listed nor looked for. without_targets: users with a past who
    took nothing more. unreachable: targets left out because no list could hold them (the item was not live at the split).
    """

    report: Report
    exclude_seen: bool
    users: int
    cold_users: int
    without_targets: int
    targets: int
    unreachable: int

    def counts(self) -> dict[str, Any]:
        """Who was judged, and who was not."""
        names = ("exclude_seen", "users", "cold_users", "without_targets", "targets", "unreachable")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class EvaluateResult:
    """Reports by channel: by its own `exclude_seen`, and the other way round. notes: what could not be judged, and why."""

    k: int
    seed: int
    channels: Mapping[str, ChannelReport]
    other_way: Mapping[str, ChannelReport] = field(default_factory=dict)
    split: datetime | None = None
    as_of: datetime | None = None
    notes: tuple[str, ...] = ()
    engagement: EngagementReport | None = None

    def to_json(self) -> dict[str, Any]:
        """The contract's `channels.<c>.<model>.<metric>`, and more beside it."""
        times = {name: f"{when.isoformat()}Z" for name, when in (("split", self.split), ("as_of", self.as_of)) if when}
        said = {"k": self.k, "seed": self.seed, **times, **_told(self.channels), "notes": list(self.notes)}
        said |= {"engagement": self.engagement.to_json()} if self.engagement else {}
        return said | {"other_way": _told(self.other_way)} if self.other_way else said


def _told(reports: Mapping[str, ChannelReport]) -> dict[str, Any]:
    lead = {
        name: {model: {m: i.to_json() for m, i in found.items()} for model, found in told.report.differences.items()}
        for name, told in reports.items()
    }
    return {
        "channels": {name: told.report.models for name, told in reports.items()},
        "differences": lead,
        "segments": {name: told.report.segments for name, told in reports.items()},
        "counts": {name: told.counts() for name, told in reports.items()},
    }


def fit_contender(
    name: str, code: int, evidence: Evidence, settings: ModelSettings, *, seed: int, threads: int, progress: Step | None = None
) -> tuple[ChannelModel, Neighbours]:
    """The channel's model, and similar items without a word of content, as anybody could build them; both even where the blend has none."""
    apart = settings.model_copy(update={"blend": settings.blend or 0.5, "similar": settings.similar.model_copy(update={"content": 0.0})})
    parts = fit_parts(name, code, evidence, apart, seed=seed, threads=threads, progress=progress)
    similar = add_content(parts.similar, evidence, parts.user_items, settings.similar, parts.fallback, threads=threads)
    return assemble(name, code, settings, evidence, parts._replace(similar=similar)), parts.similar


def backtest(
    contender: tuple[ChannelModel, Neighbours],
    evidence: Evidence,
    asked: Asked,
    targets: Targets,
    *,
    unreachable: int,
    k: int,
    seed: int,
    threads: int,
) -> ChannelReport:
    """The report of the users asked, who all have a target; nothing repeats where what they had is excluded.

    contender: of `fit_contender`.
    """
    model, similar = contender
    if asked.exclude is not None:
        model, similar = replace(model, similar=without_self(model.similar)), without_self(similar)
    lists = rank_all(model, similar, popularities(evidence, model.code, model.transfer), asked, k, threads=threads)
    popularity = np.bincount(_distinct(evidence), minlength=evidence.n_items).astype(np.float64)
    n_past = np.diff(asked.taste.offsets)
    past = popularity[asked.taste.item_index]
    ground = Ground(
        targets=targets,
        k=k,
        eligible=asked.eligible,
        popularity=popularity,
        n_past_users=evidence.taste.n_users,
        past_popularity=float(past.mean()) if len(past) else 0.0,
        groups=activity_groups(n_past),
        old_item=popularity > 0,
        seed=seed,
    )
    warm = int((asked.user_row >= 0).sum())
    return ChannelReport(
        report=judge(lists, ground, BLEND),
        exclude_seen=asked.exclude is not None,
        users=len(asked.user_row),
        cold_users=len(asked.user_row) - warm,
        without_targets=evidence.taste.n_users - warm,
        targets=len(targets.item),
        unreachable=unreachable,
    )


def _distinct(evidence: Evidence) -> np.ndarray[Any, np.dtype[np.int32]]:
    """The item of each distinct (user, item) pair; entries are sorted by user, then item."""
    taste = evidence.taste
    user = np.repeat(np.arange(taste.n_users), np.diff(taste.offsets))
    first = np.ones(len(user), dtype=bool)
    first[1:] = (np.diff(user) != 0) | (np.diff(taste.item_index) != 0)
    return taste.item_index[first]
