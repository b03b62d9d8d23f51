"""Who lives in the world: tastes, habits, tempers and consents. A user is a function of (seed, number)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.simulation.world.chance import FloatArray, normal, pick, uniform
from notif_rec.simulation.world.days import COUNTRIES, ZONE_SHARES, ZONES, Days
from notif_rec.simulation.world.laws import CHANNELS, LAWS, TOPICS, VISITS

ARRIVALS = 0.004  # new users a day, of those who were there at the start
TASTE_SPREAD, RATE_SPREAD = 1.6, 0.9
LEAN_SPREAD, TOUCHY_SPREAD = 0.6, 0.7
ZONE_TOLD = 0.9  # of users; the others' zone stands in no file
CONSENTS = ("yes", "no", "provisional", "")
CONSENT_SHARES = {"push": (0.62, 0.28, 0.05, 0.05), "email": (0.55, 0.15, 0.0, 0.30), "in_app": (0.20, 0.02, 0.0, 0.78)}
HABIT_HOURS = 2.0  # how far around
HABITS = ((8.0, 18.0), (12.5, 12.5), (20.5, 20.5), (23.0, 7.0))  # local hours around which each kind of user is about


@dataclass(frozen=True)
class People:
    """One row a user, those of the start first, then in the order of arrival.

    arrives: day. rate: visits a day. hours: (n, 24) share of visits by local hour. week: (n, 7) factor of visits by weekday.
    taste: (n, TOPICS), sums to 1. lean: (n, n_channels) what makes this user open more, in logits; click_lean likewise for clicks.
    touchy: logit of unsubscribing beyond the typical. consent: (n, n_channels) places in CONSENTS.
    """

    ids: pa.Array
    arrives: npt.NDArray[np.int64]
    zone: npt.NDArray[np.int64]
    zone_told: npt.NDArray[np.bool_]
    rate: FloatArray
    hours: FloatArray
    week: FloatArray
    taste: FloatArray
    lean: FloatArray
    click_lean: FloatArray
    touchy: FloatArray
    consent: npt.NDArray[np.int64]

    @property
    def n(self) -> int:
        return len(self.rate)


def make_people(seed: int, n_start: int, days: Days) -> People:
    """`n_start` users who were there before the first day, and those who arrive on each day from the start on."""
    a_day = max(1, round(ARRIVALS * n_start))
    arrives = np.concatenate([np.full(n_start, days.first - 1), np.repeat(np.arange(days.end), a_day)])
    who = np.arange(len(arrives))
    week = 1 + 0.35 * np.sign(normal(seed, "week", who))[:, None] * np.array([-0.3, -0.3, -0.3, -0.3, 0.0, 0.6, 0.6])
    channel = np.arange(len(CHANNELS))
    consent = [pick(uniform(seed, f"consent-{name}", who), np.array(CONSENT_SHARES[name])) for name in LAWS]
    return People(
        ids=pa.array([f"u{number:07d}" for number in who]),
        arrives=arrives,
        zone=pick(uniform(seed, "zone", who), ZONE_SHARES),
        zone_told=uniform(seed, "zone-told", who) < ZONE_TOLD,
        rate=VISITS * np.exp(RATE_SPREAD * normal(seed, "rate", who) - RATE_SPREAD**2 / 2),
        hours=_hours(seed, who),
        week=week,
        taste=_shares(np.exp(TASTE_SPREAD * normal(seed, "taste", who[:, None], np.arange(TOPICS)))),
        lean=LEAN_SPREAD * normal(seed, "lean", who[:, None], channel),
        click_lean=LEAN_SPREAD / 2 * normal(seed, "click-lean", who),
        touchy=TOUCHY_SPREAD * normal(seed, "touchy", who),
        consent=np.stack(consent, axis=1),
    )


def users_table(people: People, rows: npt.NDArray[np.int64], days: Days) -> pa.Table:
    """The rows of the users file, as a sender would have it."""
    told = people.zone_told[rows]
    zone = pa.array([ZONES[z] if known else "" for z, known in zip(people.zone[rows], told, strict=True)])
    consent = {name: pa.array([CONSENTS[c] for c in people.consent[rows, at]]) for at, name in enumerate(CHANNELS)}
    created = pa.array([days.moment(int(day)) for day in people.arrives[rows]], pa.timestamp("us", "UTC"))
    country = pa.array([COUNTRIES[z] for z in people.zone[rows]])
    return pa.table({"user_id": people.ids.take(pa.array(rows)), "timezone": zone, **consent, "created_at": created, "country": country})


def _hours(seed: int, who: npt.NDArray[np.int64]) -> FloatArray:
    hour = np.arange(24) + 0.5
    apart = np.abs((hour - np.array(HABITS)[:, :, None] + 12) % 24 - 12)  # hours, the short way round
    kinds = _shares(0.03 + np.exp(-0.5 * (apart / HABIT_HOURS) ** 2).sum(axis=1))
    mixture = _shares(np.exp(1.5 * normal(seed, "habit", who[:, None], np.arange(len(HABITS)))))
    return np.asarray(mixture @ kinds, dtype=np.float64)


def _shares(weight: FloatArray) -> FloatArray:
    return np.asarray(weight / weight.sum(axis=1, keepdims=True), dtype=np.float64)
