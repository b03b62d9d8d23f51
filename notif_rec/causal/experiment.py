"""Two groups that chance made: the difference of their means, its interval, and what could have been found at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]
CONFIDENCE, POWER = 0.95, 0.8


def z(probability: float) -> float:
    """The point below which a standard normal variable lies with this probability."""
    return float(special.ndtri(probability))


TWO_SIDED = z(1.0 - (1.0 - CONFIDENCE) / 2.0)  # 1.96
DETECT = TWO_SIDED + z(POWER)  # 2.80: how many errors away an effect is found in 80 of 100 tries


@dataclass(frozen=True)
class Group:
    """How many users, the mean of their outcome, and its variance between users."""

    n: int
    mean: float
    variance: float

    @classmethod
    def of(cls, values: FloatArray) -> Group:
        """The group whose users had these outcomes."""
        return cls(len(values), float(values.mean()) if len(values) else 0.0, float(values.var(ddof=1)) if len(values) > 1 else 0.0)


@dataclass(frozen=True)
class Effect:
    """Treated less held out. relative: to the held-out mean, None where that is 0. detectable: the smallest effect that these numbers
    of users show with 80 % power; power: the chance to show an effect as large as the one found.
    """

    value: float
    error: float
    low: float
    high: float
    relative: float | None
    detectable: float
    power: float

    def to_json(self) -> dict[str, float | None]:
        """Plain numbers."""
        return dict(vars(self))


def compare(treated: Group, held: Group) -> Effect:
    """The effect with its 95 % interval (Welch: each group with its own variance; normal, as groups are large)."""
    value = treated.mean - held.mean
    error = float(np.sqrt(treated.variance / max(1, treated.n) + held.variance / max(1, held.n)))
    pooled = (treated.variance * treated.n + held.variance * held.n) / max(1, treated.n + held.n)
    even = float(np.sqrt(pooled * (1.0 / max(1, treated.n) + 1.0 / max(1, held.n))))
    shift = abs(value) / error if error else 0.0
    return Effect(
        value=value,
        error=error,
        low=value - TWO_SIDED * error,
        high=value + TWO_SIDED * error,
        relative=value / held.mean if held.mean else None,
        detectable=DETECT * even,
        power=float(special.ndtr(shift - TWO_SIDED) + special.ndtr(-shift - TWO_SIDED)),
    )


def users_needed(variance: float, effect: float) -> int:
    """Users in each of two equal groups that show `effect` with 80 % power: about 16·p(1 − p)/δ² for shares.

    Source: Lehr, "Sixteen s-squared over d-squared", Statistics in Medicine 1992.
    """
    return int(np.ceil(2.0 * DETECT**2 * variance / effect**2)) if effect else 0


def mismatch(held: int, treated: int, share: float) -> float:
    """How many standard errors the held-out share of all is away from the one that was set: beyond 4, something sorts the groups."""
    n = held + treated
    spread = np.sqrt(n * share * (1.0 - share))
    return float((held - n * share) / spread) if spread > 0 else 0.0
