"""A plan's context as a folder that any worker can open: arrays to be memory-mapped, the rest as JSON; never a pickle."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from notif_rec.models.artifact import load_model
from notif_rec.planning.cells import Quota
from notif_rec.planning.context import Channel, Items, Market, Overruled, PlanContext, Settings, Worth
from notif_rec.planning.weekly import Weekly
from notif_rec.policy.load import AnyRule
from notif_rec.policy.rule import Rule
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.fatigue import FatigueCurve
from notif_rec.scoring.incremental import Incremental
from notif_rec.store.arrays import write_array

FILE = "context.json"
RULES: TypeAdapter[tuple[Rule, ...]] = TypeAdapter(tuple[AnyRule, ...])


def save_context(folder: Path, context: PlanContext, model: Path) -> None:
    """Writes `context`, whose model lies in the folder `model`, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for field in fields(Items):
        value = getattr(context.items, field.name)
        if isinstance(value, np.ndarray):
            write_array(folder / f"item_{field.name}.npy", value)
    for prefix, part in (("market", context.market), ("overruled", context.overruled)):
        for field in fields(part) if part is not None else ():
            write_array(folder / f"{prefix}_{field.name}.npy", getattr(part, field.name))
    told = {
        "model": str(model.resolve()),
        "settings": asdict(context.settings),
        "channels": [asdict(channel) for channel in context.channels],
        "rules": [rule.model_dump(mode="json") for rule in context.rules],
        "categories": context.categories,
        "audiences": context.audiences,
        "category_names": context.items.category_names,
        "engagement": context.engagement.to_json(),
        "active": context.active,
        "curve": context.curve.to_json() if context.curve else None,
        "paused": context.paused,
        "quotas": [asdict(quota) for quota in context.quotas],
        "incremental": context.incremental.to_json() if context.incremental else None,
        "weekly": [None if budget is None else asdict(budget) for budget in context.weekly],
        "reach": context.reach,
    }
    (folder / FILE).write_text(json.dumps(told), encoding="utf-8")


def load_context(folder: Path) -> PlanContext:
    """The context that `save_context` wrote, its arrays memory-mapped."""
    told: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    settings = told["settings"] | {"worth": Worth(**told["settings"]["worth"])}
    market = _arrays(folder, "market", Market)
    return PlanContext(
        settings=Settings(**settings),
        channels=tuple(Channel(**channel) for channel in told["channels"]),
        rules=RULES.validate_json(json.dumps(told["rules"])),
        categories=tuple(told["categories"]),
        audiences=tuple(told["audiences"]),
        items=Items(**_arrays(folder, "item", Items), category_names=tuple(told["category_names"])),
        model=load_model(Path(told["model"]), check=False),
        engagement=Engagement.from_json(told["engagement"]),
        active=tuple(told["active"]),
        curve=FatigueCurve.from_json(told["curve"]) if told["curve"] else None,
        paused=tuple(told["paused"]),
        quotas=tuple(Quota(**quota) for quota in told["quotas"]),
        market=Market(**market) if market else None,
        overruled=Overruled(**_arrays(folder, "overruled", Overruled)),
        incremental=Incremental.from_json(told["incremental"]) if told["incremental"] else None,
        weekly=tuple(None if budget is None else Weekly(**budget) for budget in told["weekly"]),
        reach=told["reach"],
    )


def _arrays(folder: Path, prefix: str, kind: type[Items | Market | Overruled]) -> dict[str, Any]:
    """The arrays of a part of the context that were written, by field."""
    return {f.name: np.load(p, mmap_mode="r") for f in fields(kind) if (p := folder / f"{prefix}_{f.name}.npy").exists()}
