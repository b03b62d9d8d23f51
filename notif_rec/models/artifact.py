"""A model as a folder of plain arrays, checked by sha256 before a byte of it is believed; never a pickle."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from notif_rec.errors import DataError
from notif_rec.models.model import ChannelModel, Fallback, Model, Segments
from notif_rec.models.similar import Neighbours
from notif_rec.store.arrays import write_array
from notif_rec.store.files import sha256, whole_folder

VERSION = 6
MANIFEST = "manifest.json"
RETRAIN = "run `notif-rec train`"
ITEMS = pa.schema([("item", pa.int32()), ("item_id", pa.string())])
# array → dtype; each lies in <channel>.<name>.npy
ARRAYS: dict[str, type[np.generic]] = {
    "user_factors": np.float32,
    "item_factors": np.float32,
    "item_gram": np.float64,
    "item_mean": np.float64,
    "content": np.float32,
    "change": np.float32,
    "similar_offsets": np.int64,
    "similar_item": np.int32,
    "similar_weight": np.float32,
    "alike_offsets": np.int64,
    "alike_item": np.int32,
    "alike_weight": np.float32,
    "fallback_score": np.float32,
    "fallback_source": np.int8,
    "fallback_order": np.int32,
}
SCALARS = (
    "code", "transfer", "unit", "unobserved_weight", "regularization", "regularization_exponent", "bias", "blend", "trend", "drift",
    "prior", "n_users", "n_items", "n_interactions",
)  # fmt: skip


def save_model(folder: Path, model: Model) -> None:
    """Writes the model as `folder`, whole or not at all; one that is there is replaced."""
    with whole_folder(folder) as draft:
        _write(draft, model)


def _write(folder: Path, model: Model) -> None:
    pq.write_table(pa.table([pa.array(model.item_codes), pa.array(model.item_ids, pa.string())], schema=ITEMS), folder / "items.parquet")
    write_array(folder / "user_row.npy", model.user_row)
    for name, text in model.extras.items():
        (folder / f"{name}.json").write_text(text, encoding="utf-8")
    written: dict[int, Path] = {}
    for name, channel in model.channels.items():
        for array, value in _arrays(channel).items():
            path = folder / f"{name}.{array}.npy"
            if id(value) in written:  # channels that rank alike share their arrays, on the disk too
                path.hardlink_to(written[id(value)])
                continue
            write_array(path, np.ascontiguousarray(value, dtype=ARRAYS[array]))
            written[id(value)] = path
    files = {path.name: {"bytes": path.stat().st_size, "sha256": sha256(path)} for path in sorted(folder.iterdir())}
    (folder / MANIFEST).write_text(json.dumps(_describe(model) | {"files": files}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_model(folder: Path, *, check: bool = True) -> Model:
    """The model in `folder`, its arrays memory-mapped and read-only.

    DataError names the file that is missing, damaged or of another version. check: compare every sha256 (once a process is enough).
    """
    manifest = read_manifest(folder)
    try:
        for name, stated in manifest["files"].items():
            _verify(folder / name, stated, check)
        return _assemble(folder, manifest)
    except (KeyError, TypeError, ValueError, OSError, pa.ArrowException) as error:
        raise DataError(f"{folder / MANIFEST}: does not fit its files ({error})", RETRAIN) from None


def _arrays(channel: ChannelModel) -> dict[str, npt.NDArray[Any]]:
    return {
        "user_factors": channel.user_factors,
        "item_factors": channel.item_factors,
        "item_gram": channel.item_gram,
        "item_mean": channel.item_mean,
        "content": channel.content,
        "change": channel.change,
        "similar_offsets": channel.similar.offsets,
        "similar_item": channel.similar.item_index,
        "similar_weight": channel.similar.weight,
        "alike_offsets": channel.alike.offsets,
        "alike_item": channel.alike.item_index,
        "alike_weight": channel.alike.weight,
        "fallback_score": channel.fallback.score,
        "fallback_source": channel.fallback.source,
        "fallback_order": channel.fallback.order,
    }


def _describe(model: Model) -> dict[str, Any]:
    return {
        "version": VERSION,
        "model_id": model.model_id,
        "as_of": model.as_of.isoformat(),
        "channels": [{"name": name} | {key: getattr(channel, key) for key in SCALARS} for name, channel in model.channels.items()],
        "segments": {"attributes": model.segments.attributes, "values": model.segments.values, "prior": model.segments.prior},
        "notes": model.notes,
        "extras": sorted(model.extras),
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the model in `folder` says of itself; DataError where there is none, or one of another version."""
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: no model can be read here ({error.strerror})", RETRAIN) from None
    except ValueError as error:
        raise DataError(f"{path}: damaged, not JSON ({error})", RETRAIN) from None
    if not isinstance(manifest, dict) or not isinstance(manifest.get("files"), dict):
        raise DataError(f"{path}: damaged, it lists no files", RETRAIN)
    if any(Path(name).name != name for name in manifest["files"]):
        raise DataError(f"{path}: damaged, it lists files outside its folder", RETRAIN)
    if manifest.get("version") != VERSION:
        raise DataError(f"{path}: a model of version {manifest.get('version')!r}; this program reads version {VERSION}", RETRAIN)
    return manifest


def _verify(path: Path, stated: Mapping[str, Any], check: bool) -> None:
    if not path.is_file():
        raise DataError(f"{path}: missing, though the manifest lists it", RETRAIN)
    if path.stat().st_size != stated["bytes"]:
        raise DataError(f"{path}: {path.stat().st_size} bytes where the manifest says {stated['bytes']}", RETRAIN)
    if check and sha256(path) != stated["sha256"]:
        raise DataError(f"{path}: damaged, its sha256 is not the manifest's", RETRAIN)


def _assemble(folder: Path, manifest: Mapping[str, Any]) -> Model:
    files = manifest["files"]
    items = pq.read_table(folder / _listed("items.parquet", files), schema=ITEMS)
    n_items = items.num_rows
    stated = manifest["segments"]
    segments = Segments(tuple(stated["attributes"]), tuple(tuple(v) for v in stated["values"]), float(stated["prior"]))
    channels = {stated["name"]: _channel(folder, stated, files, n_items, len(segments)) for stated in manifest["channels"]}
    return Model(
        model_id=manifest["model_id"],
        as_of=datetime.fromisoformat(manifest["as_of"]),
        channels=channels,
        item_codes=items["item"].combine_chunks().to_numpy(),
        item_ids=tuple(items["item_id"].to_pylist()),
        user_row=_load(folder, "user_row.npy", files, np.int32),
        segments=segments,
        notes=tuple(manifest["notes"]),
        extras={name: (folder / _listed(f"{name}.json", files)).read_text(encoding="utf-8") for name in manifest["extras"]},
    )


def _channel(folder: Path, stated: Mapping[str, Any], files: Mapping[str, Any], n_items: int, n_segments: int) -> ChannelModel:
    name = stated["name"]
    got = {array: _load(folder, f"{name}.{array}.npy", files, dtype) for array, dtype in ARRAYS.items()}
    shapes = (
        got["item_factors"].shape == (n_items, got["user_factors"].shape[1])
        and got["item_gram"].shape == 2 * got["item_mean"].shape == 2 * got["item_factors"].shape[1:]
        and got["content"].shape == got["change"].shape == (n_items,)
        and all(_are_neighbours(got, kind, n_items) for kind in ("similar", "alike"))
        and got["fallback_score"].shape == got["fallback_source"].shape == got["fallback_order"].shape == (n_segments + 1, n_items)
    )
    if not shapes:
        raise DataError(f"{folder}: the arrays of channel {name} do not fit each other", RETRAIN)
    return ChannelModel(
        name=name,
        user_factors=got["user_factors"],
        item_factors=got["item_factors"],
        item_gram=got["item_gram"],
        item_mean=got["item_mean"],
        content=got["content"],
        change=got["change"],
        similar=Neighbours(got["similar_offsets"], got["similar_item"], got["similar_weight"]),
        alike=Neighbours(got["alike_offsets"], got["alike_item"], got["alike_weight"]),
        fallback=Fallback(got["fallback_score"], got["fallback_source"], got["fallback_order"]),
        **{key: stated[key] for key in SCALARS},
    )


def _are_neighbours(got: Mapping[str, npt.NDArray[Any]], kind: str, n_items: int) -> bool:
    offsets, item, weight = (got[f"{kind}_{part}"] for part in ("offsets", "item", "weight"))
    return offsets.shape == (n_items + 1,) and item.shape == weight.shape == (int(offsets[-1]),)


def _listed(name: str, files: Mapping[str, Any]) -> str:
    if name not in files:
        raise DataError(f"{name}: not listed in the model's manifest", RETRAIN)
    return name


def _load(folder: Path, name: str, files: Mapping[str, Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view; an empty array cannot be mapped and is read."""
    path = folder / _listed(name, files)
    with path.open("rb") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, found = read(file)
        body = path.stat().st_size - file.tell()
    if found != np.dtype(dtype) or fortran or body != math.prod(shape) * found.itemsize:
        raise DataError(f"{path}: holds {found} {shape} in {body} bytes, not whole {np.dtype(dtype)} values", RETRAIN)
    loaded = np.load(path, mmap_mode="r" if body else None, allow_pickle=False)
    array = np.asarray(loaded)
    array.setflags(write=False)
    return array
