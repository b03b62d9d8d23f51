"""What `config check`, `config show` and `config schema` answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from notif_rec.config import Config, load_config
from notif_rec.store.store import Store
from notif_rec.strict_yaml import format_duration, load_yaml, read_text, refuse, write_yaml
from notif_rec.workflows.quota_words import FIX, half_known_segments, unknown_words
from notif_rec.workflows.weekly_budgets import budgets_of


@dataclass(frozen=True)
class CheckedConfig:
    """A config that holds, and what a reader may want to know of it."""

    path: Path
    config: Config
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The answer for machines."""
        rules = [rule.describe() for rule in self.config.binding_rules]
        return {
            "config": str(self.path), "valid": True, "hash": self.config.hash, "channels": list(self.config.channel_names), "rules": rules,
            "remarks": list(self.remarks),
        }  # fmt: skip


def check_config(path: Path, store: Path | None = None) -> CheckedConfig:
    """The config at `path`, with remarks on what is allowed but seldom meant; ConfigError where anything is wrong, names in quotas too
    where there is a `store` that would know them.
    """
    config = load_config(path)
    budgets_of(config)
    remarks = _remarks(config)
    if config.quotas and store is not None and store.exists():
        with Store.open(store).connect() as connection:
            refuse(unknown_words(connection, config), load_yaml(read_text(path), str(path))[1], str(path), FIX)
            remarks += half_known_segments(connection, config)
    return CheckedConfig(path, config, tuple(remarks))


def _remarks(config: Config) -> list[str]:
    """Keys that hold but say less, or more, than they seem to."""
    found = []
    for name, channel in config.channels.items():
        caps = [r for r in config.rules if r.rule == "frequency_cap" and name in (r.channels or config.channel_names)]
        if channel.max_sends == 0:
            found.append(f"channels.{name}.max_sends: 0 forbids the channel")
        elif not caps:
            found.append(f"channels.{name}: no frequency_cap binds it; each plan may send {channel.max_sends} per user")
        if channel.weekly is not None and channel.weekly.budget == 0:
            found.append(f"channels.{name}.weekly.budget: 0 forbids marketing on the channel")
    for number, rule in enumerate(config.rules):
        if getattr(rule, "max", None) == 0:
            found.append(f"rules.{number}: max: 0 forbids {', '.join(rule.channels) or 'every channel'}")
    if config.exploration.share * len(config.channels) > 1:
        found.append(
            f"exploration: a user explores on one channel a plan, so every one of them does, on each with 1/{len(config.channels)}"
        )
    if config.value.unsubscribed > 0:
        found.append("value.unsubscribed is above 0: an opt-out counts as a gain")
    return found


def to_text(config: Config) -> str:
    """`config` as YAML with every key resolved; `parse_config` reads it back as an equal config."""
    return write_yaml(config.to_json()).rstrip()


def config_schema() -> dict[str, Any]:
    """The JSON schema of the config file."""
    found = Config.model_json_schema(by_alias=True, schema_generator=_Schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found, "title": "notif-rec config"}


class _Schema(GenerateJsonSchema):
    """Defaults spelled as in the file: `7d`, not ISO 8601."""

    def encode_default(self, dft: Any) -> Any:
        """A default as plain JSON."""
        if isinstance(dft, timedelta):
            return format_duration(dft)
        if isinstance(dft, BaseModel):
            return dft.model_dump(mode="json")
        return {k: self.encode_default(v) for k, v in dft.items()} if isinstance(dft, dict) else super().encode_default(dft)
