"""`evaluate`: a backtest over the store's own last days, channel by channel and over everything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property

from notif_rec.config import Config
from notif_rec.engines.engine import Engine, Progress
from notif_rec.engines.local import LocalEngine
from notif_rec.errors import UsageError
from notif_rec.store.store import Snapshot, Store
from notif_rec.workflows.backtest import ALL, ChannelReport, EvaluateResult, backtest, fit_contender
from notif_rec.workflows.evaluate_engagement import evaluate_engagement
from notif_rec.workflows.scene import Scene, ask, read_scene


def evaluate(
    store: Store,
    config: Config,
    as_of: datetime,
    horizon: timedelta,
    k: int = 20,
    *,
    jobs: int = 1,
    progress: Progress = lambda stage, done, total: None,
    engine: Engine | None = None,
) -> EvaluateResult:
    """How well lists made at as_of − horizon foretell the signs of taste until as_of, per channel and over everything (`all`).

    A channel's targets are its own events alone; `all` counts every channel's and organic ones. Models see the store as it was at
    the split: nothing later can reach them. Probabilities are judged by sends whose answers are in,
    a window earlier. engine: judges channels, side by side where it works apart; else here, by `jobs` threads.
    """
    if not horizon:
        raise UsageError("--horizon 0 leaves nothing to foretell", "write at least 1m")
    split = as_of - horizon
    engine = engine or LocalEngine(jobs)
    judging = Judging(store.snapshot(), config, split, as_of, k, engine.threads, None if engine.apart else progress)
    names = (*config.channel_names, ALL)
    channels: dict[str, ChannelReport] = {}
    other_way: dict[str, ChannelReport] = {}
    notes: list[str] = []
    for name, (own, found, why) in zip(names, engine.each(judging, names, "channels", progress), strict=True):
        channels |= {name: found[own]} if own in found else {}
        other_way |= {name: found[not own]} if (not own) in found else {}
        if own not in found:
            notes.append(f"{name}: {why}; not judged")
    progress("engagement", 0, 1)
    with store.connect(threads=engine.threads) as con:
        engagement = evaluate_engagement(con, config, as_of, horizon, jobs=engine.threads)
    return EvaluateResult(k, config.seed, channels, other_way, split, as_of, tuple(notes), engagement)


@dataclass(frozen=True)
class Judging:
    """Judges a channel from the files of a store, also in another process; the scene is read once in each."""

    snapshot: Snapshot
    config: Config
    split: datetime
    as_of: datetime
    k: int
    threads: int
    progress: Progress | None

    def __call__(self, name: str) -> tuple[bool, dict[bool, ChannelReport], str]:
        """Whether the channel excludes what was seen, the reports of both ways, and why there is none of its own way where that is so."""
        return (
            self._scene.exclude_seen(name),
            _both_ways(self._scene, name, self.k, self.threads, self.progress),
            _why_none(self._scene, name),
        )

    @cached_property
    def _scene(self) -> Scene:
        with self.snapshot.connect(threads=self.threads) as con:
            return read_scene(con, self.config, self.split, self.as_of)


def _why_none(scene: Scene, name: str) -> str:
    if not scene.live[name].any():
        return "at the split no item could be listed on it: each had expired, was not out yet, or is kept to other channels"
    return f"after the split nobody took anything {'new ' if scene.exclude_seen(name) else ''}on it"


def _both_ways(scene: Scene, name: str, k: int, jobs: int, progress: Progress | None) -> dict[bool, ChannelReport]:
    """Reports by `exclude_seen`; one is missing where nobody has a target that way."""
    settings = scene.settings(name)
    questions = {exclude: ask(scene, name, settings, exclude_seen=exclude) for exclude in (True, False)}
    questions = {exclude: question for exclude, question in questions.items() if len(question.targets.item)}
    if not questions:
        return {}
    evidence = scene.reading.evidence(settings)
    seed = scene.config.seed
    contender = fit_contender(name, scene.code[name], evidence, settings, seed=seed % 2**32, threads=jobs, progress=progress)
    return {
        exclude: backtest(
            contender, evidence, question.asked, question.targets, unreachable=question.unreachable, k=k, seed=seed, threads=jobs
        )
        for exclude, question in questions.items()
    }
