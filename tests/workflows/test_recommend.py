"""`recommend`: never a seen, expired, wrong-channel, wrong-audience or doubled row, at any K."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from notif_rec.config import parse_config
from notif_rec.errors import DataError, UsageError
from notif_rec.store.store import Store
from notif_rec.workflows.recommend import RecommendResult, recommend
from notif_rec.workflows.train import train
from tests.store.rows import table
from tests.workflows.lived import AS_OF, CONFIG, Event, build, config, past

ITEMS = [
    {"item_id": "i00", "expires_at": AS_OF},
    {"item_id": "i02", "expires_at": AS_OF + timedelta(minutes=1)},
    {"item_id": "i04", "created_at": AS_OF + timedelta(minutes=1)},
    {"item_id": "i06", "created_at": AS_OF},
    {"item_id": "i08", "channels": ["email"]},
    {"item_id": "i10", "channels": ["sms", "push"]},
    {"item_id": "i12", "audience": "tier=gold"},
    {"item_id": "new", "title": "never seen"},
]


def lists(path: Path) -> dict[str, list[tuple[int, str, float]]]:
    found: dict[str, list[tuple[int, str, float]]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            found.setdefault(row["user_id"], []).append((int(row["rank"]), row["item_id"], float(row["score"])))
    return found


def trained(root: Path, events: list[Event] | None = None) -> Store:
    store = build(root, past() if events is None else events, ITEMS)
    train(store, config(), AS_OF)
    return store


def call(store: Store, output: Path, channel: str = "push", **more: object) -> RecommendResult:
    return recommend(store, config(), channel, AS_OF, output, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("channel", ["push", "email", "sms"])
@pytest.mark.parametrize("k", [1, 7, 100])
def test_never_a_forbidden_row_at_any_k(tmp_path: Path, channel: str, k: int) -> None:
    events = past(seed=k)
    result = call(trained(tmp_path / "s", events), tmp_path / "out.csv", channel, k=k)
    seen = {(e.user, e.item) for e in events} if channel != "email" else set()
    closed = {"i00", "i04", "i12"} | ({"i08"} if channel != "email" else {"i10"})
    live = {e.item for e in events} | {str(row["item_id"]) for row in ITEMS}
    found = lists(tmp_path / "out.csv")
    assert sorted(found) == sorted({e.user for e in events}) and result.users == len(found)
    for user, rows in found.items():
        allowed = {item for item in live - closed if (user, item) not in seen}
        items = [item for _, item, _ in rows]
        assert [rank for rank, _, _ in rows] == list(range(1, min(k, len(allowed)) + 1))
        assert len(set(items)) == len(items) and set(items) <= allowed
        scores = [score for _, _, score in rows]
        assert scores == sorted(scores, reverse=True)
    if k == 100:
        assert any(item == "new" for rows in found.values() for _, item, _ in rows)


def test_an_items_audience_gets_it(tmp_path: Path) -> None:
    store = trained(tmp_path / "s")
    with store.connect() as con:
        user, bucket = con.execute("SELECT i.\"user\", i.bucket FROM user_ids i WHERE user_id = 'u03'").fetchall()[0]
    store.commit("users", {"users": table("users", [{"user": user, "bucket": bucket, "attributes": [("tier", "gold")]}])})
    call(store, tmp_path / "out.csv", k=100)
    assert {user for user, rows in lists(tmp_path / "out.csv").items() if "i12" in [item for _, item, _ in rows]} <= {"u03"}
    assert "i12" in [item for _, item, _ in lists(tmp_path / "out.csv")["u03"]]


def test_users_of_a_file_known_or_not_each_once_by_id(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_text('user_id,note\nzz top,x\n"a,""b",y\nu05,\nu05,again\n,empty\n')
    result = call(trained(tmp_path / "s"), tmp_path / "out.csv", k=3, users=tmp_path / "users.csv")
    found = lists(tmp_path / "out.csv")
    assert list(found) == ['a,"b', "u05", "zz top"]
    assert (result.users, result.unknown, result.rows) == (3, 2, 9)
    assert found["zz top"] == found['a,"b'] != found["u05"]  # strangers get what is popular


def test_users_who_came_after_training_get_lists_of_their_taste(tmp_path: Path) -> None:
    """Even users like even items; u04 is unknown to the model, but by now known to the store."""
    store = build(tmp_path / "s", [replace(e, days=5.0) if e.user == "u04" else e for e in past()], ITEMS)
    train(store, config(), AS_OF - timedelta(days=6))
    call(store, tmp_path / "out.csv", k=5)
    rows = lists(tmp_path / "out.csv")["u04"]
    assert sum(int(item[1:]) % 2 == 0 for _, item, _ in rows if item != "new") >= 3


def test_the_same_bytes_whatever_the_jobs_and_the_order_of_events(tmp_path: Path) -> None:
    events = past()
    random.Random(3).shuffle(events)
    for name, made, jobs in (("a", past(), 1), ("b", events, 2)):
        call(trained(tmp_path / name, made), tmp_path / f"{name}.csv", k=9, jobs=jobs)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_what_happened_since_training_is_seen_already(tmp_path: Path) -> None:
    store = build(tmp_path / "s", past(), ITEMS)
    train(store, config(), AS_OF - timedelta(days=15))
    call(store, tmp_path / "out.csv", k=100)
    seen = {(e.user, e.item) for e in past()}
    assert not [(user, item) for user, rows in lists(tmp_path / "out.csv").items() for _, item, _ in rows if (user, item) in seen]


def test_an_unknown_channel_is_answered_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no channel 'psh'; did you mean 'push'\?"):
        call(trained(tmp_path / "s"), tmp_path / "out.csv", "psh")


def test_a_channel_that_came_after_training_asks_for_train(tmp_path: Path) -> None:
    more = parse_config(CONFIG.replace("channels:\n", "channels:\n  fax: {consent: yes}\n"), "test.yml")
    with pytest.raises(DataError, match="was trained without channel 'fax'") as caught:
        recommend(trained(tmp_path / "s"), more, "fax", AS_OF, tmp_path / "out.csv")
    assert caught.value.fix == "run `notif-rec train`"


def test_without_a_model_there_is_a_way_on(tmp_path: Path) -> None:
    store = build(tmp_path / "s", past())
    with pytest.raises(DataError, match="no model was trained yet"):
        call(store, tmp_path / "out.csv")
    train(store, config(), AS_OF + timedelta(minutes=1))
    with pytest.raises(DataError, match="the only models are of later moments"):
        call(store, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize(
    ("text", "message"), [(None, "no such file of users"), ("id\n7\n", "no column 'user_id'"), ("", "no list of users")]
)
def test_a_bad_file_of_users_is_refused_and_nothing_written(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "users.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        call(trained(tmp_path / "s"), tmp_path / "out.csv", users=tmp_path / "users.csv")
    assert [path.name for path in tmp_path.glob("*out*")] == []
