"""What a plan's pruning to offers cost, measured on a few of its users."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from notif_rec.engines.engine import Task
from notif_rec.planning.context import PlanContext
from notif_rec.planning.context_file import load_context
from notif_rec.planning.pruning import PRUNING, pruning_batch
from notif_rec.planning.quotas import read_batches
from notif_rec.tables import PLANNING_INPUT
from notif_rec.workflows.allocate import Office

SAMPLE = 500  # users; parts are buckets of a hash, so that the first are as good as any
PRUNE = Task(pruning_batch, load_context, reads=PLANNING_INPUT, writes=PRUNING)


def pruning_loss(office: Office, files: Sequence[Path], context: PlanContext) -> dict[str, Any]:
    """users: how many were looked at; lost: the share of the value (prices paid) of four times as many offers that the plan's lack;
    at_most: no set of these lacks more.
    """
    sample, users = office.folder / "sample.arrow", 0
    with pa.OSFile(str(sample), "wb") as sink, pa.ipc.new_file(sink, PLANNING_INPUT) as writer:
        for part in files:
            for batch in read_batches(part) if users < SAMPLE else ():
                some = batch.slice(0, SAMPLE - users)
                writer.write_batch(some)
                users += some.num_rows
    found = [batch for part in office.run(PRUNE, [sample], context, "pruning") for batch in read_batches(part)] if users else []
    kept, wider, limit = (sum(float(batch.column(i).to_numpy().sum()) for batch in found) for i in range(3))
    return {"users": users, "lost": 1.0 - kept / wider if wider > 0 else 0.0, "at_most": 1.0 - kept / limit if limit > 0 else 0.0}
