"""Why a candidate is not sent: one bit a reason, and which of several is the headline."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from notif_rec.policy.rule import Rule

# Reason numbers: a rule's is its place in PlanContext.rules, what is no rule counts down from the top bit.
SUPPRESSED, PAUSED, HOLDOUT, AUDIENCE, EXPIRED, SEEN, CHANNEL, CLOSED, MAX_SENDS, EXPLORED, NOT_CHOSEN, SAME_MOMENT, SAME_KEY, WEEKLY = (
    range(63, 49, -1)
)

# The lowest is the headline; rules bring their own: opt_in 10, known_timezone 15, quiet_hours 20, back_off 30, no_repeat 40, …
FIXED = {
    SUPPRESSED: ("suppressed", 5),
    PAUSED: ("paused", 12),
    HOLDOUT: ("holdout", 13),
    CHANNEL: ("channel", 16),
    AUDIENCE: ("audience", 17),
    EXPIRED: ("expired", 18),
    SEEN: ("seen", 19),
    SAME_KEY: ("same_send", 41),
    SAME_MOMENT: ("same_moment", 65),
    MAX_SENDS: ("max_sends", 80),
    WEEKLY: ("weekly_budget", 81),
    CLOSED: ("quota", 82),
    EXPLORED: ("exploration", 85),
    NOT_CHOSEN: ("lower_value", 90),
}
NAMES = {"opt_in": "consent", "known_timezone": "unknown_timezone"}  # rules whose reason has a plainer name


def bit(reason: int) -> np.uint64:
    """The bit of a reason; the cap that is no rule (a negative number) is SAME_MOMENT."""
    return np.uint64(1) << np.uint64(reason if reason >= 0 else SAME_MOMENT)


def reason_names(rules: Sequence[Rule]) -> dict[int, str]:
    """The name of each reason number."""
    named = {number: NAMES.get(rule.rule, rule.rule) for number, rule in enumerate(rules)}
    return named | {number: name for number, (name, _) in FIXED.items()}


def by_precedence(rules: Sequence[Rule]) -> npt.NDArray[np.int64]:
    """Every reason number, the one that makes the headline first; of two rules alike, the earlier in the config."""
    order = [(rule.precedence, number) for number, rule in enumerate(rules)] + [(rank, number) for number, (_, rank) in FIXED.items()]
    return np.array([number for _, number in sorted(order)], dtype=np.int64)


def headlines(masks: npt.NDArray[np.uint64], order: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The number of the reason that heads each mask of bits, -1 where there is none."""
    found = np.full(masks.shape, -1, dtype=np.int64)
    for number in order[::-1]:
        found[(masks & bit(int(number))) != 0] = number
    return found
