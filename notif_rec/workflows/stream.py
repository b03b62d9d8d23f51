"""`stream`: files of events as they come; whoever they speak of is planned for at once, by the same function as at night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.errors import DataError, UsageError
from notif_rec.store.rows import PositionRow
from notif_rec.store.store import Store
from notif_rec.workflows.apply import apply
from notif_rec.workflows.ingest import ingest
from notif_rec.workflows.plan import Scope, plan
from notif_rec.workflows.publish import publish, unfinished

ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".parquet")
TOUCHED = """
SELECT DISTINCT user_id FROM events JOIN user_ids USING ("user") WHERE events.seq = ANY($commits) ORDER BY user_id
"""


@dataclass(frozen=True)
class Batch:
    """What one look at the folder came to. refused: files that could not be taken in, with the reason. plan_id: '' where nobody was
    planned for."""

    files: int
    events: int
    users: int
    refused: Mapping[str, str]
    plan_id: str
    sends: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**self.__dict__, "refused": dict(self.refused), "sends": dict(self.sends)}


def waiting(folder: Path, known: Sequence[str]) -> list[Path]:
    """The event files in `folder` that are not `known` by name, oldest name first; UsageError where it is no folder.

    Hidden files and those of other endings are somebody's drafts.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder}: not a folder", "name the folder that files of events are moved into")
    return sorted(p for p in folder.iterdir() if p.name.endswith(ENDINGS) and p.name[0] != "." and p.name not in known)


def take_in(
    store: Store, config: Config, folder: Path, files: Sequence[Path], as_of: datetime, out: Path, engine: Engine, progress: Progress
) -> Batch:
    """Ingests `files` one by one, and plans and applies at `as_of` for the users of whatever came since the last time.

    How far it got stands in the transaction of the apply: killed at any moment, the next call goes on from there, and nobody is
    planned for twice over one event. Outcomes count as well as behaviour: a click or an opt-out changes what comes next.
    """
    source = f"stream {folder.resolve()}"
    with store.lock():
        for row, directory in unfinished(store):
            publish(store, row, directory)
        events, refused = _ingested(store, config, files, source, as_of, progress)
        upto, users = store.version().seq, _touched(store, source)
        position = PositionRow(source, upto)
        if not users:
            return Batch(len(files) - len(refused), events, 0, refused, "", {})
        planned = plan(store, config, as_of, engine, progress, scope=Scope(users)).manifest
        applied = apply(store, planned["plan_id"], as_of, as_of, out, rows=[position])
        if not applied.applied:
            store.commit("stream", {}, rows=[position])
    return Batch(len(files) - len(refused), events, len(users), refused, applied.plan_id, applied.sends)


def _ingested(
    store: Store, config: Config, files: Sequence[Path], source: str, as_of: datetime, progress: Progress
) -> tuple[int, dict[str, str]]:
    """Accepted events, and files that were refused: one bad file stops nobody else's."""
    events, refused = 0, dict[str, str]()
    for path in files:
        try:
            events += ingest(store, config, "events", [path], latest=as_of, source=source, progress=progress).files[0].accepted
        except DataError as error:
            refused[path.name] = error.problem
    return events, refused


def _touched(store: Store, source: str) -> tuple[str, ...]:
    """Users of the events that the stream brought since it was last acted upon."""
    done = store.position(source)
    commits = [row.seq for row in store.files("events") if row.source == source and (row.seq or 0) > done]
    if not commits:
        return ()
    with store.connect() as connection:
        return tuple(user for (user,) in connection.execute(TOUCHED, {"commits": commits}).fetchall())
