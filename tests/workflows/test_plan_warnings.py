"""What a plan says of items that are gone and of a model that was meant for another config."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from notif_rec.config import Config
from notif_rec.store.store import Store
from notif_rec.workflows.context import build_planner, newest_model
from notif_rec.workflows.plan_warnings import plan_warnings
from notif_rec.workflows.train import train
from tests.workflows.lived import AS_OF, build, config, past

ITEMS = [{"item_id": f"i{n:02d}", "expires_at": AS_OF + timedelta(days=2)} for n in range(30)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = build(tmp_path_factory.mktemp("warned"), past(), ITEMS)
    train(found, config(), AS_OF)
    return found


def told(store: Store, chosen: Config, at: datetime) -> str:
    row = newest_model(store, at)
    with store.connect() as con:
        return "\n".join(plan_warnings(chosen, build_planner(store, con, chosen, row, at), row))


def test_nothing_is_said_where_nothing_is_wrong(store: Store) -> None:
    assert "no item is live" not in (found := told(store, config(), AS_OF)) and "other settings" not in found


def test_a_channel_whose_items_have_all_expired_is_named(store: Store) -> None:
    found = told(store, config(), AS_OF + timedelta(days=2))
    assert all(f"{channel}: no item is live on it" in found for channel in ("push", "email", "sms"))


def test_a_model_of_another_config_is_told(store: Store) -> None:
    assert "was trained under other settings" in told(store, config("seed: 2\n"), AS_OF)
    assert "other settings" not in told(store, config("candidates: 7\n"), AS_OF), "what changes no model is no reason"
