"""`simulate`: policies lived through day after day in a world with known truth, each on a store of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.models.bootstrap import Interval
from notif_rec.simulation.compare import METRICS, Difference, difference, totals
from notif_rec.simulation.presets import Policy
from notif_rec.workflows.simulated_days import begin, live_policy, vocabulary
from notif_rec.workflows.simulated_homes import Counts, Outcome, Span, homes


@dataclass(frozen=True)
class Lived:
    """What a policy came to: metric → (n_users,), their totals, and how that was found."""

    policy: str
    per_user: Counts
    totals: Mapping[str, Interval]
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        """Totals with intervals, and what the audit found."""
        found = {name: total.to_json() for name, total in self.totals.items()}
        return {**found, "audit": dict(self.outcome.audit), "dropped": dict(self.outcome.dropped)}


@dataclass(frozen=True)
class SimulateResult:
    """Policies in the order in which they were named; the first against each other one."""

    span: Span
    users: int
    policies: tuple[Lived, ...]
    differences: tuple[Difference, ...]

    @property
    def violations(self) -> int:
        """Breaks of a rule that the audits found, over all policies."""
        return sum(lived.outcome.audit["violations"] for lived in self.policies)

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        span = self.span
        return {
            "users": span.users, "users_at_end": self.users, "days": span.days, "seed": span.seed, "train_every_days": span.train_every,
            "policies": {lived.policy: lived.to_json() for lived in self.policies},
            "differences": [found.to_json() for found in self.differences],
            "violations": self.violations,
        }  # fmt: skip


def simulate(policies: Sequence[Policy], span: Span, folder: Path, engine: Engine, jobs: int, progress: Progress) -> SimulateResult:
    """What each policy brings in the same world with the same luck; stores and lists are written into `folder`.

    All start from one history. A user's visits and answers are functions of (seed, user, day, channel, item), so that policies
    differ by what they send alone. Outcomes are worth what the first policy's config says. What `folder` holds of the same
    simulation already is not lived again.
    """
    found = homes(folder, policies, span)
    words = vocabulary(policies[0].config)
    progress("history", 0, 1)
    world, start = begin(span, words, folder / "history", jobs)
    progress("history", 1, 1)
    lived = []
    for number, (policy, home) in enumerate(zip(policies, found, strict=True)):

        def advance(stage: str, done: int, total: int, before: int = number * span.days) -> None:
            progress(stage, before + done, len(policies) * total)

        outcome = home.outcome()
        if outcome is None:
            home.begin(folder / "history")
            outcome = live_policy(world, start, policy, words, span, home.path, engine, jobs, advance)
            home.finish(outcome)
        per_user = _metrics(outcome, policies[0].config)
        lived.append(Lived(policy.name, per_user, totals(per_user, span.seed), outcome))
    first = lived[0]
    apart = [difference((first.policy, other.policy), first.per_user, other.per_user, span.seed) for other in lived[1:]]
    return SimulateResult(span, world.people.n, tuple(lived), tuple(apart))


def _metrics(outcome: Outcome, config: Config) -> Counts:
    """The metrics in their order, with what the outcomes are worth by `config`."""
    counts, worth = outcome.counts, config.value
    value = worth.opened * counts["opens"] + worth.clicked * counts["clicks"] + worth.unsubscribed * counts["unsubscribes"]
    return {name: value if name == "value" else counts[name] for name in METRICS}
