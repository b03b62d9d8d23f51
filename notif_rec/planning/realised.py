"""What became of sends that went out: the outcomes that belong to each, counted as the planner counts them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.planning.answers import attribute_outcomes
from notif_rec.planning.bucket import read_past, to_us
from notif_rec.planning.facts import Facts
from notif_rec.planning.prepare import bucket_spans
from notif_rec.planning.sends import ItemLog, gather_sends, read_item_log
from notif_rec.scoring.features import NEVER

FloatArray = npt.NDArray[np.float64]
HashArray = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Realised:
    """One row a send, ordered by key (the hash of its send key): opened and unsubscribed in {0, 1}, clicked the sum over its items of
    value × share of a click.
    """

    key: HashArray
    opened: FloatArray
    clicked: FloatArray
    unsubscribed: FloatArray


def realised_outcomes(
    connection: duckdb.DuckDBPyConnection, facts: Facts, as_of: datetime, item_value: FloatArray, wanted: HashArray
) -> Realised:
    """The outcomes before `as_of` of the sends whose keys' hashes are `wanted`. item_value: by item code, 1 beyond its end."""
    item_log, keep = read_item_log(connection, facts), np.unique(wanted)
    parts = [_of_span(connection, span, facts, as_of, item_log, item_value, keep) for span in bucket_spans(connection)]
    key, opened, clicked, unsubscribed = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    order = np.argsort(key, kind="stable")
    return Realised(key[order], opened[order], clicked[order], unsubscribed[order])


def _of_span(
    connection: duckdb.DuckDBPyConnection, span: tuple[int, int], facts: Facts, as_of: datetime, item_log: ItemLog, item_value: FloatArray,
    keep: HashArray,
) -> tuple[HashArray, FloatArray, FloatArray, FloatArray]:  # fmt: skip
    past = read_past(connection, span, facts)
    sends = gather_sends(past, item_log)
    answers = attribute_outcomes(past.events, sends, facts, to_us(as_of), len(past.users))
    value = np.where(sends.item < len(item_value), item_value[np.minimum(sends.item, len(item_value) - 1)], 1.0) if len(item_value) else 1.0
    clicked = np.bincount(sends.of_item(), answers.clicked * value, len(sends.row)).astype(np.float64)
    ours = sends.ours & np.isin(sends.key, keep)
    opened, left = answers.opened_us[ours] < NEVER, answers.left_us[ours] < NEVER
    return sends.key[ours], opened.astype(np.float64), clicked[ours], left.astype(np.float64)
