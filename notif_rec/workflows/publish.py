"""Writes the lists of an applied plan, or takes them away; the catalogue knows of every folder before anything is in it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notif_rec.store.files import remove_folder, sha256
from notif_rec.store.place import full_disk_is_clear
from notif_rec.store.publish import write_lists
from notif_rec.store.rows import PlanRow, PublicationRow
from notif_rec.store.store import Store, Version

LISTED = ("plan_id", "model_id", "as_of", "config_hash", "sends", "dropped", "value", "bound", "gap", "prices")


def publish(store: Store, plan: PlanRow, out: Path) -> dict[str, Any]:
    """The manifest of the lists in `out/<plan_id>`, written from the ledger unless they stand there whole already.

    Call it inside the store's lock.
    """
    folder = (out / plan.plan_id).resolve()
    if (known := _whole(folder)) is not None and _is_published(store, plan.plan_id, folder):
        return known
    return _write(store, plan, folder)


def publish_anew(store: Store) -> tuple[int, tuple[str, ...]]:
    """How many folders were written again because the ledger no longer holds what they list, or a crash left them half done, and
    those that are gone.

    Call it inside the store's lock.
    """
    with store.connect() as connection:
        found = connection.execute("SELECT plan_id, channel, count(*) FROM sends WHERE kind = 'send' GROUP BY ALL").fetchall()
    rows = {(plan, f"{channel}.csv"): n for plan, channel, n in found}
    plans, written, gone = {plan.plan_id: plan for plan in store.plans()}, 0, list[str]()
    for row in store.publications():
        folder = folder_of(store, row)
        listed = _listed(folder)
        if row.state == "published" and listed is None:
            gone.append(str(folder))
        elif row.state == "intended" or (row.state == "published" and _differs(listed or {}, row.plan_id, rows)):
            _write(store, plans[row.plan_id], folder)
            written += 1
    return written, tuple(gone)


def _differs(listed: Mapping[str, int], plan_id: str, rows: Mapping[tuple[str, str], int]) -> bool:
    return any(n != rows.get((plan_id, name), 0) for name, n in listed.items())


def _listed(folder: Path) -> dict[str, int] | None:
    """Rows of each list by the manifest beside them; None where there is none."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    return {name: entry["rows"] for name, entry in json.loads(path.read_text(encoding="utf-8"))["files"].items()}


def _write(store: Store, plan: PlanRow, folder: Path) -> dict[str, Any]:
    store.commit("publish", {}, rows=[PublicationRow(plan.plan_id, name_of(store, folder), "intended")])
    at = Version(plan.applied_seq or store.version().seq, plan.ledger)
    told = f"the sends of plan {plan.plan_id} are recorded, its lists are not written"
    with full_disk_is_clear(folder, told, f"run `notif-rec apply {plan.plan_id}` again"), store.connect(at) as connection:
        source = f"SELECT * FROM sends WHERE plan_id = '{plan.plan_id}'"
        manifest = write_lists(
            connection, source, list(plan.manifest["config"]["channels"]), plan.manifest["config"]["output"]["item_columns"],
            list_manifest(plan.manifest), folder,
        )  # fmt: skip
    store.commit("publish", {}, rows=[PublicationRow(plan.plan_id, name_of(store, folder), "published")])
    return manifest


def name_of(store: Store, folder: Path) -> str:
    """How the catalogue names a folder of lists: from the workspace where it lies in there, so that both can be moved together."""
    workspace = store.root.parent
    return str(folder.relative_to(workspace) if folder.is_relative_to(workspace) else folder)


def folder_of(store: Store, row: PublicationRow) -> Path:
    """Where the lists of a publication lie."""
    return store.root.parent / row.directory


def list_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a plan's manifest that goes beside its lists."""
    return {key: manifest[key] for key in (*LISTED, "dropped_at_apply") if key in manifest}


def withdraw(store: Store, plan_id: str) -> list[PublicationRow]:
    """Takes every published folder of a plan away; returns the catalogue rows that say so, for the commit that follows."""
    gone = []
    for row in store.publications(plan_id):
        remove_folder(folder_of(store, row))
        gone.append(PublicationRow(plan_id, row.directory, "withdrawn"))
    return gone


def unfinished(store: Store) -> list[tuple[PlanRow, Path]]:
    """Applied plans whose lists were meant to be published, but are not yet, with the folder that was meant."""
    plans = {plan.plan_id: plan for plan in store.plans() if plan.state == "applied"}
    rows = [row for row in store.publications() if row.state == "intended" and row.plan_id in plans]
    return [(plans[row.plan_id], folder_of(store, row).parent) for row in rows]


def _is_published(store: Store, plan_id: str, folder: Path) -> bool:
    return any(row.directory == name_of(store, folder) and row.state == "published" for row in store.publications(plan_id))


def _whole(folder: Path) -> dict[str, Any] | None:
    """The manifest of `folder` where every file is there, as it was written; else None."""
    path = folder / "manifest.json"
    if not path.is_file():
        return None
    manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    intact = all((folder / name).is_file() and sha256(folder / name) == entry["sha256"] for name, entry in manifest["files"].items())
    return manifest if intact else None
