"""The obvious rivals by name: the policy that each follows, made from a config, and the planner that it stands for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from notif_rec.config import Config, Exploration
from notif_rec.planning.plan_batch import plan_batch
from notif_rec.policy.rule import Weight
from notif_rec.simulation.rivals import Planner, popular_first, score_first

CAPS = ("frequency_cap", "min_gap")
DEEPER, MOST_CANDIDATES = 6, 1000


@dataclass(frozen=True)
class Policy:
    """What is simulated: a config and a planner."""

    name: str
    config: Config
    planner: Planner = plan_batch


@dataclass(frozen=True)
class Preset:
    """What it says of itself, which of the config's rules it keeps, and how it plans."""

    says: str
    keeps: Callable[[object], bool]
    planner: Planner


def _name(rule: object) -> str:
    return str(getattr(rule, "rule", ""))


PRESETS: Mapping[str, Preset] = {
    "ours": Preset("the config as it is", lambda rule: True, plan_batch),
    "popular-flat-cap": Preset(
        "most popular to everyone under the same flat caps; no fatigue, no back_off",
        lambda rule: not isinstance(rule, Weight) and _name(rule) != "back_off",
        popular_first,
    ),
    "score-first": Preset("best score first, first come first served, under all the same rules", lambda rule: True, score_first),
    "no-caps": Preset(
        "the config without frequency_cap, min_gap, fatigue and back_off",
        lambda rule: not isinstance(rule, Weight) and _name(rule) not in (*CAPS, "back_off"),
        plan_batch,
    ),
}


def preset(name: str, config: Config) -> Policy:
    """The preset of that name under the keys of `config`.

    Rivals do not explore: they would not know what for; nor do they weigh who gets how much of a week. What is popular is the same for
    everybody, and `no_repeat` soon eats up a list that is long enough for tastes: that rival looks further down.
    """
    chosen = PRESETS[name]
    changed: dict[str, Any] = {"rules": tuple(rule for rule in config.rules if chosen.keeps(rule))}
    if chosen.planner is not plan_batch:
        changed["exploration"] = Exploration(share=0.0)
        changed["channels"] = {name: channel.model_copy(update={"weekly": None}) for name, channel in config.channels.items()}
    if chosen.planner is popular_first:
        changed["candidates"] = min(DEEPER * config.candidates, MOST_CANDIDATES)
    return Policy(name, config.model_copy(update=changed), chosen.planner)
