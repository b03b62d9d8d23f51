"""A file of users that a command is limited to."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from notif_rec.errors import DataError

HEADER = "user_id"


def read_user_file(path: Path) -> pa.Array:
    """The distinct ids (text) in the file's column `user_id`, sorted; DataError where it cannot be read. CSV, `.gz` or plain."""
    options = pa_csv.ConvertOptions(column_types={HEADER: pa.string()}, include_columns=[HEADER], strings_can_be_null=False)
    try:
        column = pa_csv.read_csv(path, convert_options=options, parse_options=pa_csv.ParseOptions(newlines_in_values=True))[HEADER]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file of users", f"write a CSV file with the header {HEADER} and one id a line") from None
    except KeyError:
        raise DataError(f"{path}:1: no column '{HEADER}'", f"write a CSV file with the header {HEADER} and one id a line") from None
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: no list of users ({error})", f"write a CSV file with the header {HEADER} and one id a line") from None
    ids = column.combine_chunks().unique()
    ids = ids.filter(pc.not_equal(ids, ""))
    return ids.sort()
