"""A new workspace: a commented config, a small sample that runs at once, and a line for cron."""

from __future__ import annotations

import csv
import io
import random
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from notif_rec.errors import NotifRecError

STARTER = Path(__file__).with_name("starter.yml")
CONFIG, CRON = "notif_rec.yml", "crontab.example"
USERS, DAYS, SEED = 60, 21, 1
KINDS = {"recipes": "Soup,Bread,Salad,Curry", "travel": "Lisbon,Kyoto,Oslo,Quito", "music": "Jazz,Piano,Choirs,Vinyl"}
STYLES = ("for beginners", "in ten minutes", "on a Sunday", "worth the effort", "of the season")
ZONES = ("Europe/Berlin", "America/New_York", "Asia/Tokyo", "")


@dataclass(frozen=True)
class InitResult:
    """The folder and the files that were written, and the line for cron."""

    folder: Path
    files: tuple[str, ...]
    cron: str

    def to_json(self) -> dict[str, Any]:
        """The answer to --json."""
        return {"folder": str(self.folder), "files": list(self.files), "cron": self.cron}


def init(folder: Path, *, as_of: datetime, program: Sequence[str]) -> InitResult:
    """Writes a workspace into `folder`, with a sample that ends at `as_of`; NotifRecError where one of its files exists.

    program: the words by which cron calls notif-rec.
    """
    cron = cron_line(folder.resolve(), program)
    texts = {
        CONFIG: STARTER.read_text(encoding="utf-8"),
        **sample(as_of),
        CRON: CRON_HEAD + cron + "\n",
        ".gitignore": ".notif_rec/\nsend_lists/\n",
    }
    _refuse_to_overwrite(folder, texts)
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with (folder / name).open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    return InitResult(folder, tuple(texts), cron)


CRON_HEAD = "# Every night at 02:15. Silent but for its summary; exit codes: 0 done, 3 a guard or check failed, 75 another run is on.\n"


def cron_line(folder: Path, program: Sequence[str]) -> str:
    """The line that runs the workspace every night; cron reads % as a line break, so it is escaped."""
    words = (*program, "run", "-c", str(folder / CONFIG))
    return "15 2 * * * " + " ".join(shlex.quote(word) for word in words).replace("%", "\\%")


def _refuse_to_overwrite(folder: Path, names: Mapping[str, str]) -> None:
    if folder.exists() and not folder.is_dir():
        raise NotifRecError(f"{folder}: is not a folder", "name a folder, or one that does not exist yet")
    there = [name for name in names if (folder / name).exists()]
    if there:
        raise NotifRecError(f"{folder / there[0]}: exists already", "nothing was written; name another folder: notif-rec init DIR")


def sample(as_of: datetime) -> dict[str, str]:
    """CSV texts by name: users with a favourite category each, items, and three weeks of events before `as_of`."""
    items = list(_items(as_of))
    return {
        "data/users.csv": _csv("user_id,timezone,push,email,country", _users()),
        "data/items.csv": _csv("item_id,title,category,tags,created_at,expires_at", items),
        "data/events-sample.csv": _csv("user_id,item_id,channel,event,timestamp", _events(items, as_of)),
    }


def _users() -> Iterator[tuple[str, ...]]:
    for n in range(USERS):
        push = "no" if n % 10 == 3 else "yes"
        yield f"u{n + 1:03}", ZONES[n % len(ZONES)], push, "" if n % 4 else "yes", ("DE", "US", "JP", "")[n % len(ZONES)]


def _items(as_of: datetime) -> Iterator[tuple[str, ...]]:
    n = 0
    for category, words in KINDS.items():
        for word in words.split(","):
            for style in STYLES:
                n += 1
                expires = _time(as_of + timedelta(days=n % 7)) if n % 11 == 0 else ""
                yield f"i{n:03}", f"{word} {style}", category, word.lower(), _time(as_of - timedelta(days=30 + n)), expires


def _events(items: list[tuple[str, ...]], as_of: datetime) -> list[tuple[str, ...]]:
    draw = random.Random(SEED)
    favourite = {u: draw.choice(list(KINDS)) for u in range(USERS)}
    rows = []
    for _ in range(USERS * 12):
        user = draw.randrange(USERS)
        liked = [item for item in items if item[2] == favourite[user]] if draw.random() < 0.8 else items
        at = as_of - timedelta(minutes=draw.randrange(10, DAYS * 24 * 60))
        event = draw.choices(("view", "save", "purchase"), (10, 2, 1))[0]
        rows.append((f"u{user + 1:03}", draw.choice(liked)[0], "", event, at))
    for _ in range(USERS * 6):
        rows += _send(draw, items, as_of)
    return [(*row[:4], _time(row[4])) for row in sorted(rows, key=lambda row: (row[4], *row[:4]))]


def _send(draw: random.Random, items: list[tuple[str, ...]], as_of: datetime) -> list[tuple[Any, ...]]:
    """A message and what became of it."""
    user, item, channel = f"u{draw.randrange(USERS) + 1:03}", draw.choice(items)[0], draw.choice(("push", "email", "in_app"))
    at = as_of - timedelta(minutes=draw.randrange(8 * 24 * 60, DAYS * 24 * 60))
    outcomes = ["sent"] + (["opened"] if draw.random() < 0.4 else [])
    outcomes += ["clicked"] if len(outcomes) > 1 and draw.random() < 0.3 else []
    return [(user, item, channel, outcome, at + timedelta(minutes=7 * n)) for n, outcome in enumerate(outcomes)]


def _time(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds") + "Z"


def _csv(header: str, rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header.split(","), *rows])
    return text.getvalue()
