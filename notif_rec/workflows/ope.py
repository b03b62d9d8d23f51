"""`ope`: what another policy would have brought, from choices that were logged with their probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notif_rec.causal.interval import Estimate, estimate, lower_bound
from notif_rec.causal.logged import Limits, Logged
from notif_rec.causal.support import Support, support_of
from notif_rec.causal.tuning import tuned_limits
from notif_rec.errors import DataError

TITLES = {
    "ips": "inverse propensity",
    "clipped_ips": "clipped inverse propensity",
    "snips": "self-normalised",
    "dm": "direct (model alone)",
    "dr": "doubly robust",
    "sndr": "self-normalised doubly robust",
    "switch_dr": "switch doubly robust",
    "dros": "doubly robust, shrunk",
}
WITHOUT_MODEL, WITH_MODEL = "snips", "dr"  # the estimator to go by
LOGGED = "logged"  # the policy that made the choices
FEW_USERS = 30


@dataclass(frozen=True)
class Verdict:
    """One estimator: the policy's value, how far it is above the policy it is held against, and the ratio of the two."""

    value: Estimate
    difference: Estimate
    relative: float | None

    def to_json(self) -> dict[str, Any]:
        """As in the command's --json."""
        return {**self.value.to_json(), "difference": self.difference.to_json(), "relative": self.relative}


@dataclass(frozen=True)
class OpeResult:
    """What the logs say of `target`. logged: what they brought themselves; against: the policy that differences and ratios refer to.

    lower: an empirical-Bernstein bound; headline: the estimator to go by; limits: of tamed weights, as the estimates chose them.
    """

    source: str
    target: str
    against: str
    support: Support
    logged: Estimate
    verdicts: Mapping[str, Verdict]
    lower: float
    headline: str
    limits: Limits
    left_out: Mapping[str, int]
    notes: Sequence[str]
    detail: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        best = self.verdicts[self.headline]
        return {
            "source": self.source,
            "target": self.target,
            "against": self.against,
            "value": best.value.value,
            "low": best.value.low,
            "high": best.value.high,
            "difference": best.difference.to_json(),
            "relative": best.relative,
            "headline": self.headline,
            "lower_bound": self.lower,
            "logged": self.logged.to_json(),
            "support": self.support.to_json(),
            "estimators": {name: verdict.to_json() for name, verdict in self.verdicts.items()},
            "limits": {"clip": _finite(self.limits.clip), "switch": _finite(self.limits.switch), "shrink": _finite(self.limits.shrink)},
            "left_out": dict(self.left_out),
            "warnings": list(self.notes),
            **self.detail,
        }


def _finite(limit: float) -> float | None:
    return limit if limit < float("inf") else None


def answer(
    *,
    source: str,
    target: tuple[str, Logged],
    against: tuple[str, Logged] | None,
    choices: int | None,
    left_out: Mapping[str, int],
    notes: Sequence[str],
    detail: Mapping[str, Any],
    seed: int,
) -> OpeResult:
    """What the logs say of `target` beside `against` (None: the policy that logged them); DataError where they cannot speak for one.

    choices: how many there are a decision, where that is known.
    """
    support = _supported(*target, choices)
    more = support.warnings
    if against is not None:
        more += _supported(*against, choices).warnings
    logged = target[1]
    verdicts, own, limits = _verdicts(logged, None if against is None else against[1], seed)
    few = (f"only {support.clusters} users: intervals that draw so few are too narrow",) if support.clusters < FEW_USERS else ()
    return OpeResult(
        source=source,
        target=target[0],
        against=LOGGED if against is None else against[0],
        support=support,
        logged=own,
        verdicts=verdicts,
        lower=lower_bound(logged),
        headline=WITHOUT_MODEL if logged.predicted is None else WITH_MODEL,
        limits=limits,
        left_out=left_out,
        notes=(*more, *few, *notes),
        detail=detail,
    )


def _supported(name: str, logged: Logged, choices: int | None) -> Support:
    support = support_of(logged)
    if support.refused:
        raise DataError(f"{name}: {support.why_refused}", support.what_to_log(choices))
    return support


def _verdicts(logged: Logged, against: Logged | None, seed: int) -> tuple[dict[str, Verdict], Estimate, Limits]:
    """The verdict of every estimator that the logs allow, the logs' own value, and the limits chosen."""
    limits = tuned_limits(logged)
    found = estimate(logged, limits, None if against is None else (against, tuned_limits(against)), seed)
    verdicts = {}
    for name in logged.names:
        value, base = found.values[name], found.others[name].value
        verdicts[name] = Verdict(value, found.differences[name], value.value / base if base else None)
    return verdicts, found.values[LOGGED], limits
