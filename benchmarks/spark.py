"""Spark here beside the local engine: processor seconds of each stage, and what a user, an event and a candidate cost.

python benchmarks/spark.py [--folder DIR] [--worlds A,B,C] [--divide N]     worlds that differ in one thing each; N times smaller ones
python benchmarks/spark.py [--folder DIR] --size M             the plan of 200,000 users, both engines
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, astuple
from pathlib import Path

from family import Spent, spent
from world import AS_OF, CONFIG, SIZES, Size, make_world

PROGRAM = str(Path(sys.executable).with_name("notif-rec"))
CORES, CHANNELS, CANDIDATES = 2, 3, (50, 100)
WORLDS = {"A": Size(20_000, 5_000, 800_000), "B": Size(80_000, 5_000, 800_000), "C": Size(20_000, 5_000, 3_200_000)}
IDLE = """
from pathlib import Path
from notif_rec.engines.spark import open_spark
import notif_rec.workflows.plan, sys
engine = open_spark("local[2]", {}, Path(sys.argv[1]))
list(engine.each(abs, [-1, 1], "idle", lambda *step: None))
"""


def main() -> None:
    """Prints core-seconds by stage, engine and world, and their slopes; what was measured stands in DIR/spark.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("spark-bench"))
    parser.add_argument("--worlds", default="A,B,C")
    parser.add_argument("--divide", type=int, default=1)
    parser.add_argument("--size", choices=list(SIZES))
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    sizes = {name: Size(*(number // chosen.divide for number in astuple(size))) for name, size in WORLDS.items()}
    bench = Bench(chosen.folder, sizes)
    print(f"start-up of Spark with two idle workers: {bench.idle():.1f} core-s")
    if chosen.size:
        bench.plan_of(chosen.size, SIZES[chosen.size])
        return
    for name in chosen.worlds.split(","):
        bench.whole_way(name, sizes[name])
    if all(any(label.startswith(f"{name} plan-50 spark") for label in bench.seen) for name in WORLDS):
        bench.slopes()


class Bench:
    """Worlds and stores in a folder, and what was measured of them; nothing is measured twice."""

    def __init__(self, folder: Path, sizes: Mapping[str, Size]) -> None:
        self.folder, self.notes, self.sizes = folder.resolve(), folder / "spark.json", sizes
        self.seen: dict[str, dict[str, float]] = json.loads(self.notes.read_text()) if self.notes.exists() else {}

    def idle(self) -> float:
        """Core-seconds of a session that starts, makes two workers and ends."""
        return self._measured("idle", lambda: spent([sys.executable, "-c", IDLE, str(self.folder)]))

    def whole_way(self, name: str, size: Size) -> None:
        """Ingest, train and plan of a world, on both engines; the plan also with more candidates."""
        world = self._world(name, size)
        for engine in ("local", "spark"):
            for table in ("users", "items"):
                self._command(world, engine, f"{name} {table} {engine}", "ingest", table, world / f"{table}.csv")
            self._command(world, engine, f"{name} ingest {engine}", "ingest", "events", *sorted(world.glob("events-*.csv")))
            self._command(world, engine, f"{name} train {engine}", "train", "--as-of", f"{AS_OF:%Y-%m-%d}")
            for candidates in CANDIDATES if name == "A" else CANDIDATES[:1]:
                policy = self.folder / f"candidates-{candidates}.yml"
                policy.write_text(f"version: 1\ncandidates: {candidates}\n", encoding="utf-8")
                label = f"{name} plan-{candidates} {engine}"
                self._command(world, engine, label, "plan", "--as-of", f"{AS_OF:%Y-%m-%d}", "--policy", policy)

    def plan_of(self, name: str, size: Size) -> None:
        """The plan of a world, side by side; ingested and trained once."""
        world = self._world(name, size)
        local = world / "local"
        for table in ("users", "items"):
            self._command(world, "local", f"{name} {table} local", "ingest", table, world / f"{table}.csv")
        self._command(world, "local", f"{name} ingest local", "ingest", "events", *sorted(world.glob("events-*.csv")))
        self._command(world, "local", f"{name} train local", "train", "--as-of", f"{AS_OF:%Y-%m-%d}")
        if not (world / "spark").exists():
            shutil.copytree(local, world / "spark")
        found = [
            self._command(world, engine, f"{name} plan {engine}", "plan", "--as-of", f"{AS_OF:%Y-%m-%d}") for engine in ("local", "spark")
        ]
        apart = found[1] - self.idle()
        told = f"local {found[0]:.1f}, Spark {found[1]:.1f} core-s, start-up apart {apart:.1f}"
        print(f"plan of {size.users:,} users: {told}: {apart / found[0]:.2f}×")

    def slopes(self) -> None:
        """What one more user, event and candidate cost each stage, in microseconds of one core."""
        print("stage\tengine\tper user µs\tper event µs\tper candidate µs")
        for stage in ("ingest", "train", "plan-50"):
            for engine in ("local", "spark"):
                base, wide, deep = (self.seen[f"{name} {stage} {engine}"]["core"] for name in "ABC")
                user = (wide - base) / (self.sizes["B"].users - self.sizes["A"].users) * 1e6
                event = (deep - base) / (self.sizes["C"].events - self.sizes["A"].events) * 1e6
                more = self.seen[f"A plan-100 {engine}"]["core"] - base
                candidate = more / (self.sizes["A"].users * CHANNELS * (CANDIDATES[1] - CANDIDATES[0])) * 1e6
                print(f"{stage}\t{engine}\t{user:.0f}\t{event:.1f}\t{f'{candidate:.2f}' if stage.startswith('plan') else ''}")

    def _world(self, name: str, size: Size) -> Path:
        world = self.folder / name
        if not (world / "notif_rec.yml").exists():
            make_world(world, size)
            engine = f'engine: {{master: "local[{CORES}]"}}\n'
            (world / "notif_rec.yml").write_text(CONFIG + engine, encoding="utf-8")
        return world

    def _command(self, world: Path, engine: str, label: str, *words: object) -> float:
        line = [PROGRAM, *map(str, words), "-c", str(world / "notif_rec.yml"), "--store", str(world / engine), "--jobs", str(CORES)]
        named = ["--engine", engine] if words[1] not in ("users", "items") else []
        return self._measured(label, lambda: spent([*line, *named]))

    def _measured(self, label: str, run: Callable[[], Spent]) -> float:
        if label not in self.seen:
            found = run()
            self.seen[label] = {key: value for key, value in asdict(found).items() if key != "output"}
            self.notes.write_text(json.dumps(self.seen, indent=1) + "\n", encoding="utf-8")
            print(f"{label}\twall {found.wall:.1f} s\tcore {found.core:.1f} s\tpeak {found.peak:.0f} MiB", flush=True)
        return self.seen[label]["core"]


if __name__ == "__main__":
    main()
