"""Logs as they come: what is odd is counted and learned around; whatever came, probabilities stay inside (0, 1)."""

from __future__ import annotations

import json
import random
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from notif_rec.config import Config, parse_config
from notif_rec.models.artifact import load_model
from notif_rec.scoring.engagement import OUTCOMES, Engagement, probabilities
from notif_rec.scoring.features import N_FEATURES
from notif_rec.scoring.item_parts import N_CELLS
from notif_rec.workflows.evaluate_engagement import evaluate_engagement
from notif_rec.workflows.train import train
from tests.workflows.test_rates import AS_OF, CONFIG, Row, _event, filled

SENDS = 24


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG, "config")


def mails(answers: str, seed: int = 1) -> list[Row]:
    """120 people and as many mails as days from 60 before as-of on; `answers`: all, none, or some."""
    rng, rows = random.Random(seed), []
    for user in range(120):
        for number in range(SENDS):
            at = AS_OF - timedelta(days=60 - 2 * number, minutes=-rng.randrange(600), seconds=-7)
            item = rng.randrange(40)
            rows.append(_event(user, "sent", "email", at, item))
            if answers == "all" or (answers == "some" and rng.random() < 0.1 + 0.6 * (user % 3 == 0)):
                rows += [_event(user, name, "email", at + timedelta(minutes=9), item) for name in ("opened", "clicked")]
    return rows


def odd(rows: list[Row]) -> list[Row]:
    """The same with what real logs have: second clicks, answers to nothing, clocks that are behind, machines that open everything."""
    answered = [row for row in rows if row["event"] == "clicked"]
    twice = [row | {"timestamp": row["timestamp"] + timedelta(minutes=1)} for row in answered[:50]]
    nothing = [_event(user, name, "push", AS_OF - timedelta(days=9), 3) for user in range(30) for name in ("opened", "clicked")]
    first = {row["user"]: row for row in reversed(rows) if row["event"] == "sent"}
    early = [row | {"event": "opened", "timestamp": row["timestamp"] - timedelta(minutes=5)} for row in list(first.values())[:20]]
    machine = [
        row | {"event": "opened", "timestamp": row["timestamp"] + timedelta(seconds=3)}
        for row in rows
        if row["event"] == "sent" and row["user"] >= 110
    ]
    return [*rows, *twice, *nothing, *early, *machine]


def test_what_is_odd_is_counted_and_none_of_it_is_taken_for_an_answer(tmp_path: Path, config: Config) -> None:
    plain, strange = mails("some"), odd(mails("some"))
    with filled(tmp_path / "plain", plain).connect() as clean, filled(tmp_path / "odd", strange).connect() as connection:
        expected, found = (evaluate_engagement(con, config, AS_OF, timedelta(days=14)) for con in (clean, connection))
    assert expected.oddities == {"unattributed": 0, "early": 0, "doubled": 0, "machine": 0}
    assert {**found.oddities, "machine": 0} == {"unattributed": 80, "early": 20, "doubled": 50, "machine": 0}
    assert found.oddities["machine"] >= 10 * (SENDS - 4) * 0.9, "all but each machine's first four mails"
    clicked, as_before = (report.channels["email"]["clicked"] for report in (found, expected))
    assert (clicked.rows, clicked.positives) == (as_before.rows, as_before.positives)
    assert found.channels["email"]["opened"].positives <= expected.channels["email"]["opened"].positives
    assert "unsubscribed is not judged" in " ".join(found.notes)
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert all(0 < verdict["log_loss"] < 20 for verdict in told["channels"]["email"]["clicked"]["models"].values())


@pytest.mark.parametrize("answers", ["all", "none", "some"])
def test_whatever_the_answers_were_probabilities_stay_inside(tmp_path: Path, config: Config, answers: str) -> None:
    store = filled(tmp_path / "store", odd(mails(answers)) if answers == "some" else mails(answers))
    train(store, config, AS_OF)
    fitted = Engagement.from_json(load_model(store.root / store.models()[-1].path).extras["engagement"])
    rng = np.random.default_rng(1)
    rows = np.concatenate([np.zeros((1, N_FEATURES)), rng.exponential(50, (300, N_FEATURES)), rng.random((300, N_FEATURES)) * 1e9])
    cells = np.tile(np.arange(N_CELLS)[::37], (len(rows), 1))
    for at in range(2):
        found = probabilities(fitted, at, (cells, cells), rows.astype(np.float32))
        for name, p in zip(OUTCOMES, found, strict=True):
            assert ((p > 0) & (p < 1)).all(), (answers, name)
