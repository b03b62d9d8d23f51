"""`tune`: searches model settings under a time budget and writes the best as a piece of config."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.models import search
from notif_rec.models.fit import confidence, resolve_als
from notif_rec.models.settings import ModelSettings
from notif_rec.models.trend import HALF_LIVES
from notif_rec.scoring.bench import Bench, Score
from notif_rec.store.store import Store
from notif_rec.workflows.backtest import ALL
from notif_rec.workflows.fragment import write_fragment
from notif_rec.workflows.search_run import Budget, ChannelRun, Clock, TimeOver, Trials
from notif_rec.workflows.trial_log import TrialLog
from notif_rec.workflows.trials_apart import K, LastSlice, TrialApart
from notif_rec.workflows.tune_data import TuneData, set_apart

READ = ("events", "users", "items", "user_ids", "item_ids")
SHOWN_TRIALS = 12


@dataclass(frozen=True)
class Order:
    """What a search is told. clock: seconds from any start. say: told each time something better is found.

    engine: does trials that do not wait for one another side by side, where it works apart; else they are done here.
    """

    output: Path
    budget: timedelta
    clock: Clock
    jobs: int = 1
    progress: Progress = lambda stage, done, total: None
    say: Callable[[str], None] = lambda text: None
    engine: Engine | None = None


@dataclass(frozen=True)
class TuneResult:
    """The best settings, what they score on the validation slice, and what those of the config did.

    channels: what some channels do differently. trials, seconds: all that the log holds, earlier sittings too. complete: False
    where a stage ran out of time.
    """

    output: Path
    validation: str
    trials: int
    seconds: float
    before: Score | None
    best: Score | None
    settings: ModelSettings
    channels: Mapping[str, Mapping[str, float]]
    complete: bool

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        scores = {"before": self.before, "best": self.best}
        return {
            "output": str(self.output),
            "validation": self.validation,
            "trials": self.trials,
            "seconds": round(self.seconds, 1),
            "complete": self.complete,
            **{name: score and {f"ndcg@{K}": score.ndcg, f"recall@{K}": score.recall} for name, score in scores.items()},
            "model": self.settings.model_dump(mode="json"),
            "channels": {name: dict(own) for name, own in self.channels.items()},
        }


def tune(store: Store, config: Config, as_of: datetime, horizon: timedelta, order: Order) -> TuneResult:
    """Settings that foretell best the last `horizon` before as-of (or before the newest event), learnt from what came before it."""
    newest = max((segment.added_seq for segment in store.segments(*READ)), default=0)
    return _search(LastSlice(store.snapshot(), config, as_of, horizon, newest, order.jobs), config, order)


def tune_split(train: Path, config: Config, order: Order) -> TuneResult:
    """Settings that foretell best a fifth of each user's pairs in `train` (the last tenth where it has times), learnt from the others."""
    return _search(partial(set_apart, train, config), config, order)


def _search(read: Callable[[], TuneData], config: Config, order: Order) -> TuneResult:
    """Goes on from the trials beside the output where there are any; writes the best so far even where it is stopped."""
    tuning = _Tuning(read, config, order)
    try:
        tuning.run_stages()
    finally:
        tuning.write()
    return tuning.result()


class _Tuning:
    """One search: its trials, its clock, and the runs over everything and over single channels."""

    def __init__(self, read: Callable[[], TuneData], config: Config, order: Order) -> None:
        self.read, self.data, self.config, self.order = read, read(), config, order
        self.log = TrialLog(order.output.with_name(f"{order.output.name}.trials.jsonl"), self.data.digest)
        self.budget = Budget(order.budget.total_seconds(), self.log.seconds, order.clock)
        self.channels: dict[str, dict[str, float]] = {}
        self.complete = True
        self._told = 0.0
        self.all = self._run(ALL, config.model.model_copy(update={"transfer": 1.0}))  # `all` has no signs of its own

    @property
    def settings(self) -> ModelSettings:
        """The best so far."""
        return self.all.best.model_copy(update={"transfer": self.config.model.transfer})

    def run_stages(self) -> None:
        """Every stage in turn, each until its share of the budget is spent; fewer where the time is over."""
        try:
            for name, share, stage in self._stages():
                self.all.enter(name, share)
                try:
                    stage()
                except search.StageOver:
                    self.complete = False
        except TimeOver:
            self.complete = False

    def write(self) -> None:
        """The best so far, as a piece of config."""
        write_fragment(self.order.output, self.config, self.settings, self.channels, self._remarks())

    def result(self) -> TuneResult:
        """What was found."""
        found = self.all
        return TuneResult(
            output=self.order.output,
            validation=self.data.told,
            trials=len(self.log.trials),
            seconds=self.log.seconds,
            before=found.first,
            best=found.score,
            settings=self.settings,
            channels=self.channels,
            complete=self.complete,
        )

    def _stages(self) -> Iterator[tuple[str, float, Callable[[], None]]]:
        run = self.all
        yield "start", 1.0, lambda: search.start(run)
        yield "blend", 0.15, lambda: search.mixture(run, repeats=self.data.repeats, texts=self.data.texts)
        yield "similar", 0.4, lambda: search.similar(run)
        yield "factors", 0.6, self._factors
        yield "blend again", 0.63, lambda: search.blend(run)
        span = self.data.span
        if span:
            yield "half_life", 0.68, lambda: search.half_life(run, span)
        yield "popularity", 0.7, lambda: search.popularity(run, [t for t in HALF_LIVES if t <= span] if span else [])
        for name in self.data.channels:
            yield f"channel {name}", 0.7 + 0.1 / len(self.data.channels), partial(self._channel, name)
        yield "double", 0.95, lambda: search.double(run)
        yield "last blend", 1.0, lambda: search.mixture(run, repeats=self.data.repeats, texts=self.data.texts)

    def _factors(self) -> None:
        best = self.all.best
        _, user_items = confidence(self.data.situation(best).evidence, self.data.code[ALL], best.transfer)
        als = resolve_als(user_items, best, 0)
        total, unseen = float(user_items.data.sum(dtype=np.float64)), als.unobserved_weight
        evidence = float(np.mean([total / rows + unseen * columns for rows, columns in (user_items.shape, user_items.shape[::-1])]))
        search.factors(self.all, als.unobserved_weight, evidence, self.config.seed)

    def _channel(self, name: str) -> None:
        """How much the channel trusts other channels' signs, then its own blend; kept where it pays."""
        base = self.config.model_copy(update={"model": self.settings}).model_of(name)
        run = self._run(name, base)
        run.enter(self.all.stage, self.all.share)
        try:
            for stage in (search.start, search.transfer, search.blend):
                stage(run)
        finally:
            own = {key: getattr(run.best, key) for key in ("transfer", "blend") if getattr(run.best, key) != getattr(base, key)}
            if own:
                self.channels[name] = own

    def _run(self, name: str, best: ModelSettings) -> ChannelRun:
        situation = self.data.channels.get(name, self.data.situation)
        bench = Bench(
            name,
            self.data.code[name],
            situation,
            k=K,
            seed=self.config.seed % 2**32,
            threads=self.order.jobs,
            step=self.budget.check,
        )
        return ChannelRun(bench, best, self.log, self.budget, self._tell, self._trials_apart(name))

    def _trials_apart(self, name: str) -> Trials | None:
        """Scores many settings side by side; a search whose time is over stops them all."""
        engine, seed = self.order.engine, self.config.seed % 2**32
        if engine is None or not engine.apart:
            return None
        work = TrialApart(self.read, self.data.digest, name, seed, engine.threads)
        return lambda asked: list(engine.each(work, asked, "trials", self.budget.check))

    def _tell(self, run: ChannelRun) -> None:
        total = int(self.budget.seconds)
        self.order.progress("search", min(int(self.budget.elapsed), total), total)
        if run is self.all and run.score and run.score.ndcg > self._told:
            self._told = run.score.ndcg
            changed = differences(run.best, self.config.model)
            self.order.say(f"{run.stage}: ndcg@{K} {run.score.ndcg:.4f}, recall@{K} {run.score.recall:.4f} with {changed}")

    def _remarks(self) -> list[str]:
        """What stands above the settings in the file."""
        first, best = self.all.first, self.all.score
        if first is None or best is None:
            return ["Written by `notif-rec tune`: the budget ended before one trial did, so these are the settings as they were."]
        shown = sorted((t for t in self.log.trials if t.channel == ALL), key=lambda t: -t.score.ndcg)[:SHOWN_TRIALS]
        return [
            "Written by `notif-rec tune`. A config by itself; or copy its keys into yours.",
            f"validated on {self.data.told}; seed {self.config.seed}",
            f"{len(self.log.trials)} trials, {self.log.seconds:.0f} s{'' if self.complete else '; the budget ended before the search did'}",
            f"before: ndcg@{K} {first.ndcg:.5f}, recall@{K} {first.recall:.5f}",
            f"now:    ndcg@{K} {best.ndcg:.5f}, recall@{K} {best.recall:.5f}",
            "",
            "the best trials (stage, ndcg, recall, what differs from the config):",
            *(f"  {t.stage:<12} {t.score.ndcg:.5f} {t.score.recall:.5f} {differences(t.settings, self.config.model)}" for t in shown),
        ]


def differences(settings: ModelSettings, base: ModelSettings) -> str:
    """`key=value` of what differs, `transfer` aside."""
    new, old = (_flat(s.model_dump(mode="json")) for s in (settings, base))
    return ", ".join(f"{key}={value}" for key, value in new.items() if value != old[key] and key != "transfer") or "nothing new"


def _flat(value: Mapping[str, Any]) -> dict[str, Any]:
    similar = {f"similar.{key}": inner for key, inner in value["similar"].items()}
    return {key: inner for key, inner in value.items() if key != "similar"} | similar
