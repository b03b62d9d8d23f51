"""Turns Hillstrom's e-mail experiment into files for `notif-rec lift --logs`: mens.csv and womens.csv, each mail against none.

    python examples/hillstrom/convert.py [--data FOLDER] [--output FOLDER]

FOLDER holds hillstrom.csv.gz; by default `hillstrom` in $NOTIF_REC_DATA, or in ../shared/data beside this checkout.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[2]
MAILS = {"mens": "Mens E-Mail", "womens": "Womens E-Mail"}

# The file names no customer: the line stands for one.
ARM = """
SELECT line AS user_id, (segment = $mail)::INT AS treated, visit, conversion, spend,
       recency, history, mens, womens, newbie, zip_code, channel
FROM (SELECT *, row_number() OVER () AS line FROM read_csv($path)) WHERE segment IN ($mail, 'No E-Mail') ORDER BY line
"""


def convert(data: Path, output: Path) -> dict[str, int]:
    """Writes the files; returns the rows of each."""
    found = {}
    with duckdb.connect() as connection:
        for name, mail in MAILS.items():
            connection.execute(f"CREATE TABLE {name} AS {ARM}", {"mail": mail, "path": str(data / "hillstrom.csv.gz")})
            connection.table(name).write_csv(str(output / f"{name}.csv"), header=True)
            found[name] = int(connection.table(name).shape[0])
    return found


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    folder = Path(os.environ.get("NOTIF_REC_DATA", ROOT.parent / "shared" / "data"))
    parser.add_argument("--data", type=Path, default=folder / "hillstrom")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    arguments = parser.parse_args()
    if not (arguments.data / "hillstrom.csv.gz").is_file():
        print(f"error: {arguments.data / 'hillstrom.csv.gz'}: no such file\n  fix: name the folder with --data", file=sys.stderr)
        return 1
    for name, rows in convert(arguments.data, arguments.output).items():
        print(f"{arguments.output / name}.csv\t{rows}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
