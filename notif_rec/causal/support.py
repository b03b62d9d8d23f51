"""Whether logs can speak for a policy at all: effective sample size, largest and mean weight; and what to log where they cannot."""

from __future__ import annotations

from dataclasses import dataclass

from notif_rec.causal.logged import Logged
from notif_rec.causal.tuning import mean_and_error

LEAST, LEAST_SHARE = 100.0, 0.01  # effective rows, and their share of all rows
FAR = 4.0  # standard errors


@dataclass(frozen=True)
class Support:
    """rows, clusters; ess, the effective sample size (Σw)²/Σw²; largest weight, and its share of Σw; mean weight (1 where
    propensities are right) and its standard error.
    """

    rows: int
    clusters: int
    ess: float
    largest: float
    largest_share: float
    mean: float
    mean_error: float

    @property
    def refused(self) -> bool:
        """Whether too little of the logs speaks for the policy: below LEAST effective rows, or LEAST_SHARE of all."""
        return self.ess < LEAST or self.ess < LEAST_SHARE * self.rows

    @property
    def why_refused(self) -> str:
        """The problem in words."""
        return (
            f"the logs cannot speak for this policy: {self.rows:,} rows have the effective size of {self.ess:,.0f} "
            f"({self.ess / max(1, self.rows):.2%}; at least {LEAST:.0f} and {LEAST_SHARE:.0%} are needed), "
            f"the largest weight is {self.largest:,.0f} and {self.largest_share:.0%} of all"
        )

    def what_to_log(self, choices: int | None = None) -> str:
        """What makes the next logs sufficient. choices: how many there are a decision, where that is known."""
        chance = "leave a share of all choices to chance (config `exploration: 0.05`) and log the probability of each"
        if self.ess >= max(1.0, LEAST_SHARE * self.rows):
            asked = f"log {self.rows * LEAST / self.ess:,.0f} rows like these, or {chance}"
        else:
            asked = f"more rows of this kind will not help: {chance}"
        if choices and choices > 1:
            most = choices / 0.05
            asked += f"; 5 % over {choices} choices make no weight larger than {most:,.0f}, and {LEAST * most:,.0f} rows enough"
        return asked

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a careful reader would ask about."""
        if abs(self.mean - 1.0) > max(FAR * self.mean_error, 0.02):
            return (
                f"the mean weight is {self.mean:.3f} (± {self.mean_error:.3f}), not 1: "
                "propensities are wrong, or the policy does what was never logged",
            )
        return ()

    def to_json(self) -> dict[str, float]:
        """Plain numbers."""
        return {
            "rows": self.rows,
            "clusters": self.clusters,
            "effective_sample_size": self.ess,
            "largest_weight": self.largest,
            "largest_weight_share": self.largest_share,
            "mean_weight": self.mean,
            "mean_weight_error": self.mean_error,
        }


def support_of(logged: Logged) -> Support:
    """The support that `logged` has for its policy. The mean weight is Σw over what it estimates."""
    w = logged.weight
    total, squares, scale = w.sum(), (w**2).sum(), logged.expected.sum() / logged.units.sum()
    mean, error = mean_and_error(w, logged)
    return Support(
        rows=len(w),
        clusters=logged.n_clusters,
        ess=float(total**2 / squares) if squares else 0.0,
        largest=float(w.max(initial=0.0)),
        largest_share=float(w.max(initial=0.0) / total) if total else 0.0,
        mean=mean / scale if scale else 0.0,
        mean_error=error / scale if scale else 0.0,
    )
