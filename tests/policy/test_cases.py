"""Every case of every rule, and the contract that a rule must keep to be one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notif_rec.policy.load import REGISTRY
from tests.policy.cases import FOLDER, Case, answer, cases

ALL = [pytest.param(case, id=f"{path.stem}: {case.name}") for path in sorted(FOLDER.glob("*.yml")) for case in cases(path)]
DOCS = Path(__file__).parents[2] / "docs" / "policy.md"


@pytest.mark.parametrize("case", ALL)
def test_case(case: Case) -> None:
    expected = list(case.expectations())
    assert expected, "a case expects something"
    for at, channel, word in expected:
        found = answer(case, at, channel)
        assert found == (pytest.approx(word) if isinstance(word, int | float) else word), f"{channel} at {at}Z"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_rule_has_cases_that_allow_and_that_bind(name: str) -> None:
    path = FOLDER / f"{name}.yml"
    assert path.exists(), f"write tests/policy_cases/{name}.yml"
    assert {case.rule.rule for case in cases(path)} == {name}, "cases of another rule belong into its own file"
    words = {word for case in cases(path) for _, _, word in case.expectations()}
    assert words >= {"allowed", "blocked"} or {w for w in words if isinstance(w, float) and w != 1.0}, "a case each way"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_rule_has_a_section_in_the_docs(name: str) -> None:
    assert re.search(rf"^### `{name}`$", DOCS.read_text(), re.MULTILINE), f"write a section '### `{name}`' in docs/policy.md"


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_key_of_a_rule_says_what_it_is(name: str) -> None:
    fields = {n: f for n, f in REGISTRY[name].model_fields.items() if n != "rule"}
    assert [n for n, f in fields.items() if not f.description] == []
    assert 0 < REGISTRY[name].precedence < 100


def test_each_rule_stands_in_the_file_of_its_name() -> None:
    assert {name: kind.__module__.rsplit(".", 1)[1] for name, kind in REGISTRY.items()} == {name: name for name in REGISTRY}
