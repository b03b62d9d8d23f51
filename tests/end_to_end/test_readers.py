"""Those who look while the nightly job works: they are never refused, never see half a night, and never disturb it."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

from tests.end_to_end.shop import START, live_a_day, open_shop

DAY = timedelta(days=1)


def test_status_and_explain_answer_while_a_night_is_on(tmp_path: Path) -> None:
    desk = open_shop(tmp_path / "shop", 60)
    first = desk.call("run", "--as-of", START.isoformat() + "Z")["plan_id"]
    live_a_day(desk, 1, first, START)
    user = desk.listed(first)[0]["user_id"]
    calm = desk.call("explain", user, "--plan", first)["candidates"]
    command = [sys.executable, "-m", "notif_rec.cli.main", "run", "-q", "--jobs", "1", "-c", str(desk.folder / "notif_rec.yml")]
    versions, states = [], set()
    with subprocess.Popen([*command, "--as-of", (START + DAY).isoformat() + "Z"]) as night:
        while night.poll() is None:
            told = desk.call("status")
            versions.append(told["version"])
            states.add((told["events"], told["sends"]))
            assert desk.call("explain", user, "--plan", first)["candidates"] == calm, "of a plan that was made, nothing changes"
            assert desk.try_("audit", "--plan", first).code == 0
            time.sleep(0.8)  # looking all the time would take the night's own time
        assert night.returncode == 0
    after = desk.call("status")
    assert versions == sorted(versions) and versions[0] < after["version"], "the night was looked at while it went on"
    assert len({events for events, _ in states} | {after["events"]}) <= 2, "the day's events came at once"
    assert desk.call("audit")["violations"] == 0
