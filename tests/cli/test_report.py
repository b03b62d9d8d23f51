"""The page of a plan: its figures are the plan's, it needs nothing from anywhere, and nothing in it is ever run."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.end_to_end.desk import Desk
from tests.end_to_end.worlds import random_world, stamp

NASTY = """<script>alert(1)</script>"'&"""
VOID = {"meta", "rect", "br"}


class Page(HTMLParser):
    """Tags that are open, what was met, and the texts of table cells by row."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        assert not any(name in ("src", "href", "onload", "onclick") for name, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    world = random_world(14, n_users=60, quotas=[{"item": "any", "max_sends": 9}], holdout=0.1)
    for row in world.items:
        row["title"] = NASTY
    desk = Desk(tmp_path_factory.mktemp("desk"))
    world.write(desk)
    world.ingest(desk)
    desk.call("train", "--as-of", stamp(world.as_of))
    desk.call("plan", "--as-of", stamp(world.as_of))
    return desk


@pytest.mark.parametrize("state", ["planned", "applied"])
def test_the_page_says_what_the_plan_says(desk: Desk, tmp_path: Path, state: str) -> None:
    if state == "applied":
        desk.call("apply", "latest")
    told = desk.call("report", "-o", tmp_path / "plan.html")
    text = (tmp_path / "plan.html").read_text()
    page, plan = Page(text), desk.store.plans()[-1].manifest
    assert page.open == [] and "script" not in page.tags and text.count("<svg") == 2
    assert len(text) < 200_000 and not re.search(r"https?:|url\(|@import", text)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;" in text
    heads = {(row[0], cell) for row in page.rows if row for cell in row[1:]}
    assert {(channel, f"{sends:,}") for channel, sends in plan["sends"].items()} <= heads
    assert {(reason, f"{n:,}") for reason, n in plan["dropped"].items()} <= heads
    hours = [row for row in page.rows if re.fullmatch(r"\d\d", row[0])]
    assert sum(int(cell.replace(",", "")) for row in hours for cell in row[1:]) == sum(plan["sends"].values())
    users = [row for row in page.rows if len(row) == 2 and row[0].isdigit()]
    assert sum(int(row[0]) * int(row[1]) for row in users) == sum(plan["sends"].values())
    assert (told["state"], told["violations"]) == (state, 0 if state == "applied" else None)
    assert ("0 violations" in text) is (state == "applied")


def test_a_plan_that_is_not_there(desk: Desk, tmp_path: Path) -> None:
    assert desk.try_("report", "--plan", "zz", "-o", tmp_path / "plan.html").code == 2
    assert not (tmp_path / "plan.html").exists()
