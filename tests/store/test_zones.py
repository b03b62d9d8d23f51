from __future__ import annotations

import zoneinfo
from datetime import datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

from notif_rec.errors import BugError
from notif_rec.store.zones import known_zones, time_zone


def test_a_machines_own_zone_files_are_not_asked(tmp_path: Path) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(files("tzdata").joinpath("zoneinfo", "Asia", "Tokyo").read_bytes())
    zoneinfo.reset_tzpath(to=[tmp_path])
    try:
        assert datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo.no_cache("Europe/Berlin")).utcoffset() == timedelta(hours=9), "forged"
        time_zone.cache_clear()
        assert datetime(2026, 1, 1, tzinfo=time_zone("Europe/Berlin")).utcoffset() == timedelta(hours=1)
    finally:
        zoneinfo.reset_tzpath(to=())


@pytest.mark.parametrize("name", ["", "Mars/Phobos", "../tzdata", "Factory", "europe/berlin"])
def test_only_known_names_are_zones(name: str) -> None:
    assert name not in known_zones()
    with pytest.raises(BugError, match="is no time zone"):
        time_zone(name)
