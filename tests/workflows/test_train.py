"""`train`: the same store, config and as-of make the same bytes; thin channels are told of and still work."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from notif_rec.config import parse_config
from notif_rec.models.artifact import MANIFEST, load_model, save_model
from notif_rec.models.model import POPULAR
from notif_rec.models.taste import Taste
from notif_rec.scoring.candidates import retrieve
from notif_rec.store.rows import PlanRow
from notif_rec.store.store import Store
from notif_rec.workflows import train as module
from notif_rec.workflows.train import model_config_hash, train
from tests.workflows import lived
from tests.workflows.lived import AS_OF, Event, build, config, past


def folder(store: Store) -> Path:
    return store.root / store.models()[-1].path


def fingerprints(store: Store) -> dict[str, str]:
    """sha256 of every file of the newest model, however the store around it came to be."""
    return {name: stated["sha256"] for name, stated in json.loads((folder(store) / MANIFEST).read_text())["files"].items()}


def test_json_counts_users_items_and_interactions_of_each_channel(tmp_path: Path) -> None:
    events = past()
    told = train(build(tmp_path / "s", events), config(), AS_OF).to_json()
    pairs = {(e.user, e.item) for e in events}
    assert list(told["channels"]) == ["push", "email", "sms"]
    assert told["channels"]["push"] == {"users": 60, "items": 30, "interactions": len(pairs)}
    assert told["as_of"] == "2026-03-01T00:00:00Z" and told["fresh"] is True
    assert [note for note in told["notes"] if "taste" in note] == [
        "sms: no sign of taste of its own, so it ranks by what other channels and organic behaviour show (transfer 0.5)"
    ]


def test_again_is_no_work_and_another_as_of_another_model(tmp_path: Path) -> None:
    store = build(tmp_path / "s", past())
    first, again = train(store, config(), AS_OF), train(store, config(), AS_OF)
    assert (again.model_id, again.fresh) == (first.model_id, False)
    other = train(store, config(), AS_OF - timedelta(days=8))
    assert other.model_id != first.model_id and len(store.models()) == 2
    assert train(store, config("seed: 2\n"), AS_OF).model_id not in (first.model_id, other.model_id)


def test_nothing_at_or_after_as_of_is_learned(tmp_path: Path) -> None:
    as_of = AS_OF - timedelta(days=20)
    late = [Event("u01", "i02", 20.0), Event("u01", "i05", 3.0), Event("u77", "i06", 19.9)]
    whole, early = build(tmp_path / "a", [*past(), *late]), build(tmp_path / "b", [e for e in [*past(), *late] if e.days > 20])
    for store in (whole, early):
        train(store, config(), as_of)
    kept = {name: digest for name, digest in fingerprints(whole).items() if name.endswith(".npy") and name != "user_row.npy"}
    assert kept and kept.items() <= fingerprints(early).items()


def test_the_order_of_events_and_the_jobs_change_no_bit(tmp_path: Path) -> None:
    one, two = build(tmp_path / "a", past()), build(tmp_path / "b", past())
    train(one, config(), AS_OF, jobs=1)
    train(two, config(), AS_OF, jobs=2)
    assert fingerprints(one) == fingerprints(two)
    shuffled = build(tmp_path / "c", past()[::-1])
    train(shuffled, config(), AS_OF)
    assert fingerprints(shuffled) == fingerprints(one)


def test_channels_without_signs_of_their_own_share_one_fit(tmp_path: Path) -> None:
    organic = [Event(e.user, e.item, e.days) for e in past()]
    store = build(tmp_path / "s", organic)
    train(store, config(), AS_OF)
    files = fingerprints(store)
    assert files["push.item_factors.npy"] == files["email.item_factors.npy"] == files["sms.item_factors.npy"]


def test_a_channel_with_few_signs_leans_on_the_others_and_says_so(tmp_path: Path) -> None:
    thin = [Event(f"u{n:02d}", f"i{n:02d}", 9.0, channel="sms") for n in range(10)]
    store = build(tmp_path / "s", [*past(), *thin])
    found = train(store, config(), AS_OF)
    assert "sms: only 10 signs of taste of its own" in "\n".join(found.notes)
    model = load_model(folder(store))
    assert model.channels["sms"].n_interactions >= model.channels["push"].n_interactions - 10


def test_a_channel_that_may_not_lean_offers_what_is_popular(tmp_path: Path) -> None:
    text = lived.CONFIG.replace("sms: {consent: yes}", "sms: {consent: yes, model: {transfer: 0.0}}")
    found = train(build(tmp_path / "s", past()), parse_config(text, "test.yml"), AS_OF)
    assert "sms: no event says anything about taste on it, so it offers what is popular" in "\n".join(found.notes)
    assert found.channels["sms"] == {"users": 0, "items": 0, "interactions": 0}


def test_a_store_without_any_event_still_gives_a_model(tmp_path: Path) -> None:
    store = build(tmp_path / "s", [], [{"item_id": "a"}, {"item_id": "b"}])
    found = train(store, config(), AS_OF)
    assert found.channels["push"] == {"users": 0, "items": 0, "interactions": 0}
    nobody = Taste(np.zeros(2, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int8), np.zeros(0, np.float32))
    lists = retrieve(load_model(folder(store)).channels["push"], nobody, np.array([-1]), 5)
    assert lists.item_index.tolist() == [[0, 1, -1, -1, -1]] and lists.source[0, 0] == POPULAR


def test_a_damaged_model_is_fitted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = build(tmp_path / "s", past())
    first = train(store, config(), AS_OF)
    before = fingerprints(store)
    (folder(store) / "push.item_mean.npy").write_bytes(b"")
    again = train(store, config(), AS_OF)
    assert (again.model_id, again.fresh) == (first.model_id, True) and fingerprints(store) == before
    assert "push.item_mean.npy: 0 bytes where the manifest says" in caplog.text


def test_a_model_whose_rates_are_of_another_version_is_fitted_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Or `plan` says "train again" for ever, and `train` that there is nothing to do."""
    store = build(tmp_path / "s", past())
    train(store, config(), AS_OF)
    before = fingerprints(store)
    model = load_model(folder(store))
    rates = json.loads(model.extras["engagement"])
    del rates["hours"]
    save_model(folder(store), replace(model, extras={**model.extras, "engagement": json.dumps(rates)}))
    assert train(store, config(), AS_OF).fresh and fingerprints(store) == before
    assert "damaged: 'hours'" in caplog.text


def test_old_models_make_room_but_not_those_of_waiting_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEEP", 2)
    store = build(tmp_path / "s", past(users=8))
    ids = []
    for day in range(4):
        ids.append(train(store, config(), AS_OF - timedelta(days=day)).model_id)
        if day == 0:
            store.commit("plan", {}, rows=[PlanRow("p", AS_OF, "", ids[0], store.version().seq, 0)])
    kept = sorted(path.name for path in (store.root / "models").iterdir())
    assert kept == sorted([ids[0], *ids[2:]])


@pytest.mark.parametrize("more", ["", "seed: 3\n"])
def test_the_configs_model_hash_sees_what_changes_the_model_alone(more: str) -> None:
    assert (model_config_hash(config(more)) == model_config_hash(config())) == (not more)
    assert model_config_hash(config("holdout: 0.2\n")) == model_config_hash(config())
