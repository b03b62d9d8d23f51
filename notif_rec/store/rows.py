"""The small rows of the catalogue: what was ingested, which models and plans there are, what is paused."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, TypeAlias, TypeVar


@dataclass(frozen=True)
class FileRow:
    """A file that was ingested; the same file may stand here more than once, the newest last."""

    TABLE: ClassVar[str] = "files"
    table: str
    path: str
    source: str  # the config's pattern that named it, '' where a person did
    sha256: str
    size: int
    counts: Mapping[str, int] = field(default_factory=dict)
    newest: datetime | None = None  # newest event time
    seq: int | None = None  # the commit, filled there


@dataclass(frozen=True)
class ModelRow:
    """A model in `<store>/models`."""

    TABLE: ClassVar[str] = "models"
    model_id: str
    as_of: datetime
    config_hash: str
    model_config_hash: str
    path: str
    seq: int | None = None


@dataclass(frozen=True)
class PlanRow:
    """A plan; `seq` and `ledger` are the version that it read. Committing it again replaces it."""

    TABLE: ClassVar[str] = "plans"
    plan_id: str
    as_of: datetime
    config_hash: str
    model_id: str
    seq: int
    ledger: int
    state: str = "planned"  # planned | applied | released
    manifest: Mapping[str, Any] = field(default_factory=dict)
    applied_seq: int | None = None  # filled by the commit that first says 'applied'
    added_seq: int | None = None  # the commit that brought the plan


@dataclass(frozen=True)
class PublicationRow:
    """A folder (as seen from beside the store) that holds, or should hold, a plan's lists. Committing it again replaces it."""

    TABLE: ClassVar[str] = "publications"
    plan_id: str
    directory: str
    state: str  # intended | published | withdrawn


@dataclass(frozen=True)
class PauseRow:
    """A channel ('' = all) that must not send."""

    TABLE: ClassVar[str] = "pauses"
    channel: str
    since: datetime


@dataclass(frozen=True)
class ResumeRow:
    """Takes the pause of a channel away."""

    TABLE: ClassVar[str] = "pauses"
    channel: str


@dataclass(frozen=True)
class ForgottenRow:
    """A user who was forgotten, known by a salted hash alone. code: what may still be in models and plans under; None once it is gone."""

    TABLE: ClassVar[str] = "forgotten"
    hash: str
    code: int | None
    seq: int | None = None


@dataclass(frozen=True)
class PositionRow:
    """How far a stream of files was acted upon: what commit `upto` and those before it brought of it."""

    TABLE: ClassVar[str] = "positions"
    source: str
    upto: int


CatalogueRow: TypeAlias = FileRow | ModelRow | PlanRow | PublicationRow | PauseRow | ResumeRow | ForgottenRow | PositionRow
Row = TypeVar("Row", FileRow, ModelRow, PlanRow, PublicationRow, PauseRow, ForgottenRow, PositionRow)

MOMENTS = ("as_of", "newest", "since")
OBJECTS = ("counts", "manifest")


def encoded(row: CatalogueRow) -> dict[str, Any]:
    """The row's columns as SQLite keeps them: moments as ISO 8601 text (naive UTC), objects as JSON."""
    return {f.name: _to_sql(f.name, getattr(row, f.name)) for f in fields(row)}


def decoded(kind: type[Row], values: Mapping[str, Any]) -> Row:
    """The row that `encoded` wrote."""
    return kind(**{name: _from_sql(name, value) for name, value in values.items()})


def columns(kind: type[Row]) -> tuple[str, ...]:
    """The columns of a kind of row, in the order of its fields."""
    return tuple(f.name for f in fields(kind))


def _to_sql(name: str, value: Any) -> Any:
    if name in MOMENTS and value is not None:
        return value.isoformat(timespec="microseconds")
    if name in OBJECTS:
        return json.dumps(value, ensure_ascii=False)  # in its own order: that of channels has a meaning
    return str(value) if isinstance(value, Path) else value


def _from_sql(name: str, value: Any) -> Any:
    if name in MOMENTS and value is not None:
        return datetime.fromisoformat(value)
    return json.loads(value) if name in OBJECTS else value
