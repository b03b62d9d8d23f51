"""The config: strict YAML → one frozen object that goes down into every stage."""

from notif_rec.config.config import Config
from notif_rec.config.load import load_config, load_policy, parse_config
from notif_rec.config.sections import ChannelSettings, Exploration, Guards, Output, Quota, Sources, Value, WeeklyBudget

__all__ = [
    "ChannelSettings",
    "Config",
    "Exploration",
    "Guards",
    "Output",
    "Quota",
    "Sources",
    "Value",
    "WeeklyBudget",
    "load_config",
    "load_policy",
    "parse_config",
]
