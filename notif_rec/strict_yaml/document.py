"""YAML text → values with the line of each: only true/false are booleans, no aliases, no tags, no doubled keys."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import yaml

from notif_rec.errors import ConfigError

MAX_CHARACTERS = 1 << 20
MAX_DEPTH = 20
Place = tuple[str | int, ...]
Problem = tuple[Place, str]


@dataclass(frozen=True)
class Document:
    """What a text says: its value (mappings as dict, lists as tuple), the line of each place, and what is wrong with it."""

    value: Any
    lines: Mapping[Place, int]
    problems: Sequence[Problem] = ()


class _Loader(yaml.SafeLoader):
    """SafeLoader without implicit types but true, false, null and plain decimal numbers; no aliases, no tags."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}  # type: ignore[misc]
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        refusal = "aliases are not allowed" if isinstance(event, yaml.AliasEvent) else ""
        if getattr(event, "tag", None) is not None:
            refusal = f"the tag {event.tag} is not allowed"
        if self.depth >= MAX_DEPTH:
            refusal = f"nested deeper than {MAX_DEPTH} levels"
        if refusal:
            raise yaml.constructor.ConstructorError(None, None, refusal, event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# Longer numbers stay words: no key of ours takes one, and int() would refuse thousands of digits by raising.
_NUMBER = r"-?(?:0|[1-9][0-9]{0,17})"
_TIME = re.compile(r"^[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$"), list("tf"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:null|~|)$"), ["n", "~", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(rf"^{_NUMBER}$"), list("-0123456789"))
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(rf"^{_NUMBER}(?:\.[0-9]+(?:[eE][-+]?[0-9]{{1,3}})?|[eE][-+]?[0-9]{{1,3}})$"),
    list("-0123456789"),
)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads back: a text is quoted where it would be read as anything else."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {  # type: ignore[misc]
        start: list(known) for start, known in _Loader.yaml_implicit_resolvers.items()
    }


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    """A text; the rarer line breaks of Unicode are escaped, which only double quotes do."""
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if re.search("[\x85\u2028\u2029\ufeff]", text) else None)


_Dumper.add_representer(str, _text)
_Dumper.add_implicit_resolver("!time", _TIME, list("0123456789"))


def write_yaml(value: Any) -> str:
    """`value` (plain JSON values) as YAML that `read_yaml` reads back; lists of words stand on one line."""
    return str(yaml.dump(value, Dumper=_Dumper, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True))


class _Reader:
    """Turns nodes into values, and notes lines and problems on the way."""

    def __init__(self, loader: _Loader) -> None:
        self.loader = loader
        self.lines: dict[Place, int] = {}
        self.problems: list[Problem] = []

    def read(self, node: yaml.Node, place: Place) -> Any:
        self.lines.setdefault(place, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return tuple(self.read(child, (*place, i)) for i, child in enumerate(node.value))
        if getattr(node, "style", None) is None and _TIME.match(str(node.value)):
            self.problems.append((place, f'the time of day {node.value} is not quoted; write "{node.value}"'))
        return self.loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key, line = key_node.value, key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be a plain word", key_node.start_mark)
            if key in found:
                first = self.lines[*place, key]
                self.problems.append((place, f"line {line}: '{key}' stands twice (first on line {first}); keep one of them"))
                continue
            self.lines[*place, key] = line
            found[key] = self.read(value_node, (*place, key))
        return found


def read_yaml(text: str, name: str) -> Document:
    """`text` as a Document; raises ConfigError where it is no YAML at all."""
    if len(text) > MAX_CHARACTERS:
        raise ConfigError(f"{name}: larger than 1 MB", "a config is a page of text; check the path")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        reader = _Reader(loader)
        value = {} if node is None else reader.read(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(f"{name}:{line}: {error.problem or error.context}", "mend the YAML on that line") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        code = error.character if isinstance(error.character, int) else ord(error.character)
        raise ConfigError(f"{name}:{line}: the character U+{code:04X} does not belong in a text", "remove it") from None
    return Document(value, reader.lines, tuple(reader.problems))


def read_text(path: Path) -> str:
    """The file's text; ConfigError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such config file", "`notif-rec init` writes one, or name it with -c FILE") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: not text in UTF-8 (byte {error.object[error.start]:#x})", "save it as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: not readable ({error.strerror})", "check the path and its permissions") from None
