"""What the store holds, what ran last and what is left half done."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from notif_rec.store.store import Segment, Store
from notif_rec.tables import STORED


@dataclass(frozen=True)
class Status:
    """The store at one version. Times are naive UTC; None where there is nothing yet."""

    events: int
    users: int  # ids seen in any file
    items: int  # ids seen in any file
    sends: int  # in the ledger and not released
    first_event: datetime | None
    last_event: datetime | None
    model_id: str | None
    model_as_of: datetime | None
    last_plan: str | None
    last_plan_as_of: datetime | None
    last_plan_state: str | None  # planned | applied | released
    unfinished: tuple[str, ...]  # plans whose lists are recorded but not published: apply or run finishes them
    paused: tuple[str, ...]  # channels; 'all' for every one
    files: int
    version: int
    size_bytes: int

    def to_json(self) -> dict[str, Any]:
        """Every field under its own name."""
        return asdict(self)


def status(store: Store) -> Status:
    """The store as it stands; reads the catalogue, and of the segments only the ledger's."""
    segments, models, plans = store.segments(), store.models(), store.plans()
    rows = {name: sum(s.rows for s in segments if s.tbl == name) for name in STORED}
    first, last = _span(segments)
    plan, model = (plans[-1] if plans else None), (models[-1] if models else None)
    return Status(
        events=rows["events"],
        users=rows["user_ids"],
        items=rows["item_ids"],
        sends=count_sends(store) if rows["sends"] else 0,
        first_event=first,
        last_event=last,
        model_id=model.model_id if model else None,
        model_as_of=model.as_of if model else None,
        last_plan=plan.plan_id if plan else None,
        last_plan_as_of=plan.as_of if plan else None,
        last_plan_state=plan.state if plan else None,
        unfinished=tuple(sorted({p.plan_id for p in store.publications() if p.state == "intended"})),
        paused=tuple(p.channel or "all" for p in store.pauses()),
        files=len(store.files()),
        version=store.version().seq,
        size_bytes=sum((store.root / s.path).stat().st_size for s in segments),
    )


def count_sends(store: Store) -> int:
    """Sends in the ledger that were not released: one per key and reservation, however many items."""
    with store.connect() as connection:
        found = connection.execute("SELECT count(DISTINCT (send_key, seq)) FROM ledger WHERE NOT released").fetchone()
    return int(found[0]) if found else 0


def _span(segments: list[Segment]) -> tuple[datetime | None, datetime | None]:
    """Time of the first and the last event."""
    events = [s for s in segments if s.tbl == "events" and s.min_us is not None and s.max_us is not None]
    if not events:
        return None, None
    return _moment(min(s.min_us or 0 for s in events)), _moment(max(s.max_us or 0 for s in events))


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1e6, UTC).replace(tzinfo=None)
