"""`init` writes a workspace that the rest of the program accepts."""

from __future__ import annotations

import csv
import json
from datetime import datetime
from pathlib import Path

import pytest

from notif_rec.cli.main import main
from notif_rec.config import load_config
from notif_rec.workflows.init import cron_line, init

AS_OF = datetime(2026, 11, 22, 9, 30)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_config_is_accepted_and_its_sources_are_there(tmp_path: Path) -> None:
    result = init(tmp_path / "new", as_of=AS_OF, program=("notif-rec",))
    config = load_config(tmp_path / "new" / "notif_rec.yml")
    assert config.channel_names == ("push", "email", "in_app")
    for pattern in (*config.sources.events, *config.sources.users, *config.sources.items):
        assert list((tmp_path / "new").glob(pattern)), pattern
    assert all((tmp_path / "new" / name).is_file() for name in result.files)


def test_events_end_before_as_of_and_concern_known_users_and_items(tmp_path: Path) -> None:
    init(tmp_path, as_of=AS_OF, program=("notif-rec",))
    events = rows(tmp_path / "data/events-sample.csv")
    assert max(e["timestamp"] for e in events) < "2026-11-22T09:30:00Z"
    assert {e["user_id"] for e in events} <= {u["user_id"] for u in rows(tmp_path / "data/users.csv")}
    assert {e["item_id"] for e in events} <= {i["item_id"] for i in rows(tmp_path / "data/items.csv")}
    assert {e["channel"] for e in events} == {"", "push", "email", "in_app"}


def test_the_same_moment_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = (init(tmp_path / name, as_of=AS_OF, program=("notif-rec",)) for name in ("a", "b"))
    for name in one.files:
        if name != "crontab.example":
            assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert one.cron != two.cron


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mine = tmp_path / "notif_rec.yml"
    mine.write_text("version: 1\n")
    assert main(["init", str(tmp_path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["notif_rec.yml"]
    assert mine.read_text() == "version: 1\n"
    assert main(["init", str(mine)]) == 1
    assert "is not a folder" in capsys.readouterr().err


def test_json_lists_what_was_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "w s"), "--json", "--as-of", "2026-11-22"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert out["files"][0] == "notif_rec.yml"
    assert "'" in out["cron"]  # a folder with a blank is quoted


def test_the_cron_line_survives_percent_and_blanks() -> None:
    assert cron_line(Path("/srv/50% off"), ("/opt/bin/notif-rec",)) == (
        "15 2 * * * /opt/bin/notif-rec run -c '/srv/50\\% off/notif_rec.yml'"
    )
