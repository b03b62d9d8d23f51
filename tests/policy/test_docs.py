"""docs/policy.md names tests that exist, shows rules that load, and gives the precedence that holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from notif_rec.config import parse_config
from notif_rec.planning.reasons import FIXED
from notif_rec.policy.load import REGISTRY

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "policy.md").read_text()
SHIPPED = ("opt_in", "known_timezone", "quiet_hours", "frequency_cap", "min_gap", "no_repeat", "back_off")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(tests/\S+?::\w+)`", TEXT))))
def test_every_test_that_the_page_names_exists(name: str) -> None:
    path, test = name.split("::")
    assert re.search(rf"^def {test}\(", (ROOT / path).read_text(), re.MULTILINE), name


def test_each_of_the_seventeen_traps_has_its_test() -> None:
    rows = re.findall(r"^\| (\d+) \|.*`tests/policy/test_traps\.py::test_(\d+)_\w+` \|$", TEXT, re.MULTILINE)
    assert rows == [(str(n), f"{n:02d}") for n in range(1, 18)]


def test_every_rule_on_the_page_loads() -> None:
    blocks = re.findall(r"^### `(\w+)`$.*?```yaml\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL)
    assert {name for name, _ in blocks} >= {*SHIPPED, "fatigue"}
    for name, block in blocks:
        more = "channels: {push: {consent: yes}, email: {consent: yes}, in_app: {consent: yes}, sms: {consent: no}}\nrules:\n"
        config = parse_config(more + block, f"docs/policy.md: {name}")
        assert {rule.rule for rule in config.rules} == {name}


def test_the_order_of_headlines_is_that_of_the_page() -> None:
    said = {name.strip("`"): int(number) for name, number in re.findall(r"[|] (`?\w+`?) (\d+) (?=[|])", TEXT)}
    truth = {name: REGISTRY[name].precedence for name in SHIPPED}
    wanted = ("suppressed", "paused", "holdout", "channel", "audience", "expired", "seen", "max_sends", "weekly_budget", "quota")
    assert said == truth | {name: rank for name, rank in FIXED.values() if name in wanted}
