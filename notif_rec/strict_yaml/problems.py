"""What is wrong with a document, in words: the line, the place, the value and the nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from notif_rec.errors import ConfigError, did_you_mean
from notif_rec.strict_yaml.document import Place, Problem, read_yaml
from notif_rec.strict_yaml.values import show

MAX_PROBLEMS = 20
FIX = "mend the lines above; `notif-rec config schema` lists every key"
WANTED = {
    "int_": "a whole number",
    "float_": "a number",
    "finite_number": "a finite number",
    "bool_": "true or false",
    "tuple_type": "a list; write [a, b]",
    "dict_": "a mapping of keys",
    "model_": "a mapping of keys",
}
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
M = TypeVar("M", bound=BaseModel)


def load_yaml(text: str, name: str) -> tuple[Any, Mapping[Place, int]]:
    """The value of `text` and the line of each place in it; raises ConfigError with every problem and its line."""
    document = read_yaml(text, name)
    refuse(document.problems, document.lines, name)
    return document.value, document.lines


def refuse(problems: Iterable[Problem], lines: Mapping[Place, int], name: str, fix: str = FIX) -> None:
    """Raises ConfigError that lists the problems by line, at most 20 of them; does nothing where there are none."""
    said = sorted({_locate(place, message, lines) for place, message in problems})
    if said:
        more = [f"and {len(said) - MAX_PROBLEMS} more"] if len(said) > MAX_PROBLEMS else []
        raise ConfigError("\n".join([f"{name}:{line}: {text}" for line, text in said[:MAX_PROBLEMS]] + more), fix)


def _locate(place: Place, message: str, lines: Mapping[Place, int]) -> tuple[int, str]:
    """The line and the text of a problem; a doubled key brings its own line."""
    known = next((place[:n] for n in range(len(place), -1, -1) if place[:n] in lines), ())
    line = lines.get(known, 1)
    if own := re.match(r"line ([0-9]+): ", message):
        line, message = int(own[1]), message[own.end() :]
    text = ".".join(str(p) for p in place)
    return line, f"{text}: {message}" if text else message


def check_model(model: type[M], value: object) -> tuple[M | None, list[Problem]]:
    """`value` as `model`, or None and every problem with it."""
    try:
        return model.model_validate(value), []
    except ValidationError as error:
        return None, [_say(item, model, value) for item in error.errors(include_url=False)]


def validate(model: type[M], document: object, lines: Mapping[Place, int], name: str) -> M:
    """`document` as `model`; ConfigError lists up to 20 problems, each with its line and the nearest name."""
    found, problems = check_model(model, document)
    refuse(problems, lines, name)
    assert found is not None
    return found


def _say(item: Any, model: type[BaseModel], value: object) -> Problem:
    """A pydantic error in our words, at the place as the file has it."""
    place = _place(item["loc"], value)
    kind, given, context = item["type"], item["input"], item.get("ctx", {})
    name = str(item["loc"][-1]) if item["loc"] else ""
    if kind == "extra_forbidden":
        return place, f"unknown key '{name}'{did_you_mean(name, known_keys(model, item['loc'][:-1]))}"
    if kind == "missing":
        return place, f"the key '{name}' is missing"
    if kind == "literal_error":
        words = [w.strip("'") for w in re.split(r", | or ", context["expected"])]
        return place, f"{show(given)} is not one of {', '.join(words)}{did_you_mean(str(given), words)}"
    if kind == "union_tag_invalid":
        words = [w.strip("'") for w in context["expected_tags"].split(", ")]
        return place, f"unknown rule '{context['tag']}'{did_you_mean(context['tag'], words)}"
    if kind == "union_tag_not_found":
        return place, "the key 'rule' is missing"
    return place, _mismatch(kind, given, context) or str(item["msg"]).removeprefix("Value error, ")


def _mismatch(kind: str, given: object, context: Mapping[str, Any]) -> str:
    """What the value should have been, or an empty text where the message says it already."""
    if given is None and kind.endswith("_type"):
        return "nothing stands here; give a value or leave the key out"
    if kind == "string_type":
        return f'{show(given)} is not a text; write "{show(given)}"' if isinstance(given, int | float) else f"{show(given)} is not a text"
    for bound, text in BOUNDS.items():
        if bound in context and kind.startswith(("greater", "less")):
            limit = context[bound]
            return f"{show(given)} is not {text} {f'{limit:g}' if isinstance(limit, float) else limit}"
    if kind.endswith(("too_short", "too_long")):
        least, noun = context.get("min_length"), "characters" if isinstance(given, str) else "entries"
        return f"too few {noun}: at least {least}" if least is not None else f"too many {noun}: at most {context['max_length']}"
    wanted = next((text for start, text in WANTED.items() if kind.startswith(start)), None)
    return f"{show(given)} is not {wanted}" if wanted else ""


def _place(loc: Sequence[str | int], value: object) -> Place:
    """`loc` without the steps that the document does not have: missing keys, and names that pydantic adds."""
    place: list[str | int] = []
    for step in loc:
        inside = isinstance(value, dict) and step in value
        if inside or (isinstance(value, tuple | list) and isinstance(step, int) and step < len(value)):
            value = value[step]  # type: ignore[index]
            place.append(step)
    return tuple(place)


def known_keys(model: type[BaseModel], loc: Sequence[str | int]) -> set[str]:
    """The keys that may stand at `loc` inside `model`."""
    here: Any = model
    for step in loc:
        here = _inside(here, step)
    here = _bare(here)
    return {f.alias or n for n, f in here.model_fields.items()} if isinstance(here, type) and issubclass(here, BaseModel) else set()


def _bare(kind: Any) -> Any:
    """A type without Annotated and None."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) in (Union, UnionType):
        rest = [a for a in get_args(kind) if a is not type(None)]
        return _bare(rest[0]) if len(rest) == 1 else kind
    return kind


def _inside(kind: Any, step: str | int) -> Any:
    """The type of what stands under `step` in a value of type `kind`."""
    kind = _bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return next((f.annotation for n, f in kind.model_fields.items() if step in (n, f.alias)), None)
    if get_origin(kind) in (Union, UnionType):  # rules: the step is the rule's name
        named = [_bare(a) for a in get_args(kind)]
        return next((a for a in named if step in get_args(a.model_fields["rule"].annotation)), None)
    arguments = get_args(kind)
    return arguments[-1 if get_origin(kind) is dict else 0] if arguments else None
