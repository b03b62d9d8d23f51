"""A channel's weekly budget: who gets how many of its sends, by one price for all.

Each user's sends of a week are worth less and less on the concave envelope of U(k), so that sends above one price T are the best that
the budget can buy: k = max{k : ΔU(k) ≥ T} (the Lagrangian form of Pinterest's notification volume control, Zhao et al., KDD'18). The
loss against the best integer choice is at most what one segment of one envelope rises by; none where U is concave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
WEEK_US = 7 * 86_400_000_000
DIGIT, DIGITS = 16, 4  # bits looked at in one pass, and passes


@dataclass(frozen=True)
class Weekly:
    """A channel's budget as planning takes it. least, most: marketing sends a week of one user.

    price: what one more send a week must add, None = not settled, so that nothing is held back; of sends that add just that, users get
    theirs whose `tie` is lower, and `rest` of them who has it. since_us: what fell due before is forgiven.
    """

    least: int
    most: int
    price: float | None = None
    tie: int = 0
    rest: int = 0
    since_us: int = 0

    def granted(self, slopes: FloatArray, ties: IntArray) -> IntArray:
        """(n_users,) how many of their next sends users get. slopes: (n_users, width) what each adds, not rising; 0 = it is not wanted."""
        if self.price is None:
            return np.zeros(len(ties), np.int64)
        same = (slopes == self.price).sum(axis=1)
        shared = np.where(ties < self.tie, same, np.where(ties == self.tie, np.minimum(same, self.rest), 0))
        return np.asarray((slopes > self.price).sum(axis=1) + shared, np.int64)


Asked = Callable[[], Iterable[tuple[FloatArray, IntArray]]]  # slopes and ties of users, part by part, as often as wanted


def settled(weekly: Weekly, asked: Asked, room: int) -> Weekly:
    """The price at which the users in `asked` get just `room` sends, or all that are wanted; the same however they are cut in parts."""
    wanted = sum(int((slopes > 0).sum()) for slopes, _ in asked())
    if wanted <= room or room <= 0:
        return replace(weekly, price=0.0 if wanted <= room else np.inf, tie=0, rest=0)
    falling, above = nth_smallest(lambda: (~slopes[slopes > 0].view(np.uint64) for slopes, _ in asked()), room)
    price = float(np.array([~np.uint64(falling)]).view(np.float64)[0])

    def tied() -> Iterable[npt.NDArray[np.uint64]]:
        for slopes, ties in asked():
            yield np.repeat(ties, (slopes == price).sum(axis=1)).astype(np.uint64)

    tie, under = nth_smallest(tied, room - above)
    found = replace(weekly, price=price, tie=tie, rest=room - above - under)
    return found if granted_to_all(found, asked) <= room else replace(found, rest=0)  # two users of one tie are possible, once in 2^53


def granted_to_all(weekly: Weekly, asked: Asked) -> int:
    """How many sends beyond those already made the users get together."""
    return sum(int(weekly.granted(slopes, ties).sum()) for slopes, ties in asked())


def nth_smallest(keys: Callable[[], Iterable[npt.NDArray[np.uint64]]], n: int) -> tuple[int, int]:
    """The n-th smallest of many keys, counted from 1, and how many are smaller; holds one part of them at a time."""
    found, below = 0, 0
    for digit in reversed(range(DIGITS)):
        counts = np.zeros(1 << DIGIT, np.int64)
        for part in keys():
            near = part if digit == DIGITS - 1 else part[part >> np.uint64(DIGIT * (digit + 1)) == np.uint64(found)]
            place = near >> np.uint64(DIGIT * digit) & np.uint64((1 << DIGIT) - 1)
            counts += np.bincount(place.astype(np.int64), minlength=1 << DIGIT)
        reached = int(np.searchsorted(np.cumsum(counts), n - below))
        below += int(counts[:reached].sum())
        found = found << DIGIT | reached
    return found, below


def concave_slopes(worth: FloatArray) -> FloatArray:
    """(n, K) what each step from k to k + 1 adds on the upper concave envelope of the rows of worth (n, K + 1); −inf: k is out of reach.

    Source: the min–max formula of antitonic regression, slope j = min over a < j of max over b ≥ j of (U_b − U_a) / (b − a) (Barlow,
    Bartholomew, Bremner and Brunk, 1972).
    """
    steps = worth.shape[1] - 1
    slopes = np.full((len(worth), steps), np.inf)
    with np.errstate(invalid="ignore"):
        for a in range(steps):
            steepest = np.full(len(worth), -np.inf)
            for b in range(steps, a, -1):
                steepest = np.fmax(steepest, (worth[:, b] - worth[:, a]) / (b - a))
                slopes[:, b - 1] = np.fmin(slopes[:, b - 1], steepest)
    return slopes


def most_a_week(caps: Sequence[tuple[int, str, int]], max_sends: int, horizon_us: int, at_most: int) -> int:
    """The most sends a week that the limits leave a user. caps: (maximum, per, window_us) of each that binds, as in policy.rule.CapSpec."""
    times = {"calendar_day": 7, "calendar_week": 1, "calendar_month": 1}
    limits = [maximum * times.get(per, -(-WEEK_US // max(window_us, 1))) for maximum, per, window_us in caps]
    return min([at_most, max_sends * -(-WEEK_US // horizon_us), *limits])
