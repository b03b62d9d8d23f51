"""The config's weekly budgets as the planner takes them."""

from __future__ import annotations

from datetime import timedelta

from notif_rec.config import Config
from notif_rec.errors import ConfigError
from notif_rec.planning.weekly import Weekly, most_a_week
from notif_rec.policy.rule import Cap

MOST = 100  # sends a week of one user


def budgets_of(config: Config) -> tuple[Weekly | None, ...]:
    """The config's weekly budgets as the planner takes them, not yet settled; empty where there are none.

    ConfigError where users are owed more a week than max_sends and the rules let anybody have.
    """
    if all(channel.weekly is None for channel in config.channels.values()):
        return ()
    return tuple(_budget_of(config, name) for name in config.channel_names)


def _budget_of(config: Config, name: str) -> Weekly | None:
    channel = config.channels[name]
    if channel.weekly is None:
        return None
    limits = [
        r.limit(r.channels or config.channel_names) for r in config.binding_rules if isinstance(r, Cap) and "marketing" not in r.exempt
    ]
    caps = [(c.maximum, c.per, c.window_us) for c in limits if name in c.channels and c.category is None and not c.same_item]
    most = most_a_week(caps, channel.max_sends, config.horizon // timedelta(microseconds=1), MOST)
    if channel.weekly.at_least > most:
        raise ConfigError(
            f"channels.{name}.weekly.at_least: {channel.weekly.at_least} sends a week are owed to each user, but max_sends and the rules "
            f"allow {most}",
            f"write at_least: {most}, or loosen what binds",
        )
    return Weekly(channel.weekly.at_least, most if channel.weekly.at_most is None else min(most, channel.weekly.at_most))
