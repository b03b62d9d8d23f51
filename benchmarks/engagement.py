"""Probabilities on a workspace: do they mean what they say, what does it cost to learn them, and how many candidates a second.

    python benchmarks/engagement.py judge FOLDER --as-of 2026-11-22 [--days 28]   as `evaluate`, every tenth that misses its bounds
    python benchmarks/engagement.py slices FOLDER --as-of 2026-11-22              opens and clicks on other slices, ranks of a year before
    python benchmarks/engagement.py full FOLDER --as-of 2026-11-22 [--days 28]    beside trees that may ask about user and item at once
    python benchmarks/engagement.py rows [--users 20000]                          candidates a processor second, both ways
    python benchmarks/engagement.py learn FOLDER --as-of 2026-11-22               `train`, in processor seconds and MiB

FOLDER is a workspace with events (benchmarks/newsletter.py writes one; then `ingest`). A tenth is held to 0.9–1.1 where it has 1,500
answers, a channel to 0.95–1.05 where it has 6,000; elsewhere the 95 % interval must hold 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from family import spent

from notif_rec.config import load_config
from notif_rec.scoring.boosting import MOST_ROUNDS, Lessons, grow
from notif_rec.scoring.calibration import calibrated, fit_curve, fit_line, levelled
from notif_rec.scoring.contest import CONTENDERS, LOGISTIC_ALONE, MODEL, Contest, contest
from notif_rec.scoring.engagement import LEFT, OUTCOMES, Engagement, prior_engagement, probabilities
from notif_rec.scoring.engagement_fit import examples_of, fit_engagement_rates, recipe_of
from notif_rec.scoring.features import N_FEATURES, SCALES, SIGNS
from notif_rec.scoring.item_cells import Candidates, candidate_cells
from notif_rec.scoring.item_parts import PART_SIGNS, RANK, SIZES, UNKNOWN
from notif_rec.scoring.level import day_effects
from notif_rec.scoring.reliability import Ratio, auc, log_losses
from notif_rec.scoring.scorer import LOGISTIC, Scorer
from notif_rec.scoring.scorer_fit import Examples, Recipe, fit_scorer, foretold, margins
from notif_rec.scoring.trees import flatten, tree_scores
from notif_rec.store.store import Store
from notif_rec.workflows import evaluate_engagement as room

DAY_US = 86_400_000_000
Floats = npt.NDArray[np.float64]


def judge(folder: Path, as_of: datetime, days: int, picture: Path | None) -> None:
    """One row a channel and outcome; then how far the model leads each baseline; and a picture of the tenths, where one is wanted."""
    report = _evaluated(folder, as_of, days)
    if picture is not None:
        picture.write_text(_drawn(report), encoding="utf-8")
    print("| channel | outcome | model | rows | positives | observed/expected | tenths out | log loss | AUC | ECE |")
    print("|---|---|---|--:|--:|---|--:|--:|--:|--:|")
    found = [(channel, outcome, one) for channel, of in report.channels.items() for outcome, one in of.items()]
    for channel, outcome, one in found:
        verdict = one.models[MODEL]
        out = sum(not _holds(tenth, 1500, 0.1) for tenth in verdict.tenths)
        whole = f"{_told(verdict.whole)} {'holds' if _holds(verdict.whole, 6000, 0.05) else 'FAILS'}"
        head = f"| {channel} | {outcome} | {one.kind} | {one.rows:,} | {one.positives:,.0f} | {whole} | {out} of {len(verdict.tenths)} |"
        print(f"{head} {verdict.log_loss:.5f} | {verdict.auc or 0:.4f} | {verdict.ece:.4f} |")
    for channel, outcome, one in found:
        told = (f"{place + 1}: {_told(tenth)}" for place, tenth in enumerate(one.models[MODEL].tenths) if not _holds(tenth, 1500, 0.1))
        print(f"\n{channel} {outcome}, tenths out of bounds, the lowest p first: {', '.join(told) or 'none'}")
    print("\n| channel | outcome | beside | log loss less by | AUC more by |\n|---|---|---|---|---|")
    for channel, outcome, one in found:
        for name in CONTENDERS[1:]:
            print(f"| {channel} | {outcome} | {name} | {_lead(one, name, 'log_loss')} | {_lead(one, name, 'auc')} |")
    print(f"\n{json.dumps(report.oddities)} {' · '.join(report.notes)}")


def _drawn(report: Any) -> str:
    """SVG: every tenth of opens and clicks, expected across and observed upwards, on logarithmic axes; on the line p means what it says."""
    place = {p: 20 + 90 * (np.log10(p) + 4) for p in (0.001, 0.01, 0.1, 1.0)}
    parts = [f'<line x1="20" y1="{400 - 20}" x2="{place[1.0]:.0f}" y2="{400 - place[1.0]:.0f}" stroke="#999"/>']
    for p, at in place.items():
        parts.append(f'<text x="{at:.0f}" y="396" class="s">{p:g}</text><text x="0" y="{400 - at:.0f}" class="s">{p:g}</text>')
    points = [
        (name, tenth)
        for of in report.channels.values()
        for name in ("opened", "clicked")
        if name in of
        for tenth in of[name].models[MODEL].tenths
        if tenth.observed > 0
    ]
    for name, tenth in points:
        across, up, low, high = (
            20 + 90 * (np.log10(max(x, 1e-4)) + 4)
            for x in (
                tenth.expected / tenth.n,
                tenth.observed / tenth.n,
                tenth.low * tenth.expected / tenth.n,
                tenth.high * tenth.expected / tenth.n,
            )
        )
        colour = {"opened": "#1f77b4", "clicked": "#d62728"}[name]
        parts.append(f'<line x1="{across:.1f}" y1="{400 - low:.1f}" x2="{across:.1f}" y2="{400 - high:.1f}" stroke="{colour}"/>')
        parts.append(f'<circle cx="{across:.1f}" cy="{400 - up:.1f}" r="4" fill="{colour}"/>')
    words = '<text x="120" y="30" fill="#1f77b4">opened</text><text x="200" y="30" fill="#d62728">clicked</text>'
    style = "<style>text{font:14px sans-serif}.s{font-size:11px}</style>"
    head = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 420 420" role="img"><title>Observed over expected by tenth</title>'
    axes = '<text x="120" y="416" class="s">foretold</text><text x="30" y="14" class="s">observed, with 95 % intervals</text>'
    return f"{head}{style}<rect width='420' height='420' fill='#fff'/>{axes}{words}{''.join(parts)}</svg>\n"


def _evaluated(folder: Path, as_of: datetime, days: int) -> Any:
    config, store = load_config(folder / "notif_rec.yml"), Store.open(folder / ".notif_rec")
    with store.connect(threads=2) as connection:
        return room.evaluate_engagement(connection, config, as_of, timedelta(days=days), jobs=2)


def _holds(ratio: Ratio, enough: float, width: float) -> bool:
    return abs(ratio.ratio - 1) <= width if ratio.observed >= enough else ratio.low <= 1 <= ratio.high


def _told(ratio: Ratio) -> str:
    return f"{ratio.ratio:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]"


def _lead(one: Contest, name: str, metric: str) -> str:
    if metric not in one.leads[name]:
        return ""
    lead = one.leads[name][metric]
    return f"{lead.mean:.5f} [{lead.low:.5f}, {lead.high:.5f}]"


def slices(folder: Path, as_of: datetime) -> None:
    """Opens and clicks judged until 90, 180 and 28 days before as-of, on the days after that, by models of what was known by then."""
    asked = _asked(folder, as_of, 360)
    print("| channel | outcome | until, days | positives | observed/expected | tenths out | log loss less than logistic by | AUC more by |")
    print("|---|---|---|--:|---|--:|---|---|")
    for channels, at, outcome, _, known, judged, effort in (one for one in asked if one[2] != LEFT):
        for back, days in ((90, 90), (180, 90), (28, 28)):
            end = int(judged.at_us.max()) // DAY_US * DAY_US + DAY_US  # whose answers were in by as-of
            split = end - back * DAY_US
            learned = known.where(known.plan_us + effort.delay_us[outcome] <= split)
            later = known.where((known.at_us >= split) & (known.at_us < split + days * DAY_US))
            one = contest(channels, at, outcome, learned, known, later, effort)
            if isinstance(one, str):
                continue
            verdict = one.models[MODEL]
            out = sum(not _holds(tenth, 1500, 0.1) for tenth in verdict.tenths)
            head = f"| {channels[at]} | {OUTCOMES[outcome]} | −{back}, {days} | {one.positives:,.0f} | {_told(verdict.whole)} | {out} |"
            print(f"{head} {_lead(one, LOGISTIC_ALONE, 'log_loss')} | {_lead(one, LOGISTIC_ALONE, 'auc')} |", flush=True)


def _asked(folder: Path, as_of: datetime, days: int) -> list[tuple[Any, ...]]:
    """What `evaluate` would put to the contest, a channel and outcome each, unanswered."""
    asked: list[tuple[Any, ...]] = []
    room.contest = lambda *given: asked.append(given) or "not now"  # type: ignore[attr-defined,func-returns-value]
    _evaluated(folder, as_of, days)
    return asked


def full(folder: Path, as_of: datetime, days: int) -> None:
    """What it costs that no tree asks about user and item at once: both kinds on the sends that `evaluate` judges, at one level."""
    asked = _asked(folder, as_of, days)
    print("| channel | outcome | rows | log loss | of the full model | AUC | of the full model |\n|---|---|--:|--:|--:|--:|--:|")
    for channels, at, outcome, learned, _, judged, effort in asked:
        if outcome == LEFT:
            continue
        rates, mine = fit_engagement_rates(channels, learned), learned.where(learned.channel == at)
        past, test = (examples_of(rates, at, sends, outcome) for sends in (mine, judged))
        recipe = recipe_of(outcome, effort)
        ours, theirs = foretold(fit_scorer(past, recipe), test), _full(past, test, recipe)
        scores = [(log_losses(p, test.label).mean(), auc(p, test.label) or 0.0) for p in (ours, theirs)]
        row = f"| {channels[at]} | {OUTCOMES[outcome]} | {len(test.label):,} |"
        print(f"{row} {scores[0][0]:.5f} | {scores[1][0]:.5f} | {scores[0][1]:.4f} | {scores[1][1]:.4f} |")


def _full(past: Examples, test: Examples, recipe: Recipe) -> Floats:
    """Learned as scorer_fit learns, on top of the same logistic, but that any features may meet in a tree."""
    base = fit_scorer(past, replace(recipe, most=LOGISTIC))
    first, second = np.quantile(past.plan_us, (0.7, 0.85), method="lower")
    learn, later = past.where(past.plan_us < first), past.where(past.plan_us >= second)
    stop = past.where((past.plan_us >= first) & (past.plan_us < second))
    signs = np.concatenate([recipe.signs, PART_SIGNS, [0]]).astype(np.int8)
    told: dict[str, Any] = {"seed": recipe.seed, "threads": recipe.threads}
    groups = [list(range(len(signs)))]
    grown, rounds = grow(_lessons(learn, base), signs, groups, **told, rounds=MOST_ROUNDS, until=_lessons(stop, base))
    last, _ = grow(_lessons(past, base), signs, groups, **told, rounds=rounds)
    honest, final = flatten(grown), flatten(last)
    margin = margins(base, later) + tree_scores(honest, _lessons(later, base).rows)
    whole = margins(base, past) + tree_scores(final, _lessons(past, base).rows)
    curve = levelled(fit_curve(margin, later.label, fit_line(margin, later.label)), whole, past.label)
    return calibrated(curve, margins(base, test) + tree_scores(final, _lessons(test, base).rows))


def _lessons(examples: Examples, base: Scorer) -> Lessons:
    assert examples.parts is not None
    parts, unknown = examples.parts.astype(np.float32), examples.parts[:, RANK] == UNKNOWN
    parts[unknown, RANK] = SIZES[RANK] // 2
    rows = np.concatenate([examples.features, parts, unknown[:, None]], axis=1, dtype=np.float32)
    margin = margins(base, examples)
    return Lessons(rows, examples.label, margin + day_effects(margin, examples.label, examples.plan_us))


def rows(n_users: int, k: int = 100) -> None:
    """Probabilities of every candidate of made-up users, from trees learned on made-up answers; one thread, two halves on two cores."""
    rng = np.random.default_rng(1)
    past = _made_up(rng, 200_000)
    scorer = fit_scorer(past, Recipe(SIGNS, SCALES, 2 * DAY_US))
    bare = prior_engagement(("email",))
    engagement: Engagement = replace(bare, scorers=((scorer, scorer, bare.scorers[0][LEFT]),))
    features = _made_up(rng, n_users).features
    item = np.tile(rng.permutation(5000)[:k].astype(np.int32), (n_users, 1))
    known = _known(rng, n_users, 5000)
    bucket = np.broadcast_to(np.minimum(np.arange(k) // 20, SIZES[RANK] - 1), item.shape)
    best = []
    for _ in range(4):
        started = time.process_time()
        cells = candidate_cells(item, bucket, np.arange(n_users), 0, known)
        probabilities(engagement, 0, cells, features)
        best.append(time.process_time() - started)
    print(
        f"{len(scorer.trees.root)} trees about users; candidates a processor second, p_open and p_click: {n_users * k / min(best[1:]):,.0f}"
    )
    wide = np.concatenate([features, np.zeros((n_users, len(SIZES) + 1), np.float32)], axis=1)
    signs = np.concatenate([SIGNS, PART_SIGNS, [0]]).astype(np.int8)
    described, rounds = grow(_lessons(past, scorer), signs, [list(range(wide.shape[1]))], seed=1, threads=2, rounds=scorer.rounds)
    trees, started = flatten(described), time.process_time()
    tree_scores(trees, wide)
    rate = n_users / (time.process_time() - started) / 2
    print(f"{rounds} rounds about both, walked for every candidate, both outcomes: {rate:,.0f}")


def _made_up(rng: np.random.Generator, n: int) -> Examples:
    """Counts, hours and rates of about the size that features have, and answers that hang on them."""
    features = rng.gamma(1.0, 20.0, (n, N_FEATURES)).astype(np.float32)
    features[:, 15:22] = rng.beta(1.0, 5.0, (n, 7))
    parts = np.stack([rng.integers(0, size, n) for size in SIZES], axis=1).astype(np.int8)
    margin = 3 * features[:, 15] - 0.01 * features[:, 5] - 0.02 * features[:, 6] * (features[:, 24] > 20) + 0.1 * parts[:, 3] - 2.5
    label = (rng.random(n) < 1 / (1 + np.exp(-margin))).astype(np.float64)
    return Examples(features, parts, label, np.full(n, -2.0), np.sort(rng.integers(0, 100, n)) * DAY_US)


def _known(rng: np.random.Generator, n: int, n_items: int) -> Candidates:
    """Users who liked eight categories of twenty and were sent thirty items."""
    liked = np.sort(np.argsort(rng.random((n, 20)), axis=1)[:, :8], axis=1).astype(np.int32)
    sent = np.sort(rng.integers(0, n_items, (n, 30)), axis=1).astype(np.int32)
    return Candidates(
        popularity=rng.integers(0, 6, (n_items, 2)).astype(np.int8),
        age=rng.integers(0, 6, n_items).astype(np.int8),
        category=rng.integers(0, 20, n_items).astype(np.int32),
        n_categories=20,
        liked_start=np.arange(n + 1) * 8,
        liked_category=liked.ravel(),
        liked_count=np.ones(n * 8, np.float32),
        sent_start=np.arange(n + 1) * 30,
        sent_item=sent.ravel(),
        sent_us=np.full(n * 30, -DAY_US),
    )


def learn(folder: Path, as_of: datetime) -> None:
    """The command itself, in its folder as a person runs it."""
    command = [sys.executable, "-m", "notif_rec.cli.main", "-c", str(folder / "notif_rec.yml"), "--store", str(folder / ".notif_rec")]
    found = spent([*command, "--json", "--quiet", "--jobs", "2", "train", "--as-of", f"{as_of.isoformat()}Z"])
    print(f"train: {found.wall:.1f} s, {found.core:.1f} processor s, {found.peak:,.0f} MiB")


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("judge", "slices", "full", "rows", "learn"))
    parser.add_argument("folder", type=Path, nargs="?", default=Path())
    parser.add_argument("--as-of", type=datetime.fromisoformat, default=datetime(2026, 11, 22))
    parser.add_argument("--days", type=int, default=28)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--picture", type=Path, help="an SVG of every tenth (judge)")
    given = parser.parse_args()
    told = given.folder, given.as_of
    work = {
        "judge": lambda: judge(*told, given.days, given.picture), "slices": lambda: slices(*told), "full": lambda: full(*told, given.days),
        "rows": lambda: rows(given.users), "learn": lambda: learn(*told),
    }  # fmt: skip
    work[given.what]()


if __name__ == "__main__":
    main()
