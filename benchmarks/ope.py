"""Do the intervals of `ope --policy` hold the truth, and does it rank policies rightly? Small logs of the real planner, truth known.

    python benchmarks/ope.py [--logs 1000] [--users 800] [--plans 7] [--jobs 1]
    python benchmarks/ope.py --between 4 --logs 120      # how coverage falls with what chance could never have done

A generated shop is ingested and trained on by the front door. Each log is a plan for some users drawn at random, with exploration of its
own seed; a message is answered by a law that the models do not know. Five policies are judged by each log. Their true values are sums over
everybody of probability × law: nothing is estimated on that side. The control tells wrong propensities on purpose.

--between judges so many policies on the way from the log's own values to those of each of the two policies that the logs do not support,
also above the share at which `ope` refuses.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor
from scipy import stats
from world import AS_OF, Size, make_world

from notif_rec.causal.interval import Estimate, estimate
from notif_rec.causal.support import support_of
from notif_rec.causal.tuning import tuned_limits
from notif_rec.cli.main import main as notif_rec
from notif_rec.config import Config, load_config
from notif_rec.models.blas import one_blas_thread
from notif_rec.planning.chances import chances_batch
from notif_rec.planning.context import PlanContext, Worth
from notif_rec.planning.prepare import prepare, write_batch
from notif_rec.store.store import Store
from notif_rec.workflows.context import build_planner, newest_model
from notif_rec.workflows.plan_log import Actions, PlanLog, joined, log_of, read_actions
from notif_rec.workflows.plan_outcomes import Outcomes

SIZE = Size(6_000, 400, 120_000)
WORTH = Worth(0.1, 1.0, -3.0)  # the yardstick
BASE: Mapping[str, Any] = {"exploration": 0.2, "value": {"opened": 0.1, "clicked": 1.0, "unsubscribed": -3.0}}
POLICIES: Mapping[str, Mapping[str, Any]] = {
    "unexplored": {"exploration": 0.0},
    "for opens": {"value": {"opened": 1.0, "clicked": 0.05, "unsubscribed": -3.0}, "exploration": 0.02},
    "half explored": {"exploration": 0.1667},
    "by chance": {"exploration": 0.3333},
    "afraid of leaving": {"value": {"opened": 0.1, "clicked": 1.0, "unsubscribed": -150.0}, "exploration": 0.02},
}
UNLIKE = ("for opens", "afraid of leaving")  # do what chance could not have done
NAMES = ("ips", "snips", "dr", "sndr", "clipped_ips", "switch_dr", "dros", "dm")
DRAWS = 500


@dataclass(frozen=True)
class Shop:
    """Everybody as the planner sees them; what each policy could do; and what they truly are worth."""

    batch: pa.RecordBatch
    context: PlanContext
    rivals: Mapping[str, Actions]
    truth: Mapping[str, float]


def between(steps: int) -> Mapping[str, Mapping[str, Any]]:
    """Policies that value sends ever less as the log does, and ever more as those of UNLIKE; the last step is these themselves."""
    made = {}
    for name in UNLIKE:
        for share in np.arange(1, steps + 1) / steps:
            value = {key: (1 - share) * own + share * POLICIES[name]["value"][key] for key, own in BASE["value"].items()}
            made[f"{share:.0%} {name}"] = {"value": value, "exploration": 0.02}
    return made


def build(folder: Path, policies: Mapping[str, Mapping[str, Any]]) -> Shop:
    """The shop, its model, and everybody's actions under every policy."""
    make_world(folder, SIZE)
    for table, *files in (("users", "users.csv"), ("items", "items.csv"), ("events", "events-0.csv", "events-1.csv")):
        call(folder, "ingest", table, *(str(folder / name) for name in files))
    call(folder, "train", "--as-of", f"{AS_OF:%Y-%m-%d}")
    base, store = changed(load_config(folder / "notif_rec.yml"), BASE), Store.open(folder / ".notif_rec")
    batch, context = prepared(store, base, folder / "own")
    rivals = {}
    for number, (name, keys) in enumerate(policies.items()):
        theirs, other = prepared(store, changed(base, keys), folder / f"rival-{number}")
        rivals[name] = actions_of(theirs, other, folder)[0]
    truth = {name: float((rival.likely * law(rival)).sum() / batch.num_rows) for name, rival in rivals.items()}
    return Shop(batch, context, rivals, truth)


def call(folder: Path, *line: str) -> None:
    """A command that must succeed."""
    if notif_rec([*line, "-q", "-c", str(folder / "notif_rec.yml")]) != 0:
        raise SystemExit(f"{line} failed")


def changed(base: Config, keys: Mapping[str, Any]) -> Config:
    """`base` with other keys."""
    return Config.model_validate_json(json.dumps({**base.to_json(), **keys}))


def prepared(store: Store, config: Config, folder: Path) -> tuple[pa.RecordBatch, PlanContext]:
    """Everybody's row of planning input, and the plan's context."""
    folder.mkdir()
    with store.connect() as connection:
        planner = build_planner(store, connection, config, newest_model(store, AS_OF), AS_OF)
    parts = prepare(store, store.version(), planner.facts, AS_OF, folder).files
    tables = [pa.ipc.open_file(pa.memory_map(str(part))).read_all() for part in parts]
    return pa.concat_tables(tables).combine_chunks().to_batches()[0], planner.context


def actions_of(batch: pa.RecordBatch, context: PlanContext, folder: Path) -> tuple[Actions, npt.NDArray[np.int64]]:
    """What a plan could hold, and its users, as `ope` reads them."""
    write_batch(chances_batch(batch, context), folder / "chances.arrow")
    return read_actions(folder / "chances.arrow", WORTH)


def law(actions: Actions) -> npt.NDArray[np.float64]:
    """(n,) the probability that an action brings 1: what the model foretells, too high by half, bent by tastes that it does not know."""
    taste = stats.norm.ppf((actions.action % np.uint64(2**32)).astype(np.float64) / 2**32 * 0.999 + 0.0005)
    return np.where(actions.message, np.clip(0.6 * actions.value * np.exp(0.7 * taste), 0.0, 0.8), 0.0)


def log_of_plan(shop: Shop, users: npt.NDArray[np.int64], seed: int, told: float, folder: Path) -> dict[str, PlanLog]:
    """A plan for these users with draws of its own, answered once; as the log of every policy. told: what share of the propensity of
    what chance alone would have sent is written down.
    """
    random = np.random.default_rng(seed)
    context = replace(shop.context, settings=replace(shop.context.settings, seed=seed))
    own, who = actions_of(shop.batch.take(pa.array(users)), context, folder)
    sent = own.taken & own.message
    reward = (random.random(len(own.action)) < law(own)).astype(float)
    own = replace(own, likely=np.where(own.likely < 0.5, own.likely * told, own.likely))
    outcomes = Outcomes(own.user[sent], own.action[sent], reward[sent], own.likely[sent], own.drawn[sent])
    return {name: log_of(own, rival, who, outcomes, None) for name, rival in shop.rivals.items()}


def judged(logs: Sequence[PlanLog], seed: int) -> Mapping[str, Estimate]:
    """Every estimate of one policy; none where it is refused."""
    mine, theirs = joined(logs)
    if support_of(mine).refused:
        return {}
    return estimate(mine, tuned_limits(mine), (theirs, tuned_limits(theirs)), seed, DRAWS).values


@dataclass(frozen=True)
class Covered:
    """Of one log, per policy: whether each estimator's interval holds the truth (empty: refused), and what no chance could show."""

    inside: Mapping[str, Mapping[str, bool]]
    unsupported: Mapping[str, float]


def covered(shop: Shop, seed: int, n_users: int, told: float) -> Covered:
    """One log for so many users, judged."""
    users = np.random.default_rng(10_000 + seed).choice(shop.batch.num_rows, n_users, replace=False)
    inside, unsupported = {}, {}
    with tempfile.TemporaryDirectory() as place, one_blas_thread():
        for policy, log in log_of_plan(shop, users, seed, told, Path(place)).items():
            found = judged([log], seed)
            inside[policy] = {name: found[name].low <= shop.truth[policy] <= found[name].high for name in NAMES if found}
            unsupported[policy] = float(log.unsupported / log.expected.sum())
    return Covered(inside, unsupported)


def coverage(shop: Shop, logs: int, n_users: int, told: float, jobs: int) -> None:
    """Prints how often each estimator's interval holds the truth, policy by policy."""
    found = Parallel(jobs, batch_size=4)(delayed(covered)(shop, seed, n_users, told) for seed in range(logs))
    print("policy", "true value", "unsupported", "refused", *NAMES, sep="\t")
    for policy, value in shop.truth.items():
        judged_ = [one.inside[policy] for one in found if one.inside[policy]]
        shares = [f"{np.mean([one[name] for one in judged_]):.3f}" for name in NAMES if judged_]
        unsupported = np.mean([one.unsupported[policy] for one in found])
        print(policy, f"{value:.4f}", f"{unsupported:.3f}", logs - len(judged_), *shares, sep="\t", flush=True)


def ranked(shop: Shop, turn: int, plans: int) -> float:
    """Kendall's tau between truth and estimate, by the logs of so many plans for everybody."""
    with tempfile.TemporaryDirectory() as place, one_blas_thread():
        everybody = np.arange(shop.batch.num_rows)
        logs = [log_of_plan(shop, everybody, 10**6 + turn * plans + n, 1.0, Path(place)) for n in range(plans)]
        values = [judged([log[name] for log in logs], turn)["dr"].value for name in POLICIES]
    return float(stats.kendalltau(values, list(shop.truth.values())).statistic)


def ranking(shop: Shop, plans: int, jobs: int) -> None:
    """Prints Kendall's tau, ten times over."""
    taus = Parallel(jobs)(delayed(ranked)(shop, turn, plans) for turn in range(10))
    told = f"Kendall's tau {np.mean(taus):.2f} on average, at least {min(taus):.2f}"
    print(f"{plans} plans of {shop.batch.num_rows:,} users rank five policies: {told}", flush=True)


def main() -> None:
    """Runs all of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--users", type=int, default=800)
    parser.add_argument("--plans", type=int, default=7)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--between", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, one_blas_thread():
        folder = Path(place)
        shop = build(folder / "shop", between(arguments.between) if arguments.between else POLICIES)
        print(f"95 % intervals from {arguments.logs:,} logs of {arguments.users:,} users hold the true value in", flush=True)
        coverage(shop, arguments.logs, arguments.users, 1.0, arguments.jobs)
        if not arguments.between:
            ranking(shop, arguments.plans, arguments.jobs)
            print("control: the same with propensities of chance's sends told half as large")
            coverage(shop, max(1, arguments.logs // 5), arguments.users, 0.5, arguments.jobs)
    get_reusable_executor().shutdown()  # so that its processes are counted
    own, others = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print(f"{sum(used.ru_utime + used.ru_stime for used in (own, others)):.0f} core-s")


if __name__ == "__main__":
    main()
