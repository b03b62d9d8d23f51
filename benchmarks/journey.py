"""A real retail year, from raw tables to audited lists: wall and processor seconds and peak memory of every step.

NOTIF_REC_DATA=DIR python benchmarks/journey.py [--folder DIR] [--jobs N]; see examples/complete_journey/README.md for the data.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from pipeline import measure, warm_up

HERE = Path(__file__).parent.parent / "examples" / "complete_journey"
AS_OF = "2018-01-02"


def steps(folder: Path) -> list[tuple[str, list[str]]]:
    """The name of each step and the words after `notif-rec`."""
    data = folder / "data"
    events = [str(data / "events-purchases.csv.gz"), str(data / "events-campaigns.csv.gz")]
    return [
        ("ingest users", ["ingest", "users", str(data / "users.csv")]),
        ("ingest items", ["ingest", "items", str(data / "items.csv.gz")]),
        ("ingest events", ["ingest", "events", *events]),
        ("ingest events again", ["ingest", "events", *events]),
        ("train", ["train", "--as-of", AS_OF]),
        ("plan", ["plan", "--as-of", AS_OF]),
        ("apply", ["apply", "latest", "-o", str(folder / "lists")]),
        ("audit", ["audit"]),
        ("explain", ["explain", "1"]),
    ]


def main() -> None:
    """Reads the command line and runs the steps."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--folder", type=Path, help="where the files go; kept when named")
    parser.add_argument("--jobs", default=str(os.cpu_count()))
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="notif-rec-journey-"))
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "notif_rec.yml", folder)
    shutil.rmtree(folder / ".notif_rec", ignore_errors=True)
    warm_up()
    base = [sys.executable, "-m", "notif_rec.cli.main", "-c", str(folder / "notif_rec.yml"), "--json", "--quiet", "--jobs", given.jobs]
    print("| step | wall s | processor s | peak MiB | |\n|---|--:|--:|--:|---|", flush=True)
    _row("convert", [sys.executable, str(HERE / "convert.py"), "--output", str(folder / "data")])
    for name, words in steps(folder):
        _row(name, [*base, *words])
    if given.folder is None:
        shutil.rmtree(folder)


def _row(name: str, command: list[str]) -> None:
    seconds, cpu, memory, output = measure(command)
    print(f"| {name} | {seconds:.1f} | {cpu:.1f} | {memory:.0f} | {_told(output)} |", flush=True)


def _told(output: str) -> str:
    """The figures of a step's JSON that say what it did."""
    try:
        told = json.loads(output)
    except ValueError:
        return ""
    keys = ("records", "accepted", "rejected", "duplicates", "sends", "value", "bound", "violations", "overtaken")
    return ", ".join(f"{key} {told[key]}" for key in keys if key in told)


if __name__ == "__main__":
    main()
