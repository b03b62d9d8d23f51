"""The front door: whole command lines in this process, on a folder of their own, and what they leave behind as plain rows."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notif_rec.cli.main import main
from notif_rec.store.store import Store

Row = Mapping[str, str]
LEDGER = """
SELECT l.*, u.user_id, i.item_id FROM ledger l JOIN user_ids u USING ("user") JOIN item_ids i USING (item)
ORDER BY seq, send_key, position
"""


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def told(self) -> Any:
        """The one JSON object on stdout."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Desk:
    """A workspace. `jobs`: what every command gets as --jobs."""

    folder: Path
    jobs: int = 1

    def try_(self, *arguments: object) -> Answer:
        """Whatever the command answers."""
        out, err = io.StringIO(), io.StringIO()
        line = [*map(str, arguments), "--json", "--jobs", str(self.jobs), "-c", str(self.folder / "notif_rec.yml")]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(line)
        return Answer(code, out.getvalue(), err.getvalue())

    def call(self, *arguments: object) -> Any:
        """The command's JSON; it must succeed."""
        answer = self.try_(*arguments)
        assert answer.code == 0, f"{arguments}: exit {answer.code}\n{answer.err}"
        return answer.told

    def write(self, name: str, rows: Sequence[Row], columns: Iterable[str] = ()) -> Path:
        """A CSV file in the folder; its columns are those of all rows, `columns` first."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        names = list(dict.fromkeys([*columns, *(key for row in rows for key in row)]))
        with path.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.DictWriter(stream, names, restval="")
            writer.writeheader()
            writer.writerows(rows)
        return path

    def configure(self, policy: Mapping[str, Any], name: str = "notif_rec.yml") -> Path:
        """The config; JSON is YAML."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.write_text(json.dumps(policy, indent=1), encoding="utf-8")
        return path

    @property
    def store(self) -> Store:
        return Store.open(self.folder / ".notif_rec")

    def lists(self, plan_id: str, where: str = "send_lists") -> dict[str, bytes]:
        """The published files of a plan by name."""
        folder = self.folder / where / plan_id
        return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} if folder.is_dir() else {}

    def listed(self, plan_id: str, where: str = "send_lists") -> list[dict[str, str]]:
        """The rows of all lists of a plan, each with its `channel`."""
        files = self.lists(plan_id, where)
        assert "manifest.json" in files
        return [
            {**row, "channel": name.removesuffix(".csv")}
            for name, data in files.items()
            if name.endswith(".csv")
            for row in csv.DictReader(io.StringIO(data.decode()))
        ]

    def ledger(self) -> list[dict[str, Any]]:
        """The ledger, one row an item, with ids as text."""
        with self.store.connect() as duck:
            return duck.sql(LEDGER).to_arrow_table().to_pylist()

    def shadowed(self, plan_id: str) -> set[str]:
        """Users whom the plan holds out: what they would have been sent is recorded, and sent to nobody."""
        with self.store.connect() as duck:
            query = "SELECT DISTINCT user_id FROM sends JOIN user_ids USING (\"user\") WHERE kind = 'shadow' AND plan_id = $plan"
            return {user for (user,) in duck.execute(query, {"plan": plan_id}).fetchall()}

    def state(self) -> tuple[Any, ...]:
        """Everything in the catalogue that a command could change, and every file of the store's tables and lists."""
        root = self.folder / ".notif_rec"
        if not (root / "catalogue.sqlite").is_file():
            return ()
        with contextlib.closing(sqlite3.connect(f"file:{root / 'catalogue.sqlite'}?mode=ro", uri=True)) as connection:
            names = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
            tables = {name: sorted(connection.execute(f'SELECT * FROM "{name}"').fetchall(), key=repr) for name in names}
        kept = [path for part in ("segments", "models", "plans") for path in sorted((root / part).rglob("*")) if path.is_file()]
        lists = sorted((self.folder / "send_lists").rglob("*"))
        return tables, [str(path) for path in kept], [(str(path), path.read_bytes() if path.is_file() else b"") for path in lists]
