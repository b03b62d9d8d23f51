"""From a file to a Config, or to every problem with its line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from notif_rec.config.config import Config
from notif_rec.config.cross import cross_problems
from notif_rec.strict_yaml import Document, check_model, read_text, read_yaml, refuse


def load_config(path: Path) -> Config:
    """The config in the file at `path`; ConfigError with file:line for everything that is wrong with it."""
    return parse_config(read_text(path), str(path))


def parse_config(text: str, name: str) -> Config:
    """The config that `text` says; `name` stands before the line in errors."""
    return _checked(read_yaml(text, name), {}, name)


def load_policy(path: Path, base: Config) -> Config:
    """`base` with each top-level key that stands in the file at `path` replaced: another policy, or a tuned fragment."""
    return _checked(read_yaml(read_text(path), str(path)), base.to_json(), str(path))


def _checked(document: Document, base: dict[str, Any], name: str) -> Config:
    problems = list(document.problems)
    if not isinstance(document.value, dict):
        refuse([((), "a config is a mapping of keys")], document.lines, name, "start from configs/default.yml")
    value = {**_tuples(base), **document.value}
    config, found = check_model(Config, value)
    places = {place for place, _ in found}
    problems += [p for p in found if p[0]] + [p for p in cross_problems(value) if p[0] not in places]
    refuse(problems or found, document.lines, name)
    assert config is not None
    return config


def _tuples(value: Any) -> Any:
    """Plain JSON values with tuples for lists, as strict models want them."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
