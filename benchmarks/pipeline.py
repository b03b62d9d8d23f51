"""The whole pipeline beside the script that one would write, on the same files, in one run: seconds, peak memory, ratios.

python benchmarks/pipeline.py [--size S] [--baseline-python PYTHON] [--folder DIR] [--repeat 1]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

from world import AS_OF, SIZES, make_world

HERE = Path(__file__).parent
STAGES = ("ingest", "train", "plan", "apply")


@dataclass
class Measured:
    """Seconds of wall time by stage, and the highest memory of the processes together, in MiB."""

    seconds: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)  # processor seconds of all processes; what a busy machine leaves comparable
    memory: dict[str, float] = field(default_factory=dict)
    sends: dict[str, int] = field(default_factory=dict)

    @property
    def whole(self) -> float:
        """Seconds of everything."""
        return sum(self.seconds.values())


def measure(command: list[str]) -> tuple[float, float, float, str]:
    """Wall seconds, processor seconds, peak MiB (sampled four times a second) of the process and its children; and stdout."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    peak = [0.0]
    sampler = threading.Thread(target=_sample, args=(process, peak), daemon=True)
    sampler.start()
    output, _ = process.communicate()
    seconds = time.perf_counter() - started
    sampler.join()
    if process.returncode:
        sys.exit(f"error: {' '.join(command)} ended with {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, peak[0], output


def _sample(process: subprocess.Popen[str], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(_megabytes(pid) for pid in _family(process.pid)))
        time.sleep(0.25)  # looking costs the looked-at time


def _family(pid: int) -> list[int]:
    found = [pid]
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = path.read_text(encoding="ascii").split()
        except OSError:  # it has just ended
            continue
        found += [p for child in children for p in _family(int(child))]
    return found


def _megabytes(pid: int) -> float:
    """Proportional memory: a page that two processes share counts once between them."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def ours(folder: Path) -> Measured:
    """Every command in its own process, as cron or a person would call it."""
    shutil.rmtree(folder / ".notif_rec", ignore_errors=True)
    as_of, found = AS_OF.isoformat() + "Z", Measured()
    base = [sys.executable, "-m", "notif_rec.cli.main", "-c", str(folder / "notif_rec.yml"), "--json"]
    events = [str(p) for p in sorted(folder.glob("events-*.csv"))]
    steps = [
        ("ingest", ["ingest", "users", str(folder / "users.csv")]),
        ("ingest", ["ingest", "items", str(folder / "items.csv")]),
        ("ingest", ["ingest", "events", *events]),
        ("train", ["train", "--as-of", as_of]),
        ("plan", ["plan", "--as-of", as_of]),
        ("apply", ["apply", "latest", "-o", str(folder / "lists")]),
    ]
    for stage, words in steps:
        seconds, cpu, memory, output = measure([*base, *words])
        found.seconds[stage] = found.seconds.get(stage, 0.0) + seconds
        found.cpu[stage] = found.cpu.get(stage, 0.0) + cpu
        print(f"{' '.join(words[:2])}: {seconds:.1f} s, {cpu:.1f} processor s, {memory:.0f} MiB", file=sys.stderr, flush=True)
        found.memory[stage] = max(found.memory.get(stage, 0.0), memory)
        if stage == "plan":
            found.sends = json.loads(output)["sends"]
    return found


def theirs(folder: Path, python: str) -> Measured:
    """The script, one process; its imports and its end count as ingest."""
    as_of = AS_OF.isoformat() + "Z"
    seconds, cpu, memory, output = measure([python, str(HERE / "baseline_script.py"), str(folder), str(folder / "baseline"), as_of])
    said = json.loads(output.splitlines()[-1])
    said["seconds"]["ingest"] += seconds - sum(said["seconds"].values())
    said["cpu"]["ingest"] += cpu - sum(said["cpu"].values())
    return Measured(said["seconds"], said["cpu"], {"all": memory}, said["sends"])


def compare(mine: Measured, other: Measured) -> str:
    """The table in Markdown; a ratio above 1 means that this pipeline needs less."""
    lines = [
        "| stage | notif-rec s | processor s | MiB | script s | processor s | ratio | of processor |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for stage in STAGES:
        memory = f"{mine.memory[stage]:.0f}"
        lines.append(_row(stage, mine.seconds[stage], mine.cpu[stage], memory, other.seconds[stage], other.cpu[stage]))
    lines.append(_row("**whole**", mine.whole, sum(mine.cpu.values()), "", other.whole, sum(other.cpu.values())))
    peak, theirs = max(mine.memory.values()), max(other.memory.values())
    lines.append(f"\npeak memory: notif-rec {peak:.0f} MiB, script {theirs:.0f} MiB, ratio {theirs / peak:.2f}")
    lines.append(f"sends: notif-rec {mine.sends}, script {other.sends}")
    return "\n".join(lines)


def _row(name: str, seconds: float, cpu: float, memory: str, their_seconds: float, their_cpu: float) -> str:
    ratios = f"{their_seconds / seconds:.2f} | {their_cpu / cpu:.2f}"
    return f"| {name} | {seconds:.2f} | {cpu:.2f} | {memory} | {their_seconds:.2f} | {their_cpu:.2f} | {ratios} |"


def main() -> None:
    """Reads the command line, makes the world, runs both."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", choices=sorted(SIZES), default="S")
    parser.add_argument("--baseline-python", default=sys.executable, help="a Python that has benchmarks/requirements.txt")
    parser.add_argument("--folder", type=Path, help="where the files go; kept when named")
    parser.add_argument("--repeat", type=int, default=1, help="runs of both, in turn; the fastest of each stage counts")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="notif-rec-bench-"))
    size = SIZES[given.size]
    make_world(folder, size)
    print(f"{size.users:,} users, {size.items:,} items, {size.events:,} events; {os.cpu_count()} cores\n", flush=True)
    warm_up()
    pairs = [(ours(folder), theirs(folder, given.baseline_python)) for _ in range(given.repeat)]
    print(compare(best([a for a, _ in pairs]), best([b for _, b in pairs])))
    if given.folder is None:
        shutil.rmtree(folder)


def warm_up() -> None:
    """Runs a tiny world once, so that what is compiled on first use lies in its cache, as it does from the second night on."""
    with tempfile.TemporaryDirectory(prefix="notif-rec-warm-") as folder:
        make_world(Path(folder), SIZES["XS"])
        print(f"first use on this machine, everything compiled: {ours(Path(folder)).whole:.1f} s\n", flush=True)


def best(runs: list[Measured]) -> Measured:
    """The fastest of each stage and the highest memory."""
    seconds = {stage: min(run.seconds[stage] for run in runs) for stage in STAGES}
    memory = {name: max(run.memory[name] for run in runs) for name in runs[0].memory}
    cpu = {stage: min(run.cpu[stage] for run in runs) for stage in STAGES}
    return Measured(seconds, cpu, memory, runs[-1].sends)


if __name__ == "__main__":
    main()
