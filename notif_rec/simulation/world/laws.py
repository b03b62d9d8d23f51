"""What is true in the simulated world, as numbers. Planning never sees this file; simulations and tests of estimators do.

Levels are of vendors' benchmarks: direct opens of push 2–8 %, of mails 20–40 % with 2 % clicking, unsubscribes .1–.3 % of mails;
what suits a user best is clicked about twice as often as what is popular. No half-life of fatigue was ever published: these are ours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

CHANNELS = ("push", "email", "in_app")
EVENTS = {"view": 1.0, "save": 4.0, "purchase": 8.0}  # names of organic behaviour, and how much each says of taste
TOPICS = 16


@dataclass(frozen=True)
class Law:
    """One channel. Rates are of a typical user who likes the item as everybody does, rested and at an average hour.

    opened: of sends (in_app: of those who come within a day). clicked: of an item at the top of an opened send. unsubscribed:
    of sends. half_life_days of fatigue; tired: how far each unit of it lowers the logit of an open (of a click: half as far).
    bored: how far each ignored send in a row lowers it. hours: how much the user's own hours matter, 0 to 1. delay_minutes: median
    time to an open.
    """

    opened: float
    clicked: float
    unsubscribed: float
    half_life_days: float
    tired: float
    bored: float
    hours: float
    delay_minutes: float


LAWS = {
    "push": Law(0.08, 0.40, 0.0004, 3.0, 0.30, 0.15, 0.6, 12.0),
    "email": Law(0.26, 0.03, 0.0006, 7.0, 0.25, 0.10, 0.3, 150.0),
    "in_app": Law(0.50, 0.08, 0.00015, 2.0, 0.15, 0.05, 0.0, 180.0),
}
# SPILL[i, j]: how much a send on channel i tires a user of channel j
SPILL = np.array([[1.0, 0.2, 0.3], [0.2, 1.0, 0.1], [0.1, 0.05, 1.0]])
ANNOYED = 0.20  # each unit of fatigue, over all channels, raises the logit of an unsubscribe
NEGLECTED = 0.10  # and each ignored send in a row
IGNORED_MOST = 5  # ignored sends beyond change nothing more
MISMATCHED = 0.3  # liking the first item less than everybody does raises it too

LIKING_OPENED, LIKING_CLICKED, APPEAL_CLICKED = 0.12, 0.50, 0.40  # what liking (in logs) and appeal do to the logit
WHIM = 0.4  # spread of a user's liking of an item that nothing foretells
POSITION = 0.35  # a click's logit falls by this times the log of the position
SEEN = 1.0  # and by this where the user had the item before
FRESH, FRESH_HALF_LIFE = 0.8, 10.0  # a new item is viewed and clicked more, for days

VISITS = 0.35  # a typical user's visits a day
FORGETTING, HALF_GONE_DAYS = 0.6, 30.0  # who does not come for long comes less: down to 1 − FORGETTING
HURT = 0.7  # an unsubscribe leaves this of the visits
LEAVES_ALL = 0.2  # share of unsubscribes that close every channel
LATE, LATE_DAYS = 0.3, 2.0  # share of unsubscribes that come days later, and the mean of those days
INSTEAD = 0.5  # a session that a click began takes the place of a visit of the same day this often
VIEWS = 1.2  # views of a visit beyond the first
SAVED, PURCHASED = 0.08, 0.02  # of views, at everybody's liking


def logit(p: float) -> float:
    """The log odds of a probability."""
    return float(np.log(p / (1 - p)))
