"""Checks of the machine, the config and the store, each with what was found and how to mend it."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from notif_rec.config import Config, load_config
from notif_rec.engines.spark_needs import needs
from notif_rec.errors import NotifRecError
from notif_rec.policy.local_time import zone_names
from notif_rec.store.place import refuse_network_disk
from notif_rec.store.store import Store
from notif_rec.workflows.doctor_store import check_store

State = Literal["ok", "warn", "fail"]
FEW_ZONES, LITTLE_MEMORY = 400, 2 << 30


@dataclass(frozen=True)
class Check:
    """One finding; `fail` is what would stop or spoil a run, `warn` what may surprise."""

    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks, in a fixed order."""

    checks: tuple[Check, ...]

    @property
    def healthy(self) -> bool:
        """Whether nothing failed."""
        return all(check.state != "fail" for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """The answer to --json."""
        return {"healthy": self.healthy, "checks": [asdict(check) for check in self.checks]}


def diagnose(config_path: Path, store_path: Path, as_of: datetime, java_home: str | None = None) -> Diagnosis:
    """Every check that can be made here; nothing is written but a probe file that goes again. java_home: the environment's."""
    checks = [python(), sqlite(), zones(), blas(), memory()]
    config, config_check = read_config(config_path)
    checks += [config_check, *spark(config, java_home), *place(store_path)]
    if store_path.is_dir():
        store, store_check = open_store(store_path)
        checks.append(store_check)
        if store is not None:
            checks += [Check(*found) for found in check_store(store, config, as_of)]
    return Diagnosis(tuple(checks))


def python() -> Check:
    """The interpreter; 3.11 is needed."""
    version = ".".join(map(str, sys.version_info[:3]))
    return Check(
        "python", "ok" if sys.version_info >= (3, 11) else "fail", version, "" if sys.version_info >= (3, 11) else "install 3.11 or newer"
    )


def sqlite() -> Check:
    """The SQLite that this Python links; the store's journal mode is safe on every version, old ones lack syntax."""
    fine = sqlite3.sqlite_version_info >= (3, 35)
    return Check("sqlite", "ok" if fine else "fail", sqlite3.sqlite_version, "" if fine else "use a Python that links SQLite 3.35 or newer")


def zones() -> Check:
    """The time zones of this machine or of the tzdata package."""
    known = len(list(zone_names()))
    return Check("time zones", "ok" if known >= FEW_ZONES else "fail", f"{known} known", "" if known >= FEW_ZONES else "pip install tzdata")


def blas() -> Check:
    """The threads of the linear algebra libraries; training limits them itself."""
    import numpy  # noqa: F401  # so that its library is loaded
    from threadpoolctl import threadpool_info

    found = [f"{pool['internal_api']} {pool['num_threads']}" for pool in threadpool_info()]
    return Check("blas threads", "ok", f"{', '.join(found) or 'none'} (one while training)")


def memory() -> Check:
    """The memory and cores of the machine."""
    size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    text = f"{size / 2**30:.1f} GiB, {os.cpu_count()} cores"
    return Check("memory", "ok", text) if size >= LITTLE_MEMORY else Check("memory", "warn", text, "runs of a million users want 4 GiB")


def read_config(path: Path) -> tuple[Config | None, Check]:
    """The config where it is sound, and the finding."""
    if not path.exists():
        return None, Check("config", "warn", f"{path} does not exist", "`notif-rec init` writes one, or name it with -c FILE")
    try:
        config = load_config(path)
    except NotifRecError as error:
        return None, Check("config", "fail", error.problem, error.fix)
    return config, Check("config", "ok", f"{path} ({', '.join(config.channel_names)})")


def spark(config: Config | None, java_home: str | None) -> Iterable[Check]:
    """pyspark and Java, which only `engine: spark` needs."""
    asked = config is not None and config.engine.name == "spark"
    for need in needs(java_home):
        if need.fix and not asked:
            yield Check(need.name, "ok", f"{need.found} (only --engine spark needs it)")
        else:
            yield Check(need.name, "fail" if need.fix else "ok", need.found, need.fix)


def open_store(path: Path) -> tuple[Store | None, Check]:
    """The store where it can be opened, and the finding."""
    try:
        store = Store.open(path)
    except NotifRecError as error:
        return None, Check("store", "fail", error.problem, error.fix)
    return store, Check("store", "ok", f"{path}, version {store.version().seq}")


def place(store_path: Path) -> Iterable[Check]:
    """Whether the store's folder, or the one that it would be made in, is on a local disk and can be written."""
    folder = next(p for p in (store_path, *store_path.absolute().parents) if p.is_dir())
    yield _passes("file system", lambda: refuse_network_disk(store_path), "local")
    yield _passes("writable", lambda: _probe(folder), str(folder))


def _probe(folder: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotifRecError(f"{folder}: {error.strerror}", "make it writable for this user, or name another with --store") from None


def _passes(name: str, check: Callable[[], None], found: str) -> Check:
    try:
        check()
    except NotifRecError as error:
        return Check(name, "fail", error.problem, error.fix)
    return Check(name, "ok", found)
