"""Does the learner find whom a treatment changes? In a real experiment, where chance was shuffled, and in worlds with known truth.

    NOTIF_REC_DATA=DIR python benchmarks/uplift.py [--seeds N] [--worlds N] [--jobs N]

DIR holds hillstrom/hillstrom.csv.gz. One JSON object a part.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from notif_rec.causal.qini import judge
from notif_rec.causal.uplift import Experiment, doubly_robust, folds_of
from notif_rec.scoring.uplift import fit_uplift, judged_apart

DATA = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[2] / "shared" / "data")) / "hillstrom" / "hillstrom.csv.gz"
FEATURES = """recency, history, mens, womens, newbie, (zip_code = 'Rural')::INT, (zip_code = 'Urban')::INT, (zip_code = 'Surburban')::INT,
(channel = 'Web')::INT, (channel = 'Phone')::INT, (channel = 'Multichannel')::INT"""
MAILS, OUTCOMES = ("Womens E-Mail", "Mens E-Mail"), ("visit", "conversion", "spend")
N = 40_000  # users of a world


@cache
def hillstrom(mail: str, outcome: str) -> Experiment:
    """One mail against none."""
    query = f"SELECT segment = $mail, {outcome}, {FEATURES} FROM read_csv($path) WHERE segment IN ($mail, 'No E-Mail')"
    columns = duckdb.execute(query, {"mail": mail, "path": str(DATA)}).fetchnumpy().values()
    rows = np.stack([np.asarray(column, np.float64) for column in columns], axis=1)
    treated = rows[:, 0] > 0
    return Experiment(rows[:, 2:].astype(np.float32), treated, np.full(len(rows), treated.mean()), rows[:, 1], np.arange(len(rows)))


def of_mail(mail: str, outcome: str, seed: int) -> dict[str, Any]:
    """The Qini of ranking by uplift and of ranking by response, each half of the customers by models of the other half."""
    rows = hillstrom(mail, outcome)
    half, without, treated, uplift = folds_of(rows.cluster, 2, seed), *(np.zeros(len(rows.outcome)) for _ in range(3))
    for side in (0, 1):
        mine = half == side
        model = fit_uplift(rows.where(~mine), seed=seed)
        without[mine], treated[mine], uplift[mine] = (s.of(rows.features[mine]) for s in (model.without, model.treated, model.uplift))
    scores = doubly_robust(rows, without, treated)
    found = {name: judge(scores, by, rows.cluster, half, seed=seed).qini for name, by in (("uplift", uplift), ("response", treated))}
    return {name: [q.value, q.low, q.high] for name, q in found.items()}


def shuffled(seed: int) -> bool:
    """Whether the interval of the Qini holds 0 where mails were dealt anew, so that nobody can change because of them."""
    rows, random = hillstrom(MAILS[0], "visit"), np.random.default_rng(seed)
    scores, foretold, half = judged_apart(
        Experiment(rows.features, random.permutation(rows.treated), rows.propensity, rows.outcome, rows.cluster)
    )
    q = judge(scores, foretold, rows.cluster, half, seed=seed).qini
    return q.low <= 0.0 <= q.high


def in_a_world(seed: int) -> dict[str, float]:
    """Regulars come anyway and click what they get; a message brings the others, and drives some regulars away. 5 % are held out."""
    random = np.random.default_rng(seed)
    x = random.random((N, 6)).astype(np.float32)
    visits, shy = x[:, 0].astype(float), x[:, 1].astype(float)
    truth = 0.15 * (1 - visits) * (shy < 0.6) - 0.08 * (visits > 0.7)
    treated = random.random(N) < 0.95
    outcome = (random.random(N) < 0.05 + 0.6 * visits + treated * truth).astype(float)
    rows = Experiment(x, treated, np.full(N, 0.95), outcome, np.arange(N))
    model, new = fit_uplift(rows, seed=seed), np.random.default_rng(seed + 10**6).random((N, 6)).astype(np.float32)
    visits, shy = new[:, 0].astype(float), new[:, 1].astype(float)
    truth = 0.15 * (1 - visits) * (shy < 0.6) - 0.08 * (visits > 0.7)
    foretold, best = model.uplift.of(new), np.argsort(-truth)[: N // 5]
    scores, apart, half = judged_apart(rows, seed=seed)
    effect = judge(scores, apart, rows.cluster, half, seed=seed).effect
    mean = float((0.15 * (1 - x[:, 0]) * (x[:, 1] < 0.6) - 0.08 * (x[:, 0] > 0.7)).mean())
    return {
        "error": float(np.sqrt(((foretold - truth) ** 2).mean())),
        "error_of_one_for_all": float(truth.std()),
        "added_by_best_fifth_possible": float(truth[best].sum() / N),
        "added_by_uplift_fifth": float(truth[np.argsort(-foretold)[: N // 5]].sum() / N),
        "added_by_response_fifth": float(truth[np.argsort(-model.treated.of(new))[: N // 5]].sum() / N),
        "added_by_all": float(truth.mean()),
        "added_where_foretold_above_0": float(truth[foretold > 0].sum() / N),
        "mean_effect_inside": float(effect.low <= mean <= effect.high),
    }


def main() -> None:
    """Reads the command line and prints each part."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    for name, default in (("seeds", 5), ("shuffles", 20), ("worlds", 10), ("jobs", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    with ProcessPoolExecutor(given.jobs) as pool:
        for mail in MAILS:
            for outcome in OUTCOMES:
                found = list(pool.map(partial(of_mail, mail, outcome), range(1, given.seeds + 1)))
                told = {name: np.mean([f[name] for f in found], axis=0).round(5).tolist() for name in ("uplift", "response")}
                spread = [min(f["uplift"][0] for f in found), max(f["uplift"][0] for f in found)]
                print(json.dumps({"mail": mail, "outcome": outcome, "qini": told, "over_seeds": np.round(spread, 5).tolist()}), flush=True)
        inside = list(pool.map(shuffled, range(1, given.shuffles + 1)))
        print(json.dumps({"shuffled": len(inside), "qini_holds_0": sum(inside)}), flush=True)
        worlds = list(pool.map(in_a_world, range(1, given.worlds + 1)))
        print(json.dumps({"worlds": len(worlds), **_means(worlds)}), flush=True)


def _means(worlds: Iterable[dict[str, float]]) -> dict[str, float]:
    found = list(worlds)
    return {name: round(float(np.mean([w[name] for w in found])), 5) for name in (found[0] if found else ())}


if __name__ == "__main__":
    main()
