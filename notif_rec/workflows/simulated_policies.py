"""`--policy` of `simulate`: names of presets and files, understood before a day is lived."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from notif_rec.config import Config, load_policy, parse_config
from notif_rec.errors import ConfigError, UsageError, did_you_mean
from notif_rec.simulation.presets import PRESETS, Policy, preset
from notif_rec.simulation.world.laws import CHANNELS
from notif_rec.workflows.init import STARTER


def starter_config() -> Config:
    """What `init` writes: for who has no workspace yet."""
    return parse_config(STARTER.read_text(encoding="utf-8"), STARTER.name)


def chosen_policies(said: Sequence[str], config: Config) -> tuple[Policy, ...]:
    """The policies that were named, else all presets, `ours` first; UsageError for an unknown name, ConfigError for a bad file.

    A file holds some of the config's top-level keys, each of which replaces the config's, as in `plan --policy`.
    """
    names = list(said) or list(PRESETS)
    doubled = next((name for name in names if names.count(name) > 1), None)
    if doubled is not None:
        raise UsageError(f"--policy {doubled} is named twice", "name each policy once")
    policies = tuple(_policy(name, config) for name in names)
    for policy in policies:
        _refuse_channels(policy)
    return policies


def _policy(name: str, config: Config) -> Policy:
    if name in PRESETS:
        return preset(name, config)
    if not Path(name).exists():
        raise UsageError(
            f"--policy {name}: neither a file nor a preset{did_you_mean(name, PRESETS)}",
            f"name a file of config keys, or one of {', '.join(PRESETS)}",
        )
    return Policy(name, load_policy(Path(name), config))


def _refuse_channels(policy: Policy) -> None:
    for channel in policy.config.channel_names:
        if channel not in CHANNELS:
            raise ConfigError(
                f"policy {policy.name}: the simulated world has no channel '{channel}'{did_you_mean(channel, CHANNELS)}",
                f"simulate a policy of {', '.join(CHANNELS)} alone: --policy FILE with other `channels` and `rules`",
            )
