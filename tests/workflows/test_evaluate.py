"""The backtest against a plain count of who took what, and that nothing of the future reaches a model."""

from __future__ import annotations

import dataclasses
from collections import Counter
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from notif_rec.errors import DataError
from notif_rec.workflows.backtest import ALL, EvaluateResult, fit_contender
from notif_rec.workflows.evaluate import evaluate
from notif_rec.workflows.evaluate_split import evaluate_split
from notif_rec.workflows.hindsight import forget_after
from notif_rec.workflows.scene import Scene, ask, read_scene
from tests.workflows.lived import AS_OF, SPLIT, Event, build, config, future, past

WEEK = timedelta(days=7)


def run(root: Path, events: list[Event], k: int = 5, **more: object) -> EvaluateResult:
    return evaluate(build(root, events, **more), config(), AS_OF, WEEK, k)  # type: ignore[arg-type]


def test_json_has_every_channel_and_model(tmp_path: Path) -> None:
    told = run(tmp_path / "s", past() + future()).to_json()
    assert list(told["channels"]) == ["push", "email", ALL]
    assert told["notes"] == ["sms: after the split nobody took anything new on it; not judged"]
    assert list(told["channels"]["push"]) == ["popular", "recent", "similar", "als", "blend"]
    assert list(told["channels"]["email"]) == ["popular", "recent", "own_frequent", "similar", "als", "blend"]
    assert {"recall@5", "capped_recall@5", "ndcg@5", "users", "coverage"} <= set(told["channels"][ALL]["als"])
    assert "own_frequent" in told["other_way"]["channels"]["push"]
    assert "own_frequent" not in told["other_way"]["channels"]["email"]
    assert set(told["differences"]["push"]) == {"popular", "recent", "similar", "als"}
    assert (told["split"], told["as_of"]) == ("2026-02-22T00:00:00Z", "2026-03-01T00:00:00Z")


def test_same_store_same_numbers(tmp_path: Path) -> None:
    events = past() + future()
    assert run(tmp_path / "a", events).to_json() == run(tmp_path / "b", events[::-1]).to_json()


@pytest.mark.parametrize("channel", ["push", ALL])
@pytest.mark.parametrize("exclude", [True, False])
def test_popular_scores_as_counted_by_hand(tmp_path: Path, channel: str, exclude: bool) -> None:
    """Plain Python: who took what after the split on the channel, and where it stands among what most people took before."""
    before = [dataclasses.replace(e, channel=channel if channel != ALL else e.channel) for e in past(users=40)]
    after = future(users=45)  # five whom nobody knew
    result = run(tmp_path / "s", before + after)
    found = next(ways[channel] for ways in (result.channels, result.other_way) if ways[channel].exclude_seen == exclude)
    had = {(e.user, e.item) for e in before}
    wanted = {(e.user, e.item) for e in after if channel in (ALL, e.channel)} - (had if exclude else set())
    liked = Counter(item for _, item in had)
    ranked = sorted((f"i{i:02d}" for i in range(30)), key=lambda item: (-liked[item], item))
    recalls = []
    for user in sorted({u for u, _ in wanted}):
        shown = [item for item in ranked if not exclude or (user, item) not in had][:5]
        mine = {item for u, item in wanted if u == user}
        recalls.append(sum(item in mine for item in shown) / len(mine))
    assert found.users == len(recalls)
    assert found.cold_users == len({u for u, _ in wanted} - {u for u, _ in had})
    assert found.targets == len(wanted)
    assert found.report.models["popular"]["recall@5"] == pytest.approx(np.mean(recalls))


def test_items_that_were_not_live_are_no_targets(tmp_path: Path) -> None:
    items = [
        {"item_id": "i00", "expires_at": SPLIT},
        {"item_id": "i01", "created_at": SPLIT + timedelta(seconds=1)},
        {"item_id": "i02", "channels": ["email"]},
        {"item_id": "i03", "created_at": SPLIT},
    ]
    after = [Event("u01", item, 3.0, "push") for item in ("i00", "i01", "i02", "i03", "brand_new")]
    result = run(tmp_path / "s", [e for e in past() if e.item > "i03"] + after, items=items)
    assert (result.channels["push"].targets, result.channels["push"].unreachable) == (1, 4)
    assert (result.channels[ALL].targets, result.channels[ALL].unreachable) == (2, 3)


def test_items_that_all_expired_are_told_of(tmp_path: Path) -> None:
    items = [{"item_id": f"i{n:02d}", "expires_at": SPLIT} for n in range(30)] + [{"item_id": "for_email", "channels": ["email"]}]
    after = [*future(), Event("u01", "for_email", 3.0, "email")]
    result = run(tmp_path / "s", past() + after, items=items)
    assert "push" not in result.channels and "email" in result.channels
    assert (
        "push: at the split no item could be listed on it: each had expired, was not out yet, or is kept to other channels; not judged"
        in (result.notes)
    )


def test_signs_without_weight_are_no_targets(tmp_path: Path) -> None:
    after = [
        Event("u01", "i29", 3.0, "push", "skip"),
        Event("u01", "i28", 3.0, "push", "sent"),
        Event("u01", "", 3.0, "push"),
        Event("u01", "i27", 3.0, "push", value=-1.0),
        Event("u01", "i26", 7.0, "push"),  # the very moment of the split
        Event("u01", "i25", 0.0, "push"),  # as-of itself: too late
    ]
    result = run(tmp_path / "s", [e for e in past() if e.item < "i25"] + after, items=[{"item_id": f"i{i}"} for i in range(25, 30)])
    assert result.channels["push"].targets == 1


def scene_of(root: Path, events: list[Event]) -> Scene:
    store = build(root, events)
    with store.connect() as con:
        return read_scene(con, config(), SPLIT, AS_OF)


def fitted(scene: Scene) -> dict[str, bytes]:
    """Everything that a model holds, as bytes."""
    found: dict[str, bytes] = {}
    for name in ("push", ALL):
        settings = scene.settings(name)
        model, _ = fit_contender(name, scene.code[name], scene.reading.evidence(settings), settings, seed=1, threads=1)
        for field in dataclasses.fields(model):
            value = getattr(model, field.name)
            parts = vars(value) if dataclasses.is_dataclass(value) else {"": value}
            found |= {f"{name}.{field.name}.{part}": np.asarray(inner).tobytes() for part, inner in parts.items()}
    found["ids"] = repr(scene.reading.known.item_ids).encode()
    return found


def shuffled() -> list[Event]:
    """Another future: other people, other items, items and people that nobody knew."""
    strangers = [Event(f"x{n}", f"new{n}", 2.0, "push", "save") for n in range(30)]
    return [*future(seed=9)[::-1], *strangers, Event("u01", "a_first_item", 1.0)]


def test_the_future_reaches_no_model(tmp_path: Path) -> None:
    one, two = fitted(scene_of(tmp_path / "a", past() + future())), fitted(scene_of(tmp_path / "b", past() + shuffled()))
    assert [name for name in one if one[name] != two[name]] == []


def test_control_without_forgetting_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("notif_rec.workflows.scene.forget_after", lambda con, split: None)
    one, two = fitted(scene_of(tmp_path / "a", past() + future())), fitted(scene_of(tmp_path / "b", past() + shuffled()))
    assert any(one[name] != two[name] for name in one)


def test_what_is_forgotten(tmp_path: Path) -> None:
    store = build(tmp_path / "s", past() + shuffled(), [{"item_id": "listed"}, {"item_id": "later", "created_at": AS_OF}])
    with store.connect() as con:
        forget_after(con, SPLIT)
        assert con.sql("SELECT max(timestamp) FROM events").fetchall()[0][0] < SPLIT
        known = {row[0] for row in con.sql("SELECT item_id FROM item_ids").fetchall()}
    assert {"listed", "i00"} <= known
    assert not known & {"later", "new1", "a_first_item"}


def test_nothing_that_was_had_or_is_not_live_is_listed(tmp_path: Path) -> None:
    scene = scene_of(tmp_path / "s", past() + future())
    question = ask(scene, "push", scene.settings("push"), exclude_seen=True)
    assert question.asked.exclude is not None
    rows = {(u, i) for u in range(len(question.asked.user_row)) for i in _listed(question.asked.exclude, u)}
    targets = {(u, i) for u in range(len(question.targets.count)) for i in _listed(question.targets, u)}
    assert rows and targets and not rows & targets


def _listed(lists: object, user: int) -> list[int]:
    return lists.item[lists.offsets[user] : lists.offsets[user + 1]].tolist()  # type: ignore[attr-defined, no-any-return]


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no sign of taste between 2026-02-22T00:00:00Z and .*; the newest one is of 2026-02-"):
        run(tmp_path / "a", past())
    with pytest.raises(DataError, match="no sign of taste before 2026-02-22T00:00:00Z"):
        run(tmp_path / "b", future())
    with pytest.raises(DataError, match="the store has none at all"):
        run(tmp_path / "c", [Event("u1", "i1", 2.0, "push", "sent")])


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_a_given_split(tmp_path: Path) -> None:
    """b is popular. u1 had a and b; of u1's targets c can be listed, z cannot; the stranger u9 gets what is popular."""
    train = write(tmp_path / "train.txt", "u1 a b\nu2 b c\nu3 b d\n")
    test = write(tmp_path / "test.csv", "user_id,item_id\nu1,c\nu1,z\nu1,a\nu9,b\n")
    told = evaluate_split(train, test, config("seed: 3"), 2).to_json()
    assert told["counts"][ALL] == {
        "exclude_seen": True, "users": 2, "cold_users": 1, "without_targets": 2, "targets": 3, "unreachable": 1,
    }  # fmt: skip
    assert told["channels"][ALL]["popular"]["recall@2"] == pytest.approx((1 / 2 + 1) / 2)
    assert told["channels"][ALL]["popular"]["users"] == 2
    assert list(told["channels"][ALL]) == ["popular", "similar", "als", "blend"]
    assert "other_way" not in told


def test_a_split_that_foretells_nothing(tmp_path: Path) -> None:
    both = write(tmp_path / "both.txt", "u1 a b\n")
    with pytest.raises(DataError, match="every pair stands in"):
        evaluate_split(both, both, config(), 2)
