"""`evaluate`: a backtest over the store's own last days, channel by channel and over everything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from notif_rec.config import Config
from notif_rec.errors import UsageError
from notif_rec.store.store import Store
from notif_rec.workflows.backtest import ChannelReport, EvaluateResult, backtest, fit_contender
from notif_rec.workflows.scene import Scene, ask, read_scene

Progress = Callable[[str, int, int], None]


def evaluate(
    store: Store, config: Config, as_of: datetime, horizon: timedelta, k: int = 20, *, jobs: int = 1, progress: Progress | None = None
) -> EvaluateResult:
    """How well lists made at as_of − horizon foretell the signs of taste until as_of, per channel and over everything (`all`).

    A channel's targets are its own events alone; `all` counts every channel's and organic ones. Models see the store as it was at
    the split: nothing later can reach them.
    """
    if not horizon:
        raise UsageError("--horizon 0 leaves nothing to foretell", "write at least 1m")
    split = as_of - horizon
    with store.connect(threads=jobs) as con:
        scene = read_scene(con, config, split, as_of)
    channels: dict[str, ChannelReport] = {}
    other_way: dict[str, ChannelReport] = {}
    notes: list[str] = []
    for place, name in enumerate(scene.code):
        if progress:
            progress("channels", place, len(scene.code))
        found = _both_ways(scene, name, k, jobs, progress)
        own = scene.exclude_seen(name)
        channels |= {name: found[own]} if own in found else {}
        other_way |= {name: found[not own]} if (not own) in found else {}
        if own not in found:
            notes.append(f"{name}: after the split nobody took anything {'new ' if own else ''}on it; not judged")
    return EvaluateResult(k, config.seed, channels, other_way, split, as_of, tuple(notes))


def _both_ways(scene: Scene, name: str, k: int, jobs: int, progress: Progress | None) -> dict[bool, ChannelReport]:
    """Reports by `exclude_seen`; one is missing where nobody has a target that way."""
    settings = scene.settings(name)
    questions = {exclude: ask(scene, name, settings, exclude_seen=exclude) for exclude in (True, False)}
    questions = {exclude: question for exclude, question in questions.items() if len(question.targets.item)}
    if not questions:
        return {}
    evidence = scene.reading.evidence(settings)
    seed = scene.config.seed
    model = fit_contender(name, scene.code[name], evidence, settings, seed=seed % 2**32, threads=jobs, progress=progress)
    return {
        exclude: backtest(model, evidence, question.asked, question.targets, unreachable=question.unreachable, k=k, seed=seed, threads=jobs)
        for exclude, question in questions.items()
    }
