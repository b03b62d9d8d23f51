"""Two months under each policy in simulated worlds: does value-based planning beat the obvious rivals, and where does it not?

`notif-rec simulate` once a seed, on one machine, one after the other; with --keep a stopped run goes on. Prints one table a metric.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

METRICS = ("clicks", "sends", "unsubscribes", "opens", "sessions", "reach_30d", "value")
FEWER = -0.20  # sends, where clicks are equal


def simulated(arguments: argparse.Namespace, seed: int, folder: Path) -> Any:
    """What `simulate --json` says of one seed."""
    line = [*program(), "simulate", "--json", "--jobs", str(arguments.jobs), "--seed", str(seed), "--keep", str(folder / f"seed-{seed}")]
    line += ["--days", str(arguments.days), "--users", str(arguments.users), "--train-every", arguments.train_every]
    for policy in arguments.policy or ("ours", "popular-flat-cap", "score-first", "no-caps"):
        line += ["--policy", policy]
    done = subprocess.run([*line, *(["-c", arguments.config] if arguments.config else [])], stdout=subprocess.PIPE, check=False)
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
    parser.add_argument("--policy", action="append", help="as for simulate; all presets where none is named")
    parser.add_argument("--train-every", default="7d")
    parser.add_argument("--config", help="a notif_rec.yml; what `init` writes where none is named")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for stores and results, by which a stopped run goes on")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="closed-loop-") as temporary:
        folder = arguments.keep or Path(temporary)
        found = {seed: simulated(arguments, seed, folder) for seed in arguments.seeds}
    print_totals(found)
    print_differences(found)


if __name__ == "__main__":
    main()
