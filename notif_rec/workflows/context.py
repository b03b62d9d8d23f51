"""Config + model + store → what preparing and planning are told: Facts and PlanContext."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.artifact import load_model
from notif_rec.models.model import Model
from notif_rec.planning.ahead import USUAL_RATE_US
from notif_rec.planning.answers import active_channels
from notif_rec.planning.bucket import to_us
from notif_rec.planning.caps import named_categories, specs_of
from notif_rec.planning.context import ALWAYS_THERE, EVERYBODY, NEVER_EXPIRES, Channel, Items, PlanContext, Settings, Worth
from notif_rec.planning.facts import Facts
from notif_rec.planning.item_counts import read_item_counts
from notif_rec.policy.rule import Cap, ItemWeight, Rule, Weight
from notif_rec.scoring.engagement import Engagement, prior_engagement
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.incremental import Incremental
from notif_rec.scoring.item_parts import AGE, ANY_ITEM, POPULARITY, REPEAT_US, age_of
from notif_rec.store.rows import ModelRow
from notif_rec.store.store import Store
from notif_rec.tables import CLASSES
from notif_rec.workflows.facts import facts_of, segment_map
from notif_rec.workflows.increments import UPLIFT
from notif_rec.workflows.quota_rooms import quotas_of
from notif_rec.workflows.weekly_budgets import budgets_of

DAY_US = 86_400_000_000
LONGEST_MONTH_US = 32 * DAY_US
FADED = 30  # half-lives after which a send no longer tires anybody (2^-30)
RECOVERED = 10  # half-lives after which an item is as good as new (2^-10)

ITEMS = """
SELECT item, channels, epoch_us(created_at) AS created_us, epoch_us(expires_at) AS expires_us, item_class, audience, category, value
FROM items ORDER BY item
"""


@dataclass(frozen=True)
class Planner:
    """What a plan, an apply or an explain works with."""

    facts: Facts
    context: PlanContext
    model: ModelRow


def usable_models(store: Store, as_of: datetime) -> list[ModelRow]:
    """Models that know nothing from after `as_of` and are still on disk, the newest last."""
    rows = [row for row in store.models() if row.as_of <= as_of and (store.root / row.path).is_dir()]
    return sorted(rows, key=lambda row: (row.as_of, row.seq or 0))


def newest_model(store: Store, as_of: datetime, wanted: str = "") -> ModelRow:
    """The newest model that knows nothing from after `as_of`; DataError where there is none. Of several of one moment the one whose
    config says `wanted` (train.model_config_hash), where there is one."""
    usable = usable_models(store, as_of)
    if not usable:
        models = store.models()
        why = f"the only models are of later moments (first {models[0].as_of:%Y-%m-%dT%H:%M:%SZ})" if models else "no model was trained yet"
        raise DataError(f"no model for {as_of:%Y-%m-%dT%H:%M:%SZ}: {why}", "run `notif-rec train --as-of` that moment or earlier")
    newest = [row for row in usable if row.as_of == usable[-1].as_of]
    return next((row for row in reversed(newest) if row.model_config_hash == wanted), newest[-1])


def build_planner(
    store: Store, connection: duckdb.DuckDBPyConnection, config: Config, row: ModelRow, as_of: datetime, channels: Sequence[str] = ()
) -> Planner:
    """Facts and context of a plan at `as_of` over the views of `connection`; `channels` limits it to some (others count as paused)."""
    model = load_model(store.root / row.path)
    items = connection.sql(ITEMS).to_arrow_table()
    named = {a for a in items.column("audience").to_pylist() if a} | {q.segment for q in config.quotas if q.segment}
    audiences = tuple(sorted(named))
    categories = named_categories(config.binding_rules, config.channel_names, [q.category for q in config.quotas if q.category])
    engagement, curve = _engagement(model, config), curve_of(model)
    facts = _facts(config, model, categories, audiences, curve)
    found = active_channels(connection, to_us(as_of))
    left_out = [c for c in config.channel_names if channels and c not in channels]
    context = PlanContext(
        settings=_settings(config, as_of),
        channels=tuple(Channel(n, c.items_per_send, c.max_sends, c.exclude_seen, c.cost) for n, c in config.channels.items()),
        rules=_learned(config, curve),
        categories=categories,
        audiences=audiences,
        items=_known(connection, item_arrays(items, model, config.channel_names, audiences, categories), model, facts, as_of),
        model=model,
        engagement=engagement,
        active=tuple(name in found for name in config.channel_names),
        curve=curve,
        paused=tuple(sorted({*(p.channel for p in store.pauses()), *left_out})),
        quotas=quotas_of(config),
        incremental=_incremental(model, config),
        weekly=budgets_of(config),
    )
    return Planner(facts, context, row)


def curve_of(model: Model) -> FatigueCurve | None:
    """How users tire, as the model learned it."""
    return FatigueCurve.from_json(model.extras["fatigue"]) if "fatigue" in model.extras else None


def _learned(config: Config, curve: FatigueCurve | None) -> tuple[Rule, ...]:
    """The rules that bind, those that learn as the curve would have them."""
    if curve is None:
        return config.binding_rules
    return tuple(rule.with_curve(curve, rule.channels or config.channel_names) for rule in config.binding_rules)


def _settings(config: Config, as_of: datetime) -> Settings:
    return Settings(
        as_of_us=to_us(as_of),
        lead_us=config.lead // timedelta(microseconds=1),
        horizon_us=config.horizon // timedelta(microseconds=1),
        timezone=config.timezone,
        worth=Worth(config.value.opened, config.value.clicked, config.value.unsubscribed),
        seed=config.seed,
        holdout=config.holdout,
        holdout_salt=config.holdout_salt,
        exploration=config.exploration.share,
        temperature=config.exploration.temperature,
        max_offers=config.max_offers,
        candidates=config.candidates,
    )


def _engagement(model: Model, config: Config) -> Engagement:
    """The model's rates in the order of the config's channels; DataError where it was trained under other ones."""
    if "engagement" not in model.extras:
        return prior_engagement(config.channel_names)
    fitted = Engagement.from_json(model.extras["engagement"])
    if fitted.channels != config.channel_names:
        raise DataError(
            f"model {model.model_id} knows the channels {', '.join(fitted.channels)}; the config has {', '.join(config.channel_names)}",
            "run `notif-rec train`",
        )
    return fitted


def _incremental(model: Model, config: Config) -> Incremental | None:
    """What sends add, as the model learned it; None by response. DataError where the model was trained for that, or for other channels."""
    if config.objective != UPLIFT:
        return None
    if UPLIFT not in model.extras:
        raise DataError(
            f"model {model.model_id} was trained for `objective: response` and does not know what sends add", "run `notif-rec train`"
        )
    return Incremental.from_json(model.extras[UPLIFT])


def _facts(config: Config, model: Model, categories: tuple[str, ...], audiences: tuple[str, ...], curve: FatigueCurve | None) -> Facts:
    segments, lookback = segment_map(model), lookback_us(config, curve)
    return replace(facts_of(config, curve), categories=categories, audiences=audiences, lookback_us=lookback, segments=segments)


def _known(connection: duckdb.DuckDBPyConnection, items: Items, model: Model, facts: Facts, as_of: datetime) -> Items:
    """`items` with their age, and how they were answered on each channel, as of the plan."""
    counts, code = read_item_counts(connection, facts, as_of, 0), model.item_codes.astype(np.int64)
    plan = np.zeros(len(code), np.int64)
    answered = [np.stack(counts.popularity(code, np.full(len(code), at), plan), axis=1) for at in range(len(facts.channels))]
    age = age_of(items.created_us, np.full(len(code), to_us(as_of)))
    return replace(items, age=age, popularity=np.stack(answered, axis=1))


def lookback_us(config: Config, curve: FatigueCurve | None = None) -> int:
    """How far back a send may still bind or tire."""
    spans = [2 * DAY_US, REPEAT_US]
    for rule in config.binding_rules:
        if isinstance(rule, Cap):
            limit = rule.limit(rule.channels or config.channel_names)
            spans.append(limit.window_us if limit.per == "rolling" else LONGEST_MONTH_US)
        elif isinstance(rule, Weight):
            specs = specs_of(rule, config.channel_names, curve)
            spans += [int(FADED * spec.half_life_us) for spec in specs] + [USUAL_RATE_US if rule.learned else 0]
        elif isinstance(rule, ItemWeight):
            spans.append(RECOVERED * rule.recovery(rule.channels or config.channel_names).half_life_us)
    return max(spans) + DAY_US


def item_arrays(items: pa.Table, model: Model, channels: Sequence[str], audiences: tuple[str, ...], categories: tuple[str, ...]) -> Items:
    """The store's items in the order of the model's. An item that the catalogue lacks fits no channel, unless there is no catalogue."""
    n, known = len(model.item_codes), items.num_rows > 0
    row = model.item_rows(int(model.item_codes.max(initial=-1)) + 1)
    codes = items.column("item").to_numpy()
    at = np.where(codes < len(row), row[np.minimum(codes, max(len(row) - 1, 0))], -1) if len(row) else np.full(len(codes), -1)
    inside = at >= 0
    names, category = _codes(items.column("category"))

    def aligned(values: npt.NDArray[Any], empty: Any, dtype: Any) -> npt.NDArray[Any]:
        out = np.full(n, empty, dtype=dtype)
        out[at[inside]] = values[inside]
        return out

    place = {name: number for number, name in enumerate(audiences)}
    audience = np.array([place[a] if a else EVERYBODY for a in items.column("audience").to_pylist()], dtype=np.int16)
    bits = {name: number for number, name in enumerate(categories)}
    named = np.array([1 << bits[c] if c in bits else 0 for c in items.column("category").to_pylist()], dtype=np.uint64)
    fits = np.full((n, len(channels)), not known)
    fits[at[inside]] = _fits(items.column("channels"), channels)[inside]
    return Items(
        channels=fits,
        created_us=aligned(_filled(items.column("created_us"), ALWAYS_THERE), ALWAYS_THERE, np.int64),
        expires_us=aligned(_filled(items.column("expires_us"), NEVER_EXPIRES), NEVER_EXPIRES, np.int64),
        item_class=aligned(np.array([CLASSES.index(c or CLASSES[0]) for c in items.column("item_class").to_pylist()]), 0, np.int8),
        audience=aligned(audience, EVERYBODY, np.int16),
        category=aligned(category, -1, np.int32),
        categories=aligned(named, 0, np.uint64),
        value=aligned(_filled(items.column("value"), 1.0), 1.0, np.float64),
        age=np.full(n, ANY_ITEM[AGE], np.int8),
        popularity=np.full((n, len(channels), 2), ANY_ITEM[POPULARITY], np.int8),
        category_names=names,
    )


def _fits(column: pa.ChunkedArray, channels: Sequence[str]) -> npt.NDArray[np.bool_]:
    """(n_items, n_channels) True where the item names the channel, or names none."""
    lists = column.to_pylist()
    return np.array([[not named or c in named for c in channels] for named in lists], dtype=np.bool_).reshape(len(lists), len(channels))


def _codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Distinct texts, sorted, and the place of each row's in them, -1 for none."""
    texts = [text or None for text in column.to_pylist()]
    names = tuple(sorted({t for t in texts if t is not None}))
    place = {name: number for number, name in enumerate(names)}
    return names, np.array([-1 if t is None else place[t] for t in texts], dtype=np.int32)


def _filled(column: pa.ChunkedArray, empty: Any) -> npt.NDArray[Any]:
    values: npt.NDArray[Any] = column.fill_null(empty).to_numpy()
    return values
