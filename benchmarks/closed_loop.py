"""Two months under each policy in simulated worlds: does value-based planning beat the obvious rivals, and where does it not?

Each policy of each seed is lived by a `notif-rec simulate` of its own, --jobs of them at once; then one more a seed compares what was
lived. With --keep a stopped run goes on. Prints totals and paired differences, and the processor seconds that it took.
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
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

METRICS = ("clicks", "sends", "unsubscribes", "opens", "sessions", "reach_30d", "value")
PRESETS = ("ours", "popular-flat-cap", "score-first", "no-caps")
FEWER = -0.20  # sends, where clicks are equal


def lived(arguments: argparse.Namespace, seed: int, policy: str, folder: Path) -> None:
    """One policy, lived through in a folder of its own."""
    home = folder / f"seed-{seed}" / f"alone-{Path(policy).stem}"
    if simulate(arguments, seed, [policy], home) is not None:
        print(f"seed {seed}: {policy} is lived", file=sys.stderr, flush=True)


def compared(arguments: argparse.Namespace, seed: int, folder: Path) -> Any:
    """What `simulate --json` says of all policies of a seed, each of which was lived already."""
    together = folder / f"seed-{seed}" / "together"
    for policy in arguments.policy:
        name = Path(policy).stem
        (together / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / f"seed-{seed}" / f"alone-{name}" / "simulation.json", together)
        shutil.copy(folder / f"seed-{seed}" / f"alone-{name}" / name / "lived.json", together / name)
    return simulate(arguments, seed, arguments.policy, together)


def simulate(arguments: argparse.Namespace, seed: int, policies: list[str], home: Path) -> Any:
    """`notif-rec simulate --json`, kept in `home`; exit code 3, a broken rule, is told in the table."""
    home.parent.mkdir(parents=True, exist_ok=True)
    line = [*program(), "simulate", "--json", "--jobs", "1", "--seed", str(seed), "--keep", str(home), "--days", str(arguments.days)]
    line += ["--users", str(arguments.users), "--train-every", arguments.train_every]
    line += [word for policy in policies for word in ("--policy", policy)]
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"} if arguments.jobs > 1 else {}
    line += ["-c", arguments.config] if arguments.config else ["-q"]
    done = subprocess.run(line, stdout=subprocess.PIPE, env={**os.environ, **alone}, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.returncode)
    return json.loads(done.stdout)


def program() -> list[str]:
    installed = Path(sys.executable).with_name("notif-rec")
    return [str(installed)] if installed.exists() else [shutil.which("notif-rec") or "notif-rec"]


def print_totals(found: dict[int, Any]) -> None:
    print("| seed | policy | " + " | ".join(METRICS) + " | violations |")
    print("|--:|---|" + "--:|" * (len(METRICS) + 1))
    for seed, told in found.items():
        for name, policy in told["policies"].items():
            cells = [f"{policy[metric]['mean']:,.0f}" for metric in METRICS]
            print(f"| {seed} | `{name}` | {' | '.join(cells)} | {policy['audit']['violations']} of {policy['audit']['sends']:,} |")


def print_differences(found: dict[int, Any]) -> None:
    shown = METRICS[:3] + METRICS[4:]
    print("\n| seed | against | " + " | ".join(shown) + " | verdict |")
    print("|--:|---|" + "--:|" * len(shown) + "---|")
    for seed, told in found.items():
        for apart in told["differences"]:
            cells = [cell(apart["metrics"][metric]) for metric in shown]
            print(f"| {seed} | `{apart['other']}` | {' | '.join(cells)} | {verdict(apart['metrics'])} |")


def cell(of: Any) -> str:
    """`+12 % (+3 … +21)`: the share of the other's total, and the 95 % interval of the difference in totals."""
    share = "" if of["share"] is None else f"{of['share']:+.1%} "
    return f"{share}({of['low']:+,.0f} … {of['high']:+,.0f})"


def verdict(metrics: Any) -> str:
    clicks, leaves, sends = metrics["clicks"], metrics["unsubscribes"], metrics["sends"]
    if clicks["low"] > 0 and leaves["mean"] <= 0:
        return "more clicks, no more unsubscribes" + (" (fewer)" if leaves["high"] < 0 else "")
    if clicks["high"] >= 0 and (sends["share"] or 0) <= FEWER and sends["high"] < 0:
        return "as many clicks of a fifth fewer sends"
    if clicks["high"] < 0:
        return "fewer clicks" + (", fewer unsubscribes" if leaves["high"] < 0 else "")
    return "not apart in clicks" + (", fewer unsubscribes" if leaves["high"] < 0 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--days", type=int, default=60)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--policy", nargs="+", default=list(PRESETS), help="as for simulate, the first against the others")
    parser.add_argument("--train-every", default="7d")
    parser.add_argument("--config", help="a notif_rec.yml; what `init` writes where none is named")
    parser.add_argument("--jobs", type=int, default=1, help="policies lived at the same time")
    parser.add_argument("--keep", type=Path, help="a folder for stores and results, by which a stopped run goes on")
    arguments, started = parser.parse_args(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="closed-loop-") as temporary:
        folder = arguments.keep or Path(temporary)
        with ThreadPoolExecutor(arguments.jobs) as pool:  # each thread waits for a process
            asked = [pool.submit(lived, arguments, seed, policy, folder) for policy in arguments.policy for seed in arguments.seeds]
            for one in asked:
                one.result()
        found = {seed: compared(arguments, seed, folder) for seed in arguments.seeds}
    print_totals(found)
    print_differences(found)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"\n{used.ru_utime + used.ru_stime:,.0f} core-s, {time.monotonic() - started:,.0f} s")


if __name__ == "__main__":
    main()
