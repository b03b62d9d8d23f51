"""The three configs that ship: each loads, and each holds every key once."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from notif_rec.config import ChannelSettings, Config, Quota, load_config, load_policy, parse_config
from notif_rec.policy.load import REGISTRY
from notif_rec.strict_yaml import load_yaml

FOLDER = Path(__file__).parents[1] / "configs"
NAMES = ("default", "cautious", "growth")
SHIPPED = ("opt_in", "known_timezone", "quiet_hours", "frequency_cap", "min_gap", "no_repeat", "fatigue", "back_off")


def missing(model: type[BaseModel], value: Any, place: str = "") -> list[str]:
    """Keys of `model` that `value` leaves out, below as well."""
    found = []
    for name, field in model.model_fields.items():
        key = field.alias or name
        if not isinstance(value, dict):
            continue  # written short, as exploration: 0.05
        if key not in value:
            found.append(f"{place}{key}")
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel) and name != "model":
            found += missing(field.annotation, value[key], f"{place}{key}.")
    return found


@pytest.mark.parametrize("name", NAMES)
def test_every_key_stands_in_each_config(name: str) -> None:
    path = FOLDER / f"{name}.yml"
    value, _ = load_yaml(path.read_text(), str(path))
    assert load_config(path).channel_names == ("push", "email", "in_app")
    assert missing(Config, value) == []
    assert missing(Config.model_fields["model"].annotation, value["model"], "model.") == []  # type: ignore[arg-type]
    assert missing(ChannelSettings, value["channels"]["push"]) == []
    used = {key for entry in value["rules"] for key in entry}
    known = {f.alias or n for name in SHIPPED for n, f in REGISTRY[name].model_fields.items()}
    assert known - used == set(), "keys of rules that the config does not show"


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_of_the_contract_stands_in_each_config(name: str) -> None:
    text = (FOLDER / f"{name}.yml").read_text()
    assert [r for r in SHIPPED if f"rule: {r}," not in text] == []


def test_the_manual_shows_every_kind_of_quota_and_calendar_period() -> None:
    text = (FOLDER / "default.yml").read_text()
    assert [k for k in Quota.model_fields if f"{k}:" not in text] == []
    assert [p for p in ("calendar_day", "calendar_week", "calendar_month") if p not in text] == []


def test_the_manual_shows_the_defaults_of_what_one_seldom_changes() -> None:
    shown, default = load_config(FOLDER / "default.yml"), Config()
    for key in (
        "timezone",
        "unknown_timezone",
        "horizon",
        "lead",
        "value",
        "guards",
        "channels",
        "candidates",
        "max_offers",
        "attribution",
    ):
        assert getattr(shown, key) == getattr(default, key), key
    for key in ("holdout_salt", "seed", "retrain_after", "model"):
        assert getattr(shown, key) == getattr(default, key), key


def test_cautious_is_stricter_than_default_and_growth_looser() -> None:
    cautious, default, growth = (load_config(FOLDER / f"{name}.yml") for name in ("cautious", "default", "growth"))
    for channel in default.channel_names:
        assert cautious.channels[channel].max_sends <= default.channels[channel].max_sends <= growth.channels[channel].max_sends
    assert cautious.value.unsubscribed < default.value.unsubscribed < growth.value.unsubscribed
    assert len({cautious.hash, default.hash, growth.hash}) == 3


def test_a_policy_file_replaces_the_keys_that_stand_in_it(tmp_path: Path) -> None:
    base = load_config(FOLDER / "default.yml")
    path = tmp_path / "policy.yml"
    path.write_text("rules:\n  - {rule: min_gap, gap: 1d}\nmodel: {factors: 128}\n")
    other = load_policy(path, base)
    assert [r.describe() for r in other.rules] == ["min_gap {gap: 1d}"]
    assert other.model.factors == 128
    assert other.to_json() == {**base.to_json(), "rules": other.to_json()["rules"], "model": other.to_json()["model"]}


def test_a_channel_model_takes_the_common_keys_but_its_own() -> None:
    text = "model: {factors: 32, similar: {neighbours: 7}}\nchannels: {push: {consent: yes, model: {similar: {user_exponent: 1.0}}}}\n"
    config = parse_config(text, "a.yml")
    model = config.model_of("push")
    assert (model.factors, model.similar.neighbours, model.similar.user_exponent) == (32, 7, 1.0)
    assert get_args(Config.model_fields["version"].annotation) == (1,)
