from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from notif_rec.errors import DataError
from notif_rec.models.artifact import ARRAYS, MANIFEST, load_model, save_model
from notif_rec.models.fit import Evidence, fit_channel
from notif_rec.models.model import Model, Segments
from notif_rec.models.settings import ModelSettings
from notif_rec.models.taste import taste_of
from tests.models.test_als import pairs


@pytest.fixture(scope="module")
def model() -> Model:
    segments = Segments(("tier",), (("gold",), ("tin",)), 300.0)
    rows = np.arange(40, dtype=np.int32) % 3 - 1
    evidence = Evidence(taste_of(pairs(), 0), 23, segment=rows, segments=segments)
    push = fit_channel("push", 0, evidence, ModelSettings(factors=16, iterations=2), seed=1)
    return Model(
        model_id="abc",
        as_of=datetime(2026, 3, 1, 12),
        channels={"push": push, "email": replace(push, name="email", code=1)},
        item_codes=np.arange(23, dtype=np.int32)[::-1].copy(),
        item_ids=tuple(f"i{n:02}" for n in range(23)),
        user_row=np.array([3, -1, 0], np.int32),
        segments=segments,
        notes=("email: thin",),
        extras={"engagement": '{"a": 1}\n'},
    )


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    save_model(tmp_path / "m", model)
    return tmp_path / "m"


def test_a_model_comes_back_as_it_was(model: Model, folder: Path) -> None:
    again = load_model(folder)
    for name in ("model_id", "as_of", "item_ids", "segments", "notes", "extras"):
        assert getattr(again, name) == getattr(model, name)
    assert np.array_equal(again.item_codes, model.item_codes) and np.array_equal(again.user_row, model.user_row)
    for channel in model.channels:
        for field in fields(model.channels[channel]):
            then, now = getattr(model.channels[channel], field.name), getattr(again.channels[channel], field.name)
            if field.name in ("similar", "alike", "fallback"):
                assert all(np.array_equal(a, b) for a, b in zip(vars(then).values(), vars(now).values(), strict=True))
            else:
                assert np.array_equal(then, now), field.name


def test_arrays_are_mapped_and_read_only(folder: Path) -> None:
    factors = load_model(folder).channels["push"].item_factors
    assert isinstance(factors.base, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        factors[0, 0] = 1


def test_nothing_in_the_folder_is_a_pickle(folder: Path) -> None:
    for path in folder.glob("*.npy"):
        np.load(path, allow_pickle=False)
    assert {p.suffix for p in folder.iterdir()} == {".npy", ".parquet", ".json"}
    assert len(list(folder.glob("push.*.npy"))) == len(ARRAYS)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.unlink()  # channels may share the file
    path.write_bytes(bytes(data))


def replace_array(path: Path, array: np.ndarray) -> None:
    path.unlink()
    np.save(path, array, allow_pickle=True)
    rewrite(lambda m: m["files"].update({path.name: {"bytes": path.stat().st_size, "sha256": ""}}))(path.parent / MANIFEST)  # type: ignore[attr-defined]


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-5])


def rewrite(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        stated = json.loads(path.read_text())
        change(stated)
        path.write_text(json.dumps(stated))

    return damage


DAMAGES: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "a bit": ("push.item_factors.npy", flip, r"push\.item_factors\.npy: damaged, its sha256"),
    "cut": ("push.user_factors.npy", cut, r"user_factors\.npy: \d+ bytes where the manifest says"),
    "gone": ("items.parquet", Path.unlink, r"items\.parquet: missing, though"),
    "no manifest": (MANIFEST, Path.unlink, r"manifest\.json: no model can be read here"),
    "no JSON": (MANIFEST, lambda p: p.write_text("{"), r"manifest\.json: damaged, not JSON"),
    "a list": (MANIFEST, lambda p: p.write_text("[]"), r"damaged, it lists no files"),
    "version": (MANIFEST, rewrite(lambda m: m.update(version=7)), r"a model of version 7; this program reads version"),
    "outside": (MANIFEST, rewrite(lambda m: m["files"].update({"../x": {}})), r"lists files outside its folder"),  # type: ignore[attr-defined]
    "unlisted": (MANIFEST, rewrite(lambda m: m["files"].pop("push.content.npy")), r"push\.content\.npy: not listed"),  # type: ignore[attr-defined]
    "no key": (MANIFEST, rewrite(lambda m: m.pop("segments")), r"does not fit its files"),
    "no size": (MANIFEST, rewrite(lambda m: m["files"].update({"items.parquet": 3})), r"does not fit its files"),  # type: ignore[attr-defined]
}


@pytest.mark.parametrize("name", DAMAGES)
def test_damage_is_named_with_the_way_out(name: str, folder: Path) -> None:
    file, damage, message = DAMAGES[name]
    damage(folder / file)
    with pytest.raises(DataError, match=message) as caught:
        load_model(folder)
    assert caught.value.fix == "run `notif-rec train`"


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((23, 16)), "holds float64"),
        (np.zeros((22, 16), np.float32), "do not fit each other"),
        (np.asfortranarray(np.zeros((23, 16), np.float32)), "not whole"),
    ],
)
def test_an_array_of_another_kind_is_refused_even_with_its_right_sha256(folder: Path, array: np.ndarray, message: str) -> None:
    replace_array(folder / "push.item_factors.npy", array)
    with pytest.raises(DataError, match=message):
        load_model(folder, check=False)


def test_objects_are_refused(folder: Path) -> None:
    replace_array(folder / "user_row.npy", np.array([{}, 1], object))
    with pytest.raises(DataError, match="holds object"):
        load_model(folder, check=False)


def test_saving_again_replaces_the_model_whole(model: Model, folder: Path) -> None:
    (folder / "stray.npy").write_bytes(b"x")
    save_model(folder, replace(model, model_id="new"))
    assert load_model(folder).model_id == "new" and not (folder / "stray.npy").exists()


def test_channels_that_share_arrays_share_them_on_the_disk(folder: Path) -> None:
    assert (folder / "push.item_factors.npy").stat().st_ino == (folder / "email.item_factors.npy").stat().st_ino
