"""What a plan has to say beside its sends: channels that cannot send, and models that were not meant for this config."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from notif_rec.config import Config
from notif_rec.errors import did_you_mean
from notif_rec.planning.context import PlanContext
from notif_rec.planning.ranking import eligible_items
from notif_rec.store.rows import ModelRow
from notif_rec.workflows.context import Planner
from notif_rec.workflows.train import model_config_hash


def plan_warnings(config: Config, planner: Planner, row: ModelRow) -> list[str]:
    """One line each; `row` is the model that the plan was made with."""
    context = planner.context
    quiet = [c for c, active in zip(config.channel_names, context.active, strict=True) if not active]
    bound = {c for rule in config.rules if rule.rule == "back_off" for c in (rule.channels or config.channel_names)}
    told = [f"back_off does not bind on {c}: no open or click in 30 days" for c in quiet if c in bound]
    told += [
        f"{c}: no item is live on it at any moment of the plan: all have expired, or have yet to begin" for c in _empty(config, context)
    ]
    told += _void_caps(config, context.items.category_names)
    if row.model_config_hash != model_config_hash(config):
        told.append(
            f"model {row.model_id} was trained under other settings of model, events or channels; `notif-rec train` heeds the new ones"
        )
    added = () if context.incremental is None else context.incremental.warnings
    return [*told, *context.engagement.warnings, *added]


def _void_caps(config: Config, categories: Sequence[str]) -> list[str]:
    """Caps on a category that no item has."""
    named = ((number, str(getattr(rule, "category", None) or "")) for number, rule in enumerate(config.rules))
    return [
        f"rules.{number}.category: the rule binds nothing, no item has the category '{name}'{did_you_mean(name, categories)}"
        for number, name in named
        if name and name not in categories
    ]


def price_warnings(unsettled: float, gap: float) -> list[str]:
    """One line where no pass was left to find better prices; unsettled: Allocated's, gap: the plan's."""
    if not unsettled:
        return []
    return [
        f"the quotas' prices did not settle in the passes that a plan has (better ones might lower the bound by {unsettled:.2%}); "
        f"every quota is kept, and the plan is at most {gap:.2%} below the best"
    ]


def _empty(config: Config, context: PlanContext) -> list[str]:
    """Channels on which no item is live, where there are items at all."""
    lanes, names = context.lanes.channel, config.channel_names
    full = {int(lanes[lane]) for lane in range(len(lanes)) if eligible_items(lane, context).any()}
    there = len(context.items.value) > 0 and len(context.grid.moments_us()) > 0
    return [names[channel] for channel in np.unique(lanes) if there and int(channel) not in full]
