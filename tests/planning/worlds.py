"""Random worlds for the planner: users with histories, items, a model, and plain copies of the same facts for slow oracles."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from notif_rec.models.model import ChannelModel, Fallback, Model, Segments
from notif_rec.models.similar import Neighbours
from notif_rec.planning.caps import named_categories
from notif_rec.planning.cells import Quota
from notif_rec.planning.context import ALWAYS_THERE, EVERYBODY, NEVER_EXPIRES, Channel, Items, PlanContext, Settings, Worth
from notif_rec.policy.load import binding_rules, rule
from notif_rec.scoring.engagement import prior_engagement
from notif_rec.scoring.features import CLICKS, ITEMS, N_FEATURES, OPENS, SENDS
from notif_rec.tables import PLANNING_INPUT

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
CHANNELS = (Channel("push", 1, 2), Channel("email", 3, 1), Channel("in_app", 2, 2))
DEFAULT_RULES: tuple[dict[str, Any], ...] = (
    {"rule": "quiet_hours", "channels": ["push"], "from": "21:00", "to": "08:00"},
    {"rule": "frequency_cap", "channels": ["push"], "max": 2, "per": "1d"},
    {"rule": "frequency_cap", "channels": ["push", "email", "in_app"], "max": 6, "per": "7d"},
    {"rule": "frequency_cap", "channels": ["email"], "max": 1, "per": "calendar_day"},
    {"rule": "frequency_cap", "channels": ["push"], "category": "promo", "max": 1, "per": "3d"},
    {"rule": "min_gap", "channels": ["push", "email"], "gap": "4h"},
    {"rule": "no_repeat", "channels": ["push", "email", "in_app"], "within": "30d"},
    {"rule": "fatigue", "channels": ["push"], "half_life": "3d", "strength": 0.5},
    {"rule": "opt_in", "allow": ["yes", "provisional"], "channels": ["push"]},
)


def us(text: str) -> int:
    """Microseconds of an ISO time, UTC."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@dataclass
class Person:
    """One user's facts; sends are (us, channel index, item codes, ours), in any order."""

    user_id: str
    code: int = 0
    timezone: str | None = "UTC"
    consent: tuple[int, ...] = (2, 2, 2)
    suppressed: tuple[bool, ...] = (False, False, False)
    audience: tuple[bool, ...] = ()
    sends: list[tuple[int, int, tuple[int, ...], bool]] = field(default_factory=list)
    seen: tuple[int, ...] = ()
    taste: tuple[tuple[int, int, float], ...] = ()
    ignored: tuple[int, ...] = (0, 0, 0)
    ignored_us: tuple[int, ...] = (0, 0, 0)
    past: tuple[tuple[float, float, float, float], ...] = ((0, 0, 0, 0),) * 3  # sends, opens, clicks, items of each channel
    hours: tuple[float, ...] = (0.0,) * 168


@dataclass
class World:
    """Settings, rules as plain mappings, items by code and people; `context()` and `batch()` make of it what the planner takes."""

    settings: Settings
    people: list[Person]
    n_items: int = 12
    channels: tuple[Channel, ...] = CHANNELS
    rules: tuple[dict[str, Any], ...] = DEFAULT_RULES
    category: dict[int, str] = field(default_factory=dict)
    transactional: frozenset[int] = frozenset()
    created_us: dict[int, int] = field(default_factory=dict)
    expires_us: dict[int, int] = field(default_factory=dict)
    value: dict[int, float] = field(default_factory=dict)
    fits: dict[int, tuple[str, ...]] = field(default_factory=dict)
    audience: dict[int, int] = field(default_factory=dict)
    audiences: tuple[str, ...] = ()
    paused: tuple[str, ...] = ()
    quotas: tuple[Quota, ...] = ()
    unknown_timezone: str = "default"
    seed: int = 0
    factors: int = 8

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(channel.name for channel in self.channels)

    def item_id(self, code: int) -> str:
        """Texts whose order is not the codes' order."""
        return f"i{(code * 7 + 3) % self.n_items:04d}-{code}"

    def context(self) -> PlanContext:
        codes = sorted(range(self.n_items), key=self.item_id)
        typed = tuple(
            rule(r["rule"], **{k: tuple(v) if isinstance(v, list) else v for k, v in r.items() if k != "rule"}) for r in self.rules
        )
        categories = named_categories(typed, self.names, [q.category for q in self.quotas if q.category])
        return PlanContext(
            settings=self.settings,
            channels=self.channels,
            rules=binding_rules(typed, self.names, self.unknown_timezone),  # type: ignore[arg-type]
            categories=categories,
            audiences=self.audiences,
            items=self._items(codes, categories),
            model=self._model(codes),
            engagement=prior_engagement(self.names),
            active=(True,) * len(self.channels),
            paused=self.paused,
            quotas=self.quotas,
        )

    def _items(self, codes: list[int], categories: tuple[str, ...]) -> Items:
        names = tuple(sorted(set(self.category.values())))
        bits = [1 << categories.index(self.category[c]) if self.category.get(c) in categories else 0 for c in codes]
        return Items(
            channels=np.array([[not self.fits.get(c) or n in self.fits[c] for n in self.names] for c in codes], dtype=np.bool_),
            created_us=np.array([self.created_us.get(c, ALWAYS_THERE) for c in codes], dtype=np.int64),
            expires_us=np.array([self.expires_us.get(c, NEVER_EXPIRES) for c in codes], dtype=np.int64),
            item_class=np.array([c in self.transactional for c in codes], dtype=np.int8),
            audience=np.array([self.audience.get(c, EVERYBODY) for c in codes], dtype=np.int16),
            category=np.array([names.index(self.category[c]) if c in self.category else -1 for c in codes], dtype=np.int32),
            categories=np.array(bits, dtype=np.uint64),
            value=np.array([self.value.get(c, 1.0) for c in codes], dtype=np.float64),
            age=np.full(len(codes), 5, dtype=np.int8),
            popularity=np.full((len(codes), len(self.names), 2), 2, dtype=np.int8),
            category_names=names,
        )

    def _model(self, codes: list[int]) -> Model:
        rng = np.random.default_rng(self.seed)
        n, f, n_users = self.n_items, self.factors, max([p.code for p in self.people], default=0) + 1
        items, shared = rng.normal(size=(n, f)).astype(np.float32), rng.normal(size=(n_users, f))
        channels = {
            name: channel_model(name, at, (shared + rng.normal(size=(n_users, f)) * 0.5).astype(np.float32), items)
            for at, name in enumerate(self.names)
        }
        ids = tuple(self.item_id(c) for c in codes)
        rows = np.arange(n_users, dtype=np.int32)
        return Model("m1", datetime(2026, 1, 1), channels, np.array(codes, dtype=np.int32), ids, rows, Segments(), (), {})

    def batch(self, context: PlanContext) -> pa.RecordBatch:
        """The people as tables.PLANNING_INPUT, in their order."""
        bits = {c: 1 << context.categories.index(name) if name in context.categories else 0 for c, name in self.category.items()}
        rows = [self._row(person, bits) for person in self.people]
        return pa.RecordBatch.from_pylist(rows, schema=PLANNING_INPUT)

    def _row(self, person: Person, bits: dict[int, int]) -> dict[str, Any]:
        sends = sorted(person.sends, key=lambda s: (s[0], s[1]))
        flat = [(s, item) for s in sends for item in s[2]]
        taste = sorted(person.taste)
        digest = hashlib.md5(person.user_id.encode()).digest()
        return {
            "user": person.code,
            "user_id": person.user_id,
            "user_hash": int.from_bytes(digest[:8], "little"),
            "timezone": person.timezone,
            "consent": person.consent,
            "suppressed": person.suppressed,
            "audience": person.audience,
            "segment": -1,
            "send_us": [s[0] for s in sends],
            "send_channel": [s[1] for s in sends],
            "send_class": [int(all(i in self.transactional for i in s[2])) if s[2] else 0 for s in sends],
            "send_categories": [_union(bits.get(i, 0) for i in s[2]) for s in sends],
            "send_ours": [s[3] for s in sends],
            "send_day": [s[0] // DAY_US for s in sends],
            "sent_item": [item for _, item in flat],
            "sent_item_us": [s[0] for s, _ in flat],
            "sent_item_channel": [s[1] for s, _ in flat],
            "sent_item_class": [int(item in self.transactional) for _, item in flat],
            "sent_item_send": [place for place, s in enumerate(sends) for _ in s[2]],
            "ignored": person.ignored,
            "ignored_us": person.ignored_us,
            "features": [value for row in person.past for value in features(*row)],
            "hours": person.hours,
            "seen_item": sorted(person.seen),
            "taste_item": [t[0] for t in taste],
            "taste_channel": [t[1] for t in taste],
            "taste_weight": [t[2] for t in taste],
            "liked_category": [],
            "liked_count": [],
        }


def channel_model(name: str, code: int, users: np.ndarray, items: np.ndarray) -> ChannelModel:
    """A model that ranks by factors alone."""
    n = len(items)
    wide = items.astype(np.float64)
    empty = Neighbours(np.zeros(n + 1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))
    popular = Fallback(np.ones((1, n), np.float32), np.zeros((1, n), np.int8), np.arange(n, dtype=np.int32)[None, :])
    return ChannelModel(
        name, code, 0.5, 1.0, 0.01, 0.005, 1.0, False, 0.0, 0.0, 0.0, 0.0, users, items, wide.T @ wide, wide.mean(axis=0),
        np.zeros(n, np.float32), np.zeros(n, np.float32), empty, empty, popular, len(users), n, 0,
    )  # fmt: skip


def features(sends: float, opens: float, clicks: float, items: float) -> list[float]:
    """What the rates look at; all else is 0."""
    row = [0.0] * N_FEATURES
    row[SENDS], row[OPENS], row[ITEMS], row[CLICKS] = sends, opens, items, clicks
    return row


def _union(bits: Any) -> int:
    found = 0
    for b in bits:
        found |= b
    return found


def settings(as_of: str = "2026-03-10T06:00:00", **changes: Any) -> Settings:
    values: dict[str, Any] = {
        "as_of_us": us(as_of), "lead_us": 0, "horizon_us": DAY_US, "worth": Worth(0.1, 1.0, -3.0), "candidates": 12, "max_offers": 24,
    }  # fmt: skip
    return Settings(**{**values, **changes})


def random_people(rng: np.random.Generator, n: int, n_items: int, as_of_us: int, zones: Sequence[str | None]) -> list[Person]:
    """People with sends from a month before to two days after `as_of_us`, some of them bunched, some external."""
    return [_random_person(rng, code, n_items, as_of_us, zones) for code in range(n)]


def _random_person(rng: np.random.Generator, code: int, n_items: int, as_of_us: int, zones: Sequence[str | None]) -> Person:
    sends = {}
    for _ in range(int(rng.integers(0, 9))):
        back = rng.choice([40, 200, 2000])
        at = as_of_us + int(rng.integers(-back, 160)) * 900_000_000 + int(rng.choice([0, 0, 0, 7_000_000]))
        items = tuple(int(i) for i in rng.choice(n_items, size=int(rng.integers(1, 4)), replace=False))
        channel = int(rng.integers(0, 3))
        sends[at, channel] = (at, channel, items, bool(rng.random() < 0.6))
    return Person(
        user_id=f"u{code * 37 % 101:03d}",
        code=code,
        timezone=zones[int(rng.integers(len(zones)))],
        consent=tuple(int(c) for c in rng.choice([0, 1, 2], size=3, p=[0.15, 0.15, 0.7])),
        suppressed=tuple(bool(b) for b in rng.random(3) < 0.05),
        sends=list(sends.values()),
        seen=tuple(int(i) for i in rng.choice(n_items, size=int(rng.integers(0, 3)), replace=False)),
        ignored=tuple(int(i) for i in rng.integers(0, 6, size=3)),
        ignored_us=tuple(as_of_us - int(d) * DAY_US for d in rng.integers(1, 12, size=3)),
        past=tuple((10.0, float(o), float(c), 20.0) for o, c in zip(rng.integers(0, 9, 3), rng.integers(0, 3, 3), strict=True)),
        hours=tuple(np.outer([1, 1, 2, 1, 1, 3, 0], rng.integers(0, 4, size=24)).ravel().astype(float).tolist()),
    )


ZONES = (
    "America/New_York", "Europe/London", "Australia/Lord_Howe", "Asia/Kathmandu", "America/St_Johns", "Pacific/Apia", "Africa/Casablanca",
    "America/Santiago", None,
)  # fmt: skip
# days on which one of the zones sets its clock, and a plain one
DAYS = ("2026-03-08", "2026-11-01", "2026-03-29", "2026-10-25", "2026-04-05", "2026-10-04", "2026-09-06", "2026-02-15", "2026-06-10")
CATEGORIES = ("promo", "news", "plain")


def random_rules(rng: np.random.Generator) -> tuple[dict[str, Any], ...]:
    """A handful of rules of every kind, some of them tight enough to bind."""

    def some(least: int = 1) -> list[str]:
        names = [c.name for c in CHANNELS]
        return [names[i] for i in sorted(rng.choice(3, size=int(rng.integers(least, 4)), replace=False))]

    def exempt(counting: bool) -> dict[str, Any]:
        if rng.random() < 0.7:
            return {}
        return {"exempt": ["transactional"], **({"count_exempt": bool(rng.random() < 0.5)} if counting else {})}

    def cap() -> dict[str, Any]:
        per = str(rng.choice(["6h", "1d", "3d", "7d", "calendar_day", "calendar_week", "calendar_month"]))
        category = {"category": str(rng.choice(["promo", "news"]))} if rng.random() < 0.4 else {}
        return {
            "rule": "frequency_cap",
            "channels": some(),
            "max": int(rng.choice([0, 1, 1, 2, 2, 3, 5])),
            "per": per,
            **category,
            **exempt(True),
        }

    made = [cap() for _ in range(int(rng.integers(1, 4)))]
    makers = [
        lambda: {"rule": "min_gap", "channels": some(), "gap": str(rng.choice(["30m", "4h", "9h"])), **exempt(True)},
        lambda: {"rule": "no_repeat", "channels": some(), "within": str(rng.choice(["12h", "2d", "30d"])), **exempt(True)},
        lambda: {
            "rule": "fatigue",
            "channels": some(),
            "half_life": str(rng.choice(["6h", "3d"])),
            "strength": float(rng.choice([0.2, 0.5, 1.0])),
        },
        lambda: {"rule": "fatigue", "channels": some(2), "half_life": "1d", "strength": 0.3, **exempt(True)},
        lambda: {"rule": "quiet_hours", "channels": some(), "from": "21:00", "to": str(rng.choice(["08:00", "02:30"])), **exempt(False)},
        lambda: {"rule": "back_off", "channels": some(), "after_ignored": 3, "wait": "2d", "factor": 2, "max_wait": "9d"},
        lambda: {"rule": "opt_in", "channels": some(), "allow": ["yes", "provisional"]},
    ]  # fmt: skip
    return (*made, *(make() for make in makers if rng.random() < 0.5))


def random_world(seed: int, n_people: int = 1, **changes: Any) -> World:
    """A small world with everything in it, the same for the same seed."""
    rng = np.random.default_rng(seed)
    as_of = f"{rng.choice(DAYS)}T{rng.integers(0, 24):02d}:{rng.choice(['00', '10'])}:00"
    horizon = int(rng.choice([12, 24, 24, 50])) * HOUR_US
    chosen = {"horizon_us": horizon, "lead_us": int(rng.choice([0, 0, 90])) * 60_000_000, "max_offers": 8, "seed": seed, **changes}
    made = settings(as_of, **chosen)
    n_items = int(rng.integers(4, 13))
    window = (made.as_of_us, horizon)
    return World(
        made,
        random_people(rng, n_people, n_items, made.as_of_us, ZONES),
        n_items=n_items,
        channels=tuple(Channel(c.name, c.items_per_send, int(rng.integers(0, 4)), bool(rng.random() < 0.5)) for c in CHANNELS),
        rules=random_rules(rng),
        category={i: str(rng.choice(CATEGORIES)) for i in range(n_items) if rng.random() < 0.8},
        transactional=frozenset(i for i in range(n_items) if rng.random() < 0.2),
        created_us={i: window[0] + int(rng.integers(-9, 9)) * HOUR_US for i in range(n_items) if rng.random() < 0.1},
        expires_us={i: window[0] + int(rng.integers(0, 30)) * HOUR_US for i in range(n_items) if rng.random() < 0.1},
        value={i: float(rng.integers(1, 5)) for i in range(n_items)},
        fits={i: ("push", "email") for i in range(n_items) if rng.random() < 0.1},
        paused=("in_app",) if rng.random() < 0.1 else (),
        seed=seed,
    )
