"""Rates out of a store: fitted strictly from before as-of, with ranks of a model that is older still."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from notif_rec.config import Config, parse_config
from notif_rec.models.artifact import load_model
from notif_rec.planning import past_sends
from notif_rec.planning.facts import SegmentMap
from notif_rec.planning.past_sends import collect_sends, rank_sends, rank_since, read_shelf
from notif_rec.scoring.engagement import Engagement
from notif_rec.scoring.send_outcomes import NOT_RANKED
from notif_rec.store.ids import user_hash
from notif_rec.store.store import Store
from notif_rec.tables import BUCKETS, EVENTS, ITEMS
from notif_rec.tables import USERS as USERS_TABLE
from notif_rec.workflows.facts import facts_of
from notif_rec.workflows.rates import fit_rates
from notif_rec.workflows.train import fit_model, train

AS_OF = datetime(2026, 3, 1)
USERS, THINGS = 150, 40
CONFIG = """
version: 1
events: {view: 1, clicked: 4, opened: 1}
channels:
  push: {items_per_send: 1, consent: yes}
  email: {items_per_send: 3, consent: yes, exclude_seen: false}
attribution: 2d
model: {factors: 16, iterations: 3, blend: 0}
"""
Row = dict[str, Any]


def lived(seed: int, first: datetime = AS_OF - timedelta(days=60), days: int = 59) -> list[Row]:
    """Events of users who like one of two halves of the items; messages come at random, and are answered where they please."""
    rng, rows = random.Random(seed), []
    for user in range(USERS):
        likes = range(user % 2, THINGS, 2)
        for _ in range(20):
            at = first + timedelta(minutes=rng.randrange(days * 1440))
            rows.append(_event(user, "view", "", at, rng.choice(likes)))
        for _ in range(8):
            at, channel = first + timedelta(minutes=rng.randrange(days * 1440)), rng.choice(["push", "email"])
            for item in rng.sample(range(THINGS), 3 if channel == "email" else 1):
                rows.append(_event(user, "sent", channel, at, item))
                if rng.random() < (0.5 if item % 2 == user % 2 else 0.05):
                    rows.append(_event(user, "opened", channel, at + timedelta(minutes=5), item))
                    rows.append(_event(user, "clicked", channel, at + timedelta(minutes=6), item))
    return rows


def _event(user: int, event: str, channel: str, at: datetime, item: int) -> Row:
    return {"user": user, "event": event, "channel": channel, "timestamp": at, "item": item, "value": 1.0}


def filled(root: Path, *days: Sequence[Row]) -> Store:
    store = Store.create(root)
    ids = [f"u{number}" for number in range(USERS)]
    bucket = [user_hash(text) % BUCKETS for text in ids]
    with store.lock():
        _, users = store.user_codes(pa.array(ids), create=True)
        _, items = store.item_codes(pa.array([f"i{number:02d}" for number in range(THINGS)]), create=True)
        catalogue = pa.Table.from_pylist([{"item": at, "channels": [], "item_class": "marketing"} for at in range(THINGS)], schema=ITEMS)
        store.commit("ingest", {"user_ids": users, "item_ids": items, "items": catalogue})
        for rows in days:
            table = pa.Table.from_pylist([{"bucket": bucket[row["user"]], **row} for row in rows], schema=EVENTS)
            store.commit("ingest", {"events": table.sort_by([(name, "ascending") for name in ("bucket", "user", "timestamp")])})
    return store


@pytest.fixture(scope="module")
def config() -> Config:
    return parse_config(CONFIG, "config")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return filled(tmp_path_factory.mktemp("rates") / "store", lived(1))


def rates(connection: duckdb.DuckDBPyConnection, config: Config, asked: list[datetime] | None = None) -> Engagement:
    def fit(since: datetime) -> Any:
        if asked is not None:
            asked.append(since)
        return fit_model(connection, config, since, model_id="earlier")

    return fit_rates(connection, config, AS_OF, fit)


def test_first_ranks_are_clicked_most_and_the_ranking_model_is_28_days_older(store: Store, config: Config) -> None:
    asked: list[datetime] = []
    with store.connect() as connection:
        fitted = rates(connection, config, asked)
    assert asked == [AS_OF - timedelta(days=28)]
    by_rank = fitted.click_rate_by_bucket
    assert (np.diff(by_rank) <= 0).all() and by_rank[1, 1] > 1.5 * by_rank[1, 3]
    assert fitted.counts["push"]["sends"] > 400 and fitted.warnings == ()
    assert fitted.click_rate[0] == pytest.approx(0.27, abs=0.06)


def test_the_future_changes_nothing(tmp_path: Path, store: Store, config: Config) -> None:
    later = lived(2, first=AS_OF, days=30)
    with store.connect() as connection, filled(tmp_path / "store", lived(1), later).connect() as knowing:
        assert rates(knowing, config).to_json() == rates(connection, config).to_json()


def test_a_segment_has_the_hours_of_its_users(tmp_path: Path, config: Config) -> None:
    store, segments = filled(tmp_path / "store", lived(1)), SegmentMap(("half",), {("even",): 0, ("odd",): 1})
    halves = [{"user": user, "attributes": {"half": ("even", "odd")[user % 2]}} for user in range(USERS - 1)]
    bucket = {user: user_hash(f"u{user}") % BUCKETS for user in range(USERS)}
    rows = sorted(({"bucket": bucket[row["user"]], **row} for row in halves), key=lambda row: (row["bucket"], row["user"]))
    with store.lock():
        store.commit("ingest", {"users": pa.Table.from_pylist(rows, schema=USERS_TABLE)})
    with store.connect() as connection:
        sends, _ = collect_sends(connection, replace(facts_of(config), segments=segments), AS_OF)
    assert sends.segment.tolist() == [-1 if user == USERS - 1 else user % 2 for user in sends.user.tolist()]
    even, odd, everybody = sends.activity.sum(axis=1)
    assert sends.activity.shape == (3, 168) and even > 100 and odd > 100
    assert 0 < everybody - even - odd < 0.1 * even  # the last user has no half


def test_an_answer_after_the_moment_is_not_known_before_it(store: Store, config: Config) -> None:
    """Negative control of the test above: events before as-of do count."""
    with store.connect() as connection:
        whole = rates(connection, config).to_json()
        early = fit_rates(connection, config, AS_OF - timedelta(days=10), lambda at: fit_model(connection, config, at, model_id=""))
    assert whole != early.to_json()


@pytest.mark.parametrize("depth", [100, 10])  # beyond which all ranks are alike
def test_ranks_are_places_in_the_whole_list_of_what_a_user_could_get(
    store: Store, config: Config, depth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against a ranking of everything, one user at a time, on the channel that excludes seen items and on the one that does not."""
    monkeypatch.setattr(past_sends, "DEPTH", depth)
    config = config.model_copy(
        update={"model": config.model.model_copy(update={"trend": 0.0, "drift": 0.0, "prior": 0.0})}
    )  # factors alone
    since = AS_OF - timedelta(days=28)
    with store.connect() as connection:
        facts = facts_of(config)
        sends, model = collect_sends(connection, facts, AS_OF)[0], fit_model(connection, config, since, model_id="")
        shelf = read_shelf(connection, model, facts, (True, False), since, AS_OF)
        shelf.eligible[1, model.item_rows(1)[0]] = False  # the first item is not for e-mail
        ranked = rank_sends(connection, model, facts, shelf, since, sends)
        seen = connection.execute(
            "SELECT DISTINCT \"user\", item FROM events WHERE event IN ('view', 'clicked', 'opened') AND timestamp < ?", [since]
        ).fetchall()
    late = np.repeat(sends.at_us >= int(np.datetime64(since, "us").astype(np.int64)), np.diff(sends.offsets))
    assert (ranked.item_rank[~late] == NOT_RANKED).all() and late.sum() > 200
    channel, user = (np.repeat(column, np.diff(sends.offsets)) for column in (sends.channel, sends.user))
    known, checked = set(seen), 0
    gone = np.array([(u, i) in known for u, i in zip(user.tolist(), sends.item.tolist(), strict=True)]) & (channel == 0)
    gone |= (sends.item == 0) & (channel == 1)
    assert ((ranked.item_rank == NOT_RANKED) == (gone | ~late)).all() and gone.any()
    for at in np.flatnonzero(late & ~gone):
        name, row = ("push", "email")[channel[at]], model.rows_of_users(user[at : at + 1])[0]
        if row < 0:
            continue
        better = model.channels[name].item_factors @ model.channels[name].user_factors[row]
        others = [i for i in range(THINGS) if (i > 0 if channel[at] == 1 else (user[at], i) not in known)]
        assert ranked.item_rank[at] == min(sum(better[i] > better[sends.item[at]] for i in others), depth)
        checked += 1
    assert checked > 200


def test_too_little_to_rank_asks_for_no_second_model(tmp_path: Path, config: Config) -> None:
    few = [row for row in lived(3) if row["user"] < 3]
    with filled(tmp_path / "store", few).connect() as connection:
        assert rank_since(collect_sends(connection, facts_of(config), AS_OF)[0], AS_OF) is None
        fitted = rates(connection, config, asked := [])
    assert asked == [] and any("only" in warning for warning in fitted.warnings)


def test_train_stores_the_rates_and_says_what_is_thin(tmp_path: Path, config: Config) -> None:
    store = filled(tmp_path / "store", [row for row in lived(4) if row["channel"] != "email"])
    trained = train(store, config, AS_OF)
    model = load_model(store.root / store.models()[-1].path)
    assert Engagement.from_json(model.extras["engagement"]).counts["push"]["sends"] > 400
    assert "email: no past sends with a full attribution window; its rates are benchmarks" in trained.notes


def test_nothing_at_all_still_trains(tmp_path: Path, config: Config) -> None:
    trained = train(filled(tmp_path / "store"), config, AS_OF)
    assert sum("its rates are benchmarks" in note for note in trained.notes) == 2
