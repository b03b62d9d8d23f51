"""How good the lists are on public data: each row through the installed command, as a Markdown table with processor seconds.

    NOTIF_REC_DATA=DIR python benchmarks/quality.py [gowalla] [tuned] [grocer] [movies] [new-items] [--jobs N] [--budget 25m]

DIR holds gowalla_lightgcn, complete_journey and ml_100k. `tuned` searches on a carve-out of the training pairs alone, then refits on all
of them: the best settings, the best of 64 factors, and the best ALS of 64 factors by itself. Core-s of `tune` and of the whole are told.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import Any

from pipeline import measure

GROCER = Path(__file__).parent.parent / "examples" / "complete_journey"
HIDDEN = 0.1  # of the items, as new ones
RETAIL_DAYS = ("2017-07-01", "2018-01-01")
NEW_SPLIT, NEW_DAY = "2017-06-24", "2017-07-01"
MOVIE_DAYS = ("1998-01-10", "1998-02-10", "1998-03-10", "1998-04-10")


class Bench:
    """A folder to work in and the words that every command begins with."""

    def __init__(self, data: Path, folder: Path, given: argparse.Namespace) -> None:
        self.data, self.folder, self.given = data, folder, given

    def run(self, config: Path, *words: str) -> tuple[dict[str, Any], float]:
        """What a command answers, and its processor seconds."""
        base = [sys.executable, "-m", "notif_rec.cli.main", "-c", str(config), "--json", "--quiet", "--jobs", str(self.given.jobs)]
        _, core, _, output = measure([*base, *words])
        return json.loads(output), core

    def split(self, title: str, config: Path, models: tuple[str, ...] = ("popular", "similar", "als", "blend")) -> None:
        """Rows of the Gowalla split with these settings."""
        pairs = self.data / "gowalla_lightgcn"
        found, core = self.run(config, "evaluate", "--train", str(pairs / "train.txt.gz"), "--test", str(pairs / "test.txt.gz"))
        show(f"{title} ({core:.0f} core-s)", found["channels"]["all"], found["differences"]["all"], models)

    def config(self, name: str, text: dict[str, Any]) -> Path:
        """A config file; JSON is YAML."""
        path = self.folder / f"{name}.yml"
        path.write_text(json.dumps({"version": 1, **text}) + "\n")
        return path


def gowalla(bench: Bench) -> None:
    """Defaults, untuned, of both solvers."""
    for solver in ("implicit", "diagonal"):
        bench.split(f"Gowalla, defaults, solver {solver}", bench.config(f"default-{solver}", {"model": {"solver": solver}}))


def tuned(bench: Bench) -> None:
    """A search, and what it found refitted."""
    output = bench.folder / "tuned.yml"
    config = bench.config("base", {"model": {"solver": bench.given.solver}})
    pairs = str(bench.data / "gowalla_lightgcn" / "train.txt.gz")
    found, core = bench.run(config, "tune", "--train", pairs, "-o", str(output), "--budget", bench.given.budget)
    print(f"\ntune, solver {bench.given.solver}: {core:.0f} core-s, {found['trials']} trials in {found['seconds']:.0f} s, {found['best']}")
    print(f"searched to its end: {found['complete']}; {json.dumps(found['model'])}", flush=True)
    bench.split("Gowalla, tuned", output)
    trials = [json.loads(line) for line in output.with_name("tuned.yml.trials.jsonl").read_text().splitlines()]
    for title, alone in (("64 factors, blended", False), ("64 factors, ALS alone", True)):
        fitting = [t for t in trials if t["settings"]["factors"] == 64 and (t["settings"]["blend"] == 0) == alone]
        best = max(fitting, key=lambda trial: trial["ndcg"])["settings"] | {"iterations": found["model"]["iterations"]}
        bench.split(f"Gowalla, {title}", bench.config(f"best-64-{alone}", {"model": best}), ("als",) if alone else ("blend",))


def grocer(bench: Bench) -> None:
    """The retail year: what comes next, new to the household or not."""
    config = retail(bench)
    for day in RETAIL_DAYS:
        found, core = bench.run(config, "evaluate", "--as-of", day)
        both_ways(f"Complete Journey, the 7 days before {day} ({core:.0f} core-s)", found)


def movies(bench: Bench) -> None:
    """MovieLens 100K: most of who comes later is new. With the defaults, and with what a minute of `tune` found before each split."""
    said = {"events": {"rated": 1}, "channels": {"push": {"consent": "yes"}}}
    config = bench.config("movies", said)
    for kind, path in movie_files(bench.data / "ml_100k", bench.folder):
        bench.run(config, "ingest", kind, str(path))
    for day in MOVIE_DAYS:
        found, core = bench.run(config, "evaluate", "--as-of", day, "--horizon", "30d")
        both_ways(f"ML-100K, the 30 days before {day} ({core:.0f} core-s)", found, listed=False)
        split, output = str(date.fromisoformat(day) - timedelta(days=30)), bench.folder / f"tuned-{day}.yml"
        best, core = bench.run(config, "tune", "--as-of", split, "--horizon", "30d", "--budget", "1m", "-o", str(output))
        found, _ = bench.run(
            bench.config(f"movies-{day}", {**said, "model": best["model"]}), "evaluate", "--as-of", day, "--horizon", "30d"
        )
        both_ways(f"ML-100K, the 30 days before {day}, tuned on what came before them ({core:.0f} core-s)", found, listed=False)


def new_items(bench: Bench) -> None:
    """A tenth of the items without a past: their events before the split are taken out, their text stays.

    They compete with every item, and then among themselves: the others are gone by the split.
    """
    config = retail(bench, hidden=True)
    segments(bench, config, "among all items")
    items = bench.folder / "grocer-hidden" / "data" / "items.csv.gz"
    bench.run(config, "ingest", "items", str(only_hidden_live(items)))
    segments(bench, config, "among themselves")
    by_category(items.parent)


def segments(bench: Bench, config: Path, title: str) -> None:
    """Recall of items without a past and with one."""
    found, core = bench.run(config, "evaluate", "--as-of", NEW_DAY, "-k", "300")
    for told in (found, found["other_way"]):
        way = "left out" if told["counts"]["all"]["exclude_seen"] else "listed"
        parts = told["segments"]["all"]
        for part in (name for name in ("cold_items", "warm_items") if name in parts):
            rows = [f"{name} {value['recall@300']:.4f}" for name, value in parts[part].items()]
            print(f"{core:.0f} core-s; {title}, had items {way}; {part}: recall@300 {', '.join(rows)}", flush=True)


def by_category(data: Path) -> None:
    """What chance finds of hidden items among hidden ones, and their categories by popularity; mean over those who took one."""
    items = {row["item_id"]: row["category"] for row in _csv_rows(data / "items.csv.gz")}
    hidden = [item for item in items if is_hidden(item)]
    popular: Counter[str] = Counter()
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in _csv_rows(data / "events-purchases.csv.gz"):
        if row["event"] != "purchase":
            continue
        if is_hidden(row["item_id"]) and NEW_SPLIT <= row["timestamp"] < NEW_DAY:
            wanted[row["user_id"]].add(row["item_id"])
        elif not is_hidden(row["item_id"]) and row["timestamp"] < NEW_SPLIT:
            popular[items.get(row["item_id"], "")] += 1
    size = Counter(items[item] for item in hidden)
    listed = set(sorted(hidden, key=lambda item: (-popular[items[item]] / size[items[item]], item))[:300])
    recall = sum(len(had & listed) / len(had) for had in wanted.values()) / len(wanted)
    print(f"among themselves: chance {300 / len(hidden):.4f}, popularity of the category {recall:.4f} ({len(wanted)} users)", flush=True)


def is_hidden(item: str) -> bool:
    """Whether the item is one of the tenth, whatever the order."""
    return random.Random(item).random() < HIDDEN


def retail(bench: Bench, *, hidden: bool = False) -> Path:
    """A store of the retail year, where `hidden` without the events of hidden items before the split; its config."""
    folder = bench.folder / ("grocer-hidden" if hidden else "grocer")
    folder.mkdir(parents=True, exist_ok=True)
    measure([sys.executable, str(GROCER / "convert.py"), "--data", str(bench.data / "complete_journey"), "--output", str(folder / "data")])
    config = Path(shutil.copy(GROCER / "notif_rec.yml", folder))
    for kind, name in (("users", "users.csv"), ("items", "items.csv.gz"), ("events", "events-purchases.csv.gz")):
        path = folder / "data" / name
        if hidden and kind == "events":
            path = _rewritten(path, lambda row: None if is_hidden(row["item_id"]) and row["timestamp"] < NEW_SPLIT else row)
        bench.run(config, "ingest", kind, str(path))
    return config


def only_hidden_live(items: Path) -> Path:
    """The items, of which those that are not hidden expire at the split."""
    return _rewritten(items, lambda row: row | {"expires_at": "" if is_hidden(row["item_id"]) else f"{NEW_SPLIT}T00:00:00Z"})


def _rewritten(path: Path, change: Callable[[dict[str, str]], dict[str, str] | None]) -> Path:
    """The rows of a file, changed, without those that become None."""
    left = path.with_name(f"left-{path.name}")
    rows = (row for row in map(change, _csv_rows(path)) if row is not None)
    first = next(rows)
    with gzip.open(left, "wt", newline="", compresslevel=1) as target:
        writer = csv.DictWriter(target, list(first))
        writer.writeheader()
        writer.writerows(chain([first], rows))
    return left


def _csv_rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as source:
        yield from csv.DictReader(source)


def movie_files(data: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """Users, items and events of MovieLens as CSV files, by kind."""
    users = ((u, f"{int(age) // 10}0s", gender, work) for u, age, gender, work, _ in _rows(data / "ml-100k.user"))
    yield "users", _written(folder / "users.csv", ("user_id", "age", "gender", "occupation"), users)
    items = ((i, title, genres.replace(" ", "|")) for i, title, _, genres in _rows(data / "ml-100k.item"))
    yield "items", _written(folder / "items.csv", ("item_id", "title", "tags"), items)
    rated = ((u, i, "", "rated", _moment(at), stars) for u, i, stars, at in _rows(data / "ml-100k.inter"))
    yield "events", _written(folder / "events.csv", ("user_id", "item_id", "channel", "event", "timestamp", "value"), rated)


def _moment(seconds: str) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).isoformat()


def _rows(path: Path) -> list[list[str]]:
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()[1:]]


def _written(path: Path, columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *rows])
    return path


def both_ways(title: str, found: dict[str, Any], *, listed: bool = True) -> None:
    """Rows over everything, with what users had left out, and with it listed."""
    told = [found, *([found["other_way"]] if "other_way" in found else [])]
    for way in told:
        left_out = way["counts"]["all"]["exclude_seen"]
        if left_out or listed:
            show(f"{title}, had items {'left out' if left_out else 'listed'}", way["channels"]["all"], way["differences"]["all"])


def show(title: str, models: dict[str, Any], leads: dict[str, Any], names: tuple[str, ...] | None = None) -> None:
    """A table: a row a model."""
    print(f"\n**{title}**\n\n| model | Recall@20 | NDCG@20 | blend leads NDCG@20 by (95 %) |\n|---|--:|--:|---|")
    for name in names or tuple(models):
        lead = leads.get(name, {}).get("ndcg@20")
        told = f"{lead['mean']:+.4f} [{lead['low']:+.4f}, {lead['high']:+.4f}]" if lead else ""
        print(f"| {name} | {models[name]['recall@20']:.4f} | {models[name]['ndcg@20']:.4f} | {told} |", flush=True)


ROWS: dict[str, Callable[[Bench], None]] = {"gowalla": gowalla, "tuned": tuned, "grocer": grocer, "movies": movies, "new-items": new_items}


def main() -> None:
    """Runs the rows that are named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", choices=[[], *ROWS], metavar="ROW")
    parser.add_argument("--data", type=Path, default=os.environ.get("NOTIF_REC_DATA", "../shared/data"))
    parser.add_argument("--folder", type=Path, help="where files go; kept when named")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--budget", default="25m", help="of `tuned`, wall time")
    parser.add_argument("--solver", choices=("implicit", "diagonal"), default="implicit", help="of `tuned`")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="notif-rec-quality-"))
    for name in given.rows or ROWS:
        place = folder / name
        place.mkdir(parents=True, exist_ok=True)
        ROWS[name](Bench(Path(given.data), place, given))
    if given.folder is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
