"""The piece of config that `tune` writes: the best settings, with how they came about in comments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from notif_rec.config import Config
from notif_rec.models.settings import ModelSettings
from notif_rec.store.files import whole_file


def write_fragment(
    output: Path, config: Config, settings: ModelSettings, channels: Mapping[str, Mapping[str, float]], remarks: Sequence[str]
) -> None:
    """Writes `model:` (and `channels:`, where some have settings of their own) to `output`, whole or not at all.

    The file is a config by itself: `load_config` reads it, and its keys replace those of another config.
    """
    text = "".join(f"# {line}\n" if line else "#\n" for line in remarks)
    text += _dump({"model": settings.model_dump(mode="json")})
    if channels:
        own = config.to_json()["channels"]
        for name, values in channels.items():
            own[name]["model"] = {**own[name]["model"], **values}
        text += _dump({"channels": own})
    with whole_file(output) as draft:
        draft.write_text(text, encoding="utf-8")


def _dump(value: object) -> str:
    return yaml.safe_dump(value, sort_keys=False, default_flow_style=False)
