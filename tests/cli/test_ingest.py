"""`ingest` as it is typed: what it prints, and the exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from notif_rec.cli.main import main

HEADER = "user_id,item_id,channel,event,timestamp\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "notif_rec.yml").write_text("version: 1\nevents: {view: 1}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_json_is_one_object(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "e.csv").write_text(f"{HEADER}u1,i1,push,view,2026-01-01T10:00:00Z\nu1,i1,psh,view,2026-01-01T10:00:00Z\n")
    assert main(["ingest", "--json", "events", "e.csv"]) == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert [found[k] for k in ("records", "accepted", "rejected", "duplicates", "blank")] == [2, 1, 1, 0, 0]
    assert Path(found["rejects_file"]).is_file()
    assert found["rejects_file"] in out.err
    assert main(["ingest", "events", "e.csv", "e.csv", "-q"]) == 0
    assert capsys.readouterr().out == ""


def test_what_people_read(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "e.csv").write_text("sku,who,at,extra\ni1,u1,03/01/2026 10:00,\n,u2,05/01/2026 10:00,\n,,05/01/2026 10:00,\n")
    line = ["ingest", "events", "e.csv", "--map", "item_id=SKU", "--map", "user_id=who", "--map", "timestamp=at", "--set", "channel=push"]
    line += ["--set", "event=view", "--timestamps", "%d/%m/%Y %H:%M", "--timezone", "Europe/Berlin", "--max-rejects", "50%"]
    assert main([*line[:-1], "10%"]) == 3
    assert "1 of 3 records rejected (33.3%; the limit is 10%)" in capsys.readouterr().err
    assert main(line) == 0
    out = capsys.readouterr()
    assert out.out.splitlines() == [
        "events: 3 records: 2 accepted, 1 rejected",
        "rows\trejected because\tfirst at",
        "1\tuser_id: empty\te.csv:4",
    ]
    assert "warning: e.csv: column 'extra' is not used" in out.err
    assert main(line) == 0
    assert capsys.readouterr().out == "events: 3 records: 0 accepted, 1 rejected, 2 duplicates (nothing new)\n"


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        (["events", "none.csv"], 3, "none.csv: no such file"),
        (["events"], 2, "FILE"),
        (["events", "e.csv", "--map", "item_id"], 2, "--map item_id: not a pair"),
        (["events", "e.csv", "--set", "event=a", "--set", "event=b"], 2, "--set names 'event' twice"),
        (["events", "e.csv", "--timezone", "Mars"], 2, "no such time zone"),
        (["events", "e.csv", "--max-rejects", "few"], 2, "--max-rejects few"),
        (["users", "e.csv"], 3, "no header"),
        (["items", "e.csv", "-c", "other.yml"], 78, "other.yml"),
    ],
)
def test_failures(folder: Path, capsys: pytest.CaptureFixture[str], line: list[str], code: int, said: str) -> None:
    (folder / "e.csv").write_text("a,b\n1,2\n")
    assert main(["ingest", *line]) == code
    assert said in capsys.readouterr().err
