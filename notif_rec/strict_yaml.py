"""YAML without surprises: only true/false are booleans, doubled keys are errors, every error has a line."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, WithJsonSchema

from notif_rec.errors import ConfigError, did_you_mean

MAX_BYTES = 1 << 20
UNITS = {"m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
Path_ = tuple[str | int, ...]
Lines = dict[Path_, int]


class StrictModel(BaseModel):
    """A frozen piece of config: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def parse_duration(text: object) -> timedelta:
    """`30m`, `12h`, `7d` or `2w`, and nothing else."""
    if isinstance(text, timedelta):
        return text
    found = re.fullmatch(r"(\d{1,6})([mhdw])", text) if isinstance(text, str) else None
    if not found:
        raise ValueError(f"{text!r} is not a duration; write 30m, 12h, 7d or 2w")
    return timedelta(seconds=int(found[1]) * UNITS[found[2]])


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads back as `value`."""
    seconds = int(value.total_seconds())
    unit = next(u for u in ("w", "d", "h", "m") if seconds % UNITS[u] == 0)
    return f"{seconds // UNITS[unit]}{unit}"


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]{1,6}[mhdw]$"}),
]


class _Loader(yaml.SafeLoader):
    """SafeLoader without implicit types but true, false, null and plain decimal numbers."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^-?(?:0|[1-9][0-9]*)$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+(?:[eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)$"),
    list("-0123456789"),
)


def _construct(loader: _Loader, node: yaml.Node, place: Path_, lines: Lines, name: str) -> Any:
    lines[place] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        found: dict[Hashable, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{name}:{line}: a key must be a plain word", "write `key: value`")
            if key in found:
                first = lines[(*place, key)]
                raise ConfigError(f"{name}:{line}: key '{key}' stands twice (first on line {first})", "keep one of them")
            found[key] = _construct(loader, value_node, (*place, key), lines, name)
            lines[(*place, key)] = line
        return found
    if isinstance(node, yaml.SequenceNode):
        return [_construct(loader, child, (*place, i), lines, name) for i, child in enumerate(node.value)]
    if re.fullmatch(r"\d{1,2}:\d{2}(:\d{2})?", str(node.value)) and getattr(node, "style", None) is None:
        line = node.start_mark.line + 1
        raise ConfigError(f"{name}:{line}: the time of day {node.value} is not quoted", f'write "{node.value}"')
    return loader.construct_object(node, deep=True)  # type: ignore[no-untyped-call]


def load_yaml(text: str, name: str) -> tuple[Any, Lines]:
    """The document and the line of each place in it; raises ConfigError with `name`:line."""
    if len(text.encode()) > MAX_BYTES:
        raise ConfigError(f"{name}: larger than 1 MB", "a config is a page of text; check the path")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        lines: Lines = {}
        return ({} if node is None else _construct(loader, node, (), lines, name)), lines
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: {error.problem}", "mend the YAML on that line") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{name}: not readable as YAML ({error})", "mend the file") from error


M = TypeVar("M", bound=BaseModel)


def validate(model: type[M], document: object, lines: Mapping[Path_, int], name: str, keys: Mapping[str, set[str]]) -> M:
    """`document` as `model`; ConfigError lists up to 20 problems, each with line and the nearest name.

    keys: known words by the last plain key of a place (`""` for the top), to suggest the nearest from.
    """
    if not isinstance(document, dict):
        raise ConfigError(f"{name}:1: a config is a mapping of keys", "start from configs/default.yml")
    try:
        return model.model_validate(document)
    except ValidationError as error:
        found = [_say(item, lines, name, keys) for item in error.errors()]
        raise ConfigError("\n".join(found[:20]), "mend the lines above; `notif-rec config schema` lists every key") from None


def _say(item: Any, lines: Mapping[Path_, int], name: str, keys: Mapping[str, set[str]]) -> str:
    place = tuple(item["loc"])
    known = next((place[:n] for n in range(len(place), -1, -1) if place[:n] in lines), ())
    line = lines.get(known, 1)
    text = ".".join(str(p) for p in place)
    if item["type"] == "extra_forbidden":
        word = str(place[-1])
        parent = next((str(p) for p in reversed(place[:-1]) if str(p) in keys), "")
        return f"{name}:{line}: {text}: unknown key '{word}'{did_you_mean(word, keys.get(parent, set()))}"
    message = item["msg"].removeprefix("Value error, ")
    return f"{name}:{line}: {text}: {message}"


def read_text(path: Path) -> str:
    """The file's text; ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", "`notif-rec init` writes one, or name it with -c FILE") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not readable ({error})", "check the path and its permissions") from None
