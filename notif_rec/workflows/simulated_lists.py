"""Published lists as the simulated sender takes them: what goes out is what stands in the files."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.csv as pa_csv

from notif_rec.simulation.world.records import sends_of
from notif_rec.simulation.world.state import TIME, Sends, World

TYPES = {"send_key": pa.string(), "user_id": pa.string(), "position": pa.int64(), "item_id": pa.string(), "send_at": TIME}


def read_lists(world: World, files: Mapping[str, str]) -> Sends:
    """The sends of a plan's lists, by channel name → path."""
    options = pa_csv.ConvertOptions(column_types=TYPES, include_columns=list(TYPES))
    tables = []
    for channel, path in files.items():
        rows = pa_csv.read_csv(path, convert_options=options)
        tables.append(rows.append_column("channel", pa.array([channel] * rows.num_rows, pa.string())))
    return sends_of(world, pa.concat_tables(tables).combine_chunks())
