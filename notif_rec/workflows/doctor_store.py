"""Checks of an open store: space, permissions, the lock, the catalogue, its files, the model and what was left half done."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from notif_rec.config import Config
from notif_rec.errors import NotifRecError
from notif_rec.models.artifact import load_model
from notif_rec.store.store import Store

Found = tuple[str, Literal["ok", "warn", "fail"], str, str]  # name, state, what was found, what to do
LOCKS = Path("/proc/locks")
ROOM, SPARE = 3, 1 << 30  # free space: three times the store, and a GiB
OPEN_TO_OTHERS = 0o077


def check_store(store: Store, config: Config | None, as_of: datetime) -> Iterator[Found]:
    """The findings on `store`, in a fixed order."""
    yield disk(store)
    yield permissions(store)
    yield lock(store)
    yield catalogue(store)
    yield segments(store)
    yield unfinished(store)
    yield model(store, config, as_of)
    yield clock(store, as_of)


def disk(store: Store) -> Found:
    """Free space against what the store holds."""
    free = shutil.disk_usage(store.root).free
    held = sum(path.stat().st_size for path in store.root.rglob("*") if path.is_file())
    text = f"{free / 2**30:.1f} GiB free, the store holds {held / 2**30:.2f}"
    return ("disk", "ok", text, "") if free >= ROOM * held + SPARE else ("disk", "warn", text, "free some space before the next run")


def permissions(store: Store) -> Found:
    """Whether the store is readable by its owner alone."""
    mode = store.root.stat().st_mode & 0o777
    if mode & OPEN_TO_OTHERS:
        return "permissions", "warn", f"{store.root} is open to others ({mode:o})", f"chmod 700 {store.root}: it holds what people did"
    return "permissions", "ok", f"{mode:o}", ""


def lock(store: Store) -> Found:
    """Who holds the store's lock, found without touching it."""
    path = store.root / "lock"
    if not path.exists() or not LOCKS.exists():
        return "lock", "ok", "free" if not path.exists() else "not to be seen on this system", ""
    inode = f":{path.stat().st_ino} "
    if not any("FLOCK" in line and inode in line for line in LOCKS.read_text(encoding="ascii").splitlines()):
        return "lock", "ok", "free", ""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:  # it is just being written
        holder = {}
    return "lock", "warn", f"held by process {holder.get('pid', '?')} on {holder.get('host', '?')}", "a run is on; others get exit code 75"


def catalogue(store: Store) -> Found:
    """SQLite's own check of its file."""
    path = store.root / "catalogue.sqlite"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5)) as connection:
        try:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite3.DatabaseError as error:
            said = str(error)
    return ("catalogue", "ok", "sound", "") if said == "ok" else ("catalogue", "fail", said, "restore a backup of the store")


def segments(store: Store) -> Found:
    """Whether every file that the catalogue counts on is there."""
    found = store.segments()
    missing = [s.path for s in found if not (store.root / s.path).is_file()]
    if missing:
        return "segments", "fail", f"{len(missing)} of {len(found)} files are gone, first {missing[0]}", "restore a backup of the store"
    return "segments", "ok", f"{len(found)} files, {sum(s.rows for s in found):,} rows", ""


def unfinished(store: Store) -> Found:
    """Plans in the ledger whose lists were never published."""
    plans = sorted({p.plan_id for p in store.publications() if p.state == "intended"})
    if plans:
        return (
            "unfinished",
            "warn",
            f"recorded but not published: {', '.join(plans)}",
            f"`notif-rec apply {plans[0]}` (or the next run) finishes it",
        )
    return "unfinished", "ok", "nothing", ""


def model(store: Store, config: Config | None, as_of: datetime) -> Found:
    """The newest model: there, readable, and not older than twice what the config allows."""
    rows = store.models()
    if not rows:
        return "model", "warn", "none yet", "`notif-rec train` makes one"
    try:
        load_model(store.root / rows[-1].path)
    except NotifRecError as error:
        return "model", "fail", error.problem, error.fix
    age = as_of - rows[-1].as_of
    text = f"{rows[-1].model_id}, {max(age, timedelta(0)) // timedelta(hours=1)} hours old"
    if config is not None and age > 2 * config.retrain_after:
        return "model", "warn", text, "has `notif-rec run` been running? `notif-rec train` makes a new one"
    return "model", "ok", text, ""


def clock(store: Store, as_of: datetime) -> Found:
    """Whether the machine's clock lies behind what was already planned."""
    newest = max((plan.as_of for plan in store.plans()), default=None)
    if newest is not None and newest > as_of + timedelta(hours=1):
        return "clock", "warn", f"a plan is from {newest:%Y-%m-%dT%H:%M:%SZ}, after this moment", "set the clock, or use --as-of"
    return "clock", "ok", f"{as_of:%Y-%m-%dT%H:%M:%SZ}", ""
