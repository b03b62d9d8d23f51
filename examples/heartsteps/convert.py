"""Turns the decision points of HeartSteps V1 into logged choices with their probability: user_id,item_id,reward,propensity,…

    python examples/heartsteps/convert.py [--data FOLDER] [--output FILE]

FOLDER holds HS1_cleaned.csv.gz; by default `heartsteps_v1` in $NOTIF_REC_DATA, or in ../shared/data beside this checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[2]
SENT = 0.6  # a suggestion was pushed with this probability wherever the phone's owner was available

# Where nobody was available nothing could be sent: no choice was made there.
LOGS = f"""
SELECT "user" AS user_id, CASE WHEN send THEN 'suggestion' ELSE 'nothing' END AS item_id, "jbsteps30.log" AS reward,
       CASE WHEN send THEN {SENT} ELSE {1 - SENT:g} END AS propensity, "jbsteps30pre.log" AS steps_before, "study.day.nogap" AS day
FROM read_csv($path, nullstr = 'NA') WHERE avail ORDER BY "user", "decision.index.nogap"
"""


def convert(data: Path, output: Path) -> int:
    """Writes the logs; returns the number of decisions."""
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE logs AS {LOGS}", {"path": str(data / "HS1_cleaned.csv.gz")})
        connection.table("logs").write_csv(str(output), header=True)
        return int(connection.table("logs").shape[0])


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    folder = Path(os.environ.get("NOTIF_REC_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=folder / "heartsteps_v1")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "logs.csv")
    arguments = parser.parse_args()
    if not (arguments.data / "HS1_cleaned.csv.gz").is_file():
        print(f"error: {arguments.data / 'HS1_cleaned.csv.gz'}: no such file\n  fix: name the folder with --data", file=sys.stderr)
        return 1
    print(f"{arguments.output}\t{convert(arguments.data, arguments.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
