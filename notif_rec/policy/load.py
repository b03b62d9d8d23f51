"""The rules of a config, from every file under policy/rules."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

from pydantic import Field

from notif_rec.policy import rules as folder
from notif_rec.policy.rule import REGISTRY, Rule

for _module in sorted(m.name for m in pkgutil.iter_modules(folder.__path__)):
    importlib.import_module(f"{folder.__name__}.{_module}")

if TYPE_CHECKING:
    AnyRule = Rule
else:
    _KINDS = tuple(REGISTRY[name] for name in sorted(REGISTRY))
    AnyRule = Annotated[Union[_KINDS], Field(discriminator="rule")]  # noqa: UP007


def rule(name: str, **fields: Any) -> Rule:
    """The rule called `name` with the given fields, as if the config said so."""
    return REGISTRY[name].model_validate({"rule": name, **fields})


def binding_rules(rules: tuple[Rule, ...], channels: tuple[str, ...], unknown_timezone: Literal["default", "block"]) -> tuple[Rule, ...]:
    """`rules` and what binds without being written: on a channel that no opt_in names, `yes` alone permits;

    with `unknown_timezone: block`, nothing goes to a user without a zone.
    """
    named = {c for r in rules if r.rule == "opt_in" for c in (r.channels or channels)}
    rest = tuple(c for c in channels if c not in named)
    consent = (rule("opt_in", allow=("yes",), channels=rest),) if rest else ()
    zone = (rule("known_timezone"),) if unknown_timezone == "block" else ()
    return (*rules, *consent, *zone)
