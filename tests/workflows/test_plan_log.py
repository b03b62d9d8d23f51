"""Plans as logged choices: over many draws the weighed values are the policy's true value, whatever the model says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from notif_rec.causal.logged import Limits, Logged, cluster_sums, value_of
from notif_rec.planning.arms import BEST, explored_channel
from notif_rec.planning.chances import chances_batch
from notif_rec.planning.context import PlanContext, Worth
from notif_rec.planning.prepare import write_batch
from notif_rec.workflows.plan_log import Actions, PlanLog, joined, log_of, merged, read_actions
from notif_rec.workflows.plan_outcomes import Outcomes
from tests.planning.worlds import World, random_world

SHARE, CHANNELS, SEEDS, PEOPLE = 0.2, 3, 150, 200  # of few people `dr` is off by a share of one over their number, for its level is theirs
WORTH = Worth(0.1, 1.0, -1.0)


def world_of(**changes: object) -> World:
    world = random_world(12, PEOPLE, max_offers=8)
    settings = replace(world.settings, exploration=SHARE, holdout=0.0, **changes)
    return World(**{**vars(world), "settings": settings})


def chances(batch: pa.RecordBatch, context: PlanContext, folder: Path) -> tuple[Actions, np.ndarray]:
    write_batch(chances_batch(batch, context), folder / "part.arrow")
    return read_actions(folder / "part.arrow", WORTH)


def pays(actions: Actions) -> np.ndarray:
    """What an action brings, by a law that no model knows; nothing where nothing is sent."""
    return np.where(actions.message, (actions.action % np.uint64(1000)).astype(np.float64) / 1000, 0.0)


def ledger(actions: Actions, drawn_alone: bool = False) -> Outcomes:
    mine = actions.taken & actions.message
    return Outcomes(actions.user[mine], actions.action[mine], pays(actions)[mine], actions.likely[mine], actions.drawn[mine])


def truth(actions: Actions, n: int) -> float:
    return float((actions.likely * pays(actions)).sum() / n)


def supported(own: Actions, other: Actions, cut: bool) -> Actions:
    possible = own.action[(own.by_chance if cut else own.likely) > 0]
    return other.of(np.isin(other.action, possible))


@pytest.mark.parametrize("cut", [False, True])
def test_weighed_plans_have_the_true_value_on_average(cut: bool, tmp_path: Path) -> None:
    world = world_of()
    context = world.context()
    batch = world.batch(context)
    rival, _ = chances(batch, world_of(worth=Worth(2.0, 0.1, -3.0), temperature=0.05).context(), tmp_path)
    rival = supported(chances(batch, context, tmp_path)[0], rival, cut)
    found: dict[str, list[float]] = {"ips": [], "wrong": [], "dr": [], "own": []}
    for seed in range(SEEDS):
        drawn = replace(context, settings=replace(context.settings, seed=seed))
        own, users = chances(batch, drawn, tmp_path)
        who = users
        if cut:
            hashes = batch.column("user_hash").to_numpy()
            who = users[explored_channel(hashes, drawn.settings, CHANNELS) != BEST]
            own = own.of(np.isin(own.user, who))
        log = log_of(own, rival, who, ledger(own), SHARE * CHANNELS if cut else None)
        assert log.strange == 0 and log.gone == 0
        mine, theirs = joined([log])
        found["ips"].append(value(mine, "ips"))
        found["dr"].append(value(mine, "dr"))
        found["own"].append(value(theirs, "ips"))
        found["wrong"].append(value(replace(mine, weight=mine.weight / theirs.weight if cut else 3.0 * mine.weight), "ips"))
    own, users = chances(batch, context, tmp_path)
    near(found["ips"], truth(rival, len(users)))
    near(found["dr"], truth(rival, len(users)))
    near(found["own"], truth(supported(own, own, cut), len(users)))
    with pytest.raises(AssertionError):  # propensities of whole plans where draws alone count, or a third of what they were
        near(found["wrong"], truth(rival, len(users)))


def value(logged: Logged, name: str) -> float:
    return float(value_of(cluster_sums(logged, Limits())[name].sum(axis=0)))


def near(draws: list[float], expected: float) -> None:
    assert np.mean(draws) == pytest.approx(expected, abs=4 * np.std(draws) / SEEDS**0.5 + 1e-12)


def one_log(tmp_path: Path, **changes: object) -> tuple[Actions, np.ndarray, PlanLog]:
    world = world_of()
    context = world.context()
    own, users = chances(world.batch(context), context, tmp_path)
    outcomes = ledger(own)
    return own, users, log_of(own, own, users, replace(outcomes, **{k: f(getattr(outcomes, k)) for k, f in changes.items()}), None)  # type: ignore[operator]


def test_a_plan_judged_as_itself_is_what_it_brought(tmp_path: Path) -> None:
    own, users, log = one_log(tmp_path)
    assert log.weight == pytest.approx(np.ones(len(log.user)))
    mine, theirs = joined([log, log])
    assert mine.units.sum() == 2 * len(users)
    assert value(mine, "ips") == pytest.approx(float(pays(own)[own.taken].sum() / len(users)))
    assert value(mine, "logged") == value(theirs, "ips")
    assert log.unsupported == 0.0 and log.cut == 0


def test_blank_propensities_are_left_out_and_counted_and_missing_sends_brought_nothing(tmp_path: Path) -> None:
    _, _, whole = one_log(tmp_path)
    blank = np.arange(whole.known) % 4 == 0
    _, _, log = one_log(tmp_path, propensity=lambda p: np.where(blank, np.nan, p))
    assert (log.blank, len(log.user)) == (int(blank.sum()), len(whole.user) - int(blank.sum()))
    own, users, _ = one_log(tmp_path)
    outcomes = ledger(own)
    some = replace(outcomes, **{k: getattr(outcomes, k)[~blank] for k in ("user", "action", "reward", "propensity", "drawn")})
    log = log_of(own, own, users, some, None)
    assert (log.gone, len(log.user)) == (int(blank.sum()), len(whole.user))
    assert log.reward.sum() == pytest.approx(some.reward.sum())


def test_sends_that_the_replay_does_not_know_are_counted(tmp_path: Path) -> None:
    assert one_log(tmp_path, propensity=lambda p: p * 0.9)[2].strange == one_log(tmp_path)[2].known
    assert one_log(tmp_path, action=lambda a: np.sort(a + np.uint64(1)))[2].strange == one_log(tmp_path)[2].known


def test_shards_add_up(tmp_path: Path) -> None:
    own, users, whole = one_log(tmp_path)
    halves = []
    for who in (users[: len(users) // 2], users[len(users) // 2 :]):
        part = own.of(np.isin(own.user, who))
        halves.append(log_of(part, part, who, ledger(part), None))
    both = merged(halves)
    assert both.known == whole.known
    assert sorted(both.reward) == pytest.approx(sorted(whole.reward))
    assert value(joined([both])[0], "dr") == pytest.approx(value(joined([whole])[0], "dr"))
