"""The rules that count, as arrays for compiled code: caps, fatigue, and items that recover."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from notif_rec.errors import ConfigError
from notif_rec.policy.rule import Cap, CapSpec, Counting, FatigueSpec, ItemWeight, Rule, Weight
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.tables import CLASSES

IntArray = npt.NDArray[np.int64]
ByteArray = npt.NDArray[np.uint8]
PER = ("rolling", "calendar_day", "calendar_week", "calendar_month")  # a cap's `per` is its place here
MAX_CATEGORIES = MAX_FATIGUES = 64
SAME_MOMENT = -1  # the rule number of the cap that is no rule: one send per user, channel and moment


class Caps(NamedTuple):
    """One row a cap. A send is *bound* by a cap that may forbid it, and *counted* where it takes room.

    channels: (n, n_channels) 0/1. binds, counts: (n, n_classes) 0/1. category: its bit, 0 = every send. same_item: 0/1.
    per: code in PER. window_us: for rolling ones. rule: its place in the list of rules.
    """

    channels: ByteArray
    binds: ByteArray
    counts: ByteArray
    category: npt.NDArray[np.uint64]
    same_item: ByteArray
    maximum: IntArray
    per: IntArray
    window_us: IntArray
    rule: IntArray


class Fatigues(NamedTuple):
    """One row a fatigue: value × (1 − strength)^F. channels: those that it binds; tires: those whose sends count; binds, counts as in Caps.

    ahead: 1 where it is learned, so that a send also pays for what it takes from sends after the plan (planning/ahead.py). since_us:
    earlier sends do not count, as probabilities that were learned of them know them already; 0 where they do not.
    """

    channels: ByteArray
    tires: ByteArray
    binds: ByteArray
    counts: ByteArray
    half_life_us: npt.NDArray[np.float64]
    keep: npt.NDArray[np.float64]  # 1 - strength
    ahead: ByteArray
    since_us: npt.NDArray[np.int64]


class Recoveries(NamedTuple):
    """One row a rule by which items recover: value − penalty · 2^(−age / half_life). channels, binds and counts as in Caps."""

    channels: ByteArray
    binds: ByteArray
    counts: ByteArray
    half_life_us: npt.NDArray[np.float64]
    penalty: npt.NDArray[np.float64]


def caps_of(rules: Sequence[Rule], channels: tuple[str, ...], categories: tuple[str, ...]) -> Caps:
    """The caps among `rules` in their order, then one per channel that keeps two sends from sharing a moment.

    A send is known by its user, channel and time, so such a pair could not be told apart later.
    """
    rows = [_Row(number, rule, rule.limit(rule.channels or channels)) for number, rule in enumerate(rules) if isinstance(rule, Cap)]
    rows += [_Row(SAME_MOMENT, None, CapSpec((channel,), 1, window_us=1)) for channel in channels]
    for row in rows:
        if row.spec.same_item and row.spec.maximum > 1:
            raise ConfigError(f"rules.{row.number}: a cap per item allows more than one send", "count an item once, or cap its category")
    return Caps(
        channels=_flags([[c in row.spec.channels for c in channels] for row in rows], len(channels)),
        binds=_flags([_binds(row.rule) for row in rows], len(CLASSES)),
        counts=_flags([_counts(row.rule) for row in rows], len(CLASSES)),
        category=np.array([category_bit(row.spec.category, categories) for row in rows], dtype=np.uint64),
        same_item=np.array([row.spec.same_item for row in rows], dtype=np.uint8),
        maximum=np.array([row.spec.maximum for row in rows], dtype=np.int64),
        per=np.array([PER.index(row.spec.per) for row in rows], dtype=np.int64),
        window_us=np.array([row.spec.window_us for row in rows], dtype=np.int64),
        rule=np.array([row.number for row in rows], dtype=np.int64),
    )


def fatigues_of(
    rules: Sequence[Rule], channels: tuple[str, ...], curve: FatigueCurve | None = None, known: Collection[str] = (), as_of_us: int = 0
) -> Fatigues:
    """The fatigue rules among `rules`, in their order; those that learn, as `curve` has them: one row a pair of channels that tire.

    known: channels whose probabilities are learned from the sends before `as_of_us`.
    """
    found = [(rule, spec) for rule in rules if isinstance(rule, Weight) for spec in specs_of(rule, channels, curve)]
    if len(found) > MAX_FATIGUES:
        raise ConfigError(f"fatigue between {len(found)} pairs of channels, at most {MAX_FATIGUES}", "let fewer channels tire each other")
    return Fatigues(
        channels=_flags([[c in (spec.tired or spec.channels) for c in channels] for _, spec in found], len(channels)),
        tires=_flags([[c in spec.channels for c in channels] for _, spec in found], len(channels)),
        binds=_flags([_binds(rule) for rule, _ in found], len(CLASSES)),
        counts=_flags([_counts(rule) for rule, _ in found], len(CLASSES)),
        half_life_us=np.array([spec.half_life_us for _, spec in found], dtype=np.float64),
        keep=np.array([1.0 - spec.strength for _, spec in found], dtype=np.float64),
        ahead=np.array([rule.learned and curve is not None for rule, _ in found], dtype=np.uint8),
        since_us=np.array([as_of_us if spec.tired and spec.tired[0] in known else 0 for _, spec in found], dtype=np.int64),
    )


def recoveries_of(rules: Sequence[Rule], channels: tuple[str, ...]) -> Recoveries:
    """The rules by which items recover, in their order."""
    found = [(rule, rule.recovery(rule.channels or channels)) for rule in rules if isinstance(rule, ItemWeight)]
    return Recoveries(
        channels=_flags([[c in spec.channels for c in channels] for _, spec in found], len(channels)),
        binds=_flags([_binds(rule) for rule, _ in found], len(CLASSES)),
        counts=_flags([_counts(rule) for rule, _ in found], len(CLASSES)),
        half_life_us=np.array([spec.half_life_us for _, spec in found], dtype=np.float64),
        penalty=np.array([spec.penalty for _, spec in found], dtype=np.float64),
    )


def specs_of(rule: Weight, channels: tuple[str, ...], curve: FatigueCurve | None) -> Sequence[FatigueSpec]:
    """What a rule comes to: as it is written or, where it learns, what each of its channels takes from each."""
    own = rule.channels or channels
    if not rule.learned or curve is None:
        return [rule.fatigue(own)]
    fits = [(source, target, curve.of(target)) for target in own for source in own]
    pairs = [(source, target, fit.half_life_us.value, fit.used(channels.index(source))) for source, target, fit in fits]
    return [FatigueSpec((source,), half_life, strength, (target,)) for source, target, half_life, strength in pairs if strength > 0]


def named_categories(rules: Sequence[Rule], channels: tuple[str, ...], others: Sequence[str] = ()) -> tuple[str, ...]:
    """The categories that a cap or `others` (quotas) name, sorted. Raises ConfigError beyond MAX_CATEGORIES."""
    limits = [r.limit(r.channels or channels).category for r in rules if isinstance(r, Cap)]
    names = tuple(sorted({c for c in (*limits, *others) if c is not None}))
    if len(names) > MAX_CATEGORIES:
        raise ConfigError(f"rules and quotas name {len(names)} categories", f"name at most {MAX_CATEGORIES}")
    return names


def category_bit(category: str | None, categories: tuple[str, ...]) -> int:
    """The bit of a named category, 0 for None."""
    return 0 if category is None else 1 << categories.index(category)


class _Row(NamedTuple):
    number: int
    rule: Counting | None
    spec: CapSpec


def _binds(rule: Counting | None) -> list[bool]:
    return [rule is None or name not in rule.exempt for name in CLASSES]


def _counts(rule: Counting | None) -> list[bool]:
    return [rule is None or rule.count_exempt or name not in rule.exempt for name in CLASSES]


def _flags(rows: Sequence[Sequence[bool]], width: int) -> ByteArray:
    return np.array(rows, dtype=np.uint8).reshape(len(rows), width)
