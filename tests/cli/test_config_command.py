"""`config check`, `show` and `schema`, through the front door."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notif_rec.cli.main import main
from notif_rec.config import Config, load_config, parse_config

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.mark.parametrize("name", ["default", "cautious", "growth"])
def test_check_names_the_file_and_its_channels(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = CONFIGS / f"{name}.yml"
    assert main(["config", "check", "-c", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: sound (push, email, in_app)\n"
    assert main(["config", "check", "-c", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["valid"], said["hash"], said["channels"]) == (True, load_config(path).hash, ["push", "email", "in_app"])


def test_check_of_a_broken_config_tells_every_line_and_exits_78(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.yml"
    path.write_text("holdut: 0.1\nrules:\n  - {rule: min_gap, gap: 4}\n")
    assert main(["config", "check", "-c", str(path)]) == 78
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:1: holdut: unknown key 'holdut'; did you mean 'holdout'?" in err
    assert f"{path}:3: rules.0.gap: 4 is not a duration; write 30m, 12h, 7d or 2w" in err
    assert "fix: mend the lines above" in err
    assert "Traceback" not in err


def test_check_remarks_on_what_is_seldom_meant(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "odd.yml"
    path.write_text(
        "value: {unsubscribed: 5}\nchannels: {push: {consent: yes, max_sends: 0}, email: {consent: yes}}\n"
        "rules: [{rule: frequency_cap, channels: [email], max: 0, per: 1d}]\n"
    )
    assert main(["config", "check", "-c", str(path)]) == 0
    remarks = capsys.readouterr().err.splitlines()
    assert remarks == [
        "note: channels.push.max_sends: 0 forbids the channel",
        "note: rules.0: max: 0 forbids email",
        "note: value.unsubscribed is above 0: an opt-out counts as a gain",
    ]


def test_show_prints_what_reads_back_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    path = CONFIGS / "growth.yml"
    assert main(["config", "show", "-c", str(path)]) == 0
    assert parse_config(capsys.readouterr().out, "shown.yml") == load_config(path)
    assert main(["config", "show", "-c", str(path), "--json"]) == 0
    assert Config.model_validate_json(capsys.readouterr().out) == load_config(path)


def test_schema_knows_every_key_and_rule_and_spells_defaults_as_the_file_does(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert set(schema["properties"]) == set(Config.model_fields)
    assert schema["properties"]["horizon"]["default"] == "1d"
    assert schema["$defs"]["Guards"]["properties"]["max_change"]["default"] == "50%"
    assert schema["$defs"]["QuietHours"]["required"] == ["rule", "from", "to"]
    assert "back_off" in schema["properties"]["rules"]["items"]["discriminator"]["mapping"]


def test_show_of_a_missing_config_says_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "-c", str(tmp_path / "none.yml")]) == 78
    assert "no such config file" in capsys.readouterr().err
