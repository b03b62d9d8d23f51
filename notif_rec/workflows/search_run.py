"""One search under a clock: scores settings, remembers the best, stops a stage that has had its share of the time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from notif_rec.models.search import StageOver
from notif_rec.models.settings import ModelSettings
from notif_rec.scoring.bench import Bench, Score
from notif_rec.workflows.trial_log import Trial, TrialLog

DOUBLING_COSTS = 3.2  # a trial with twice the factors takes at most this many times as long
Clock = Callable[[], float]
Trials = Callable[[Sequence[ModelSettings]], list[Score]]


class TimeOver(Exception):
    """The whole budget is spent in the middle of a trial."""


class Budget:
    """Seconds of the search as a whole, those of earlier sittings counted in. spent: by trials that the log holds."""

    def __init__(self, seconds: float, spent: float, clock: Clock) -> None:
        self.seconds, self._spent, self._clock = seconds, spent, clock
        self._mark = clock()

    @property
    def elapsed(self) -> float:
        """Seconds spent so far."""
        return self._spent + self._clock() - self._mark

    @property
    def since_last(self) -> float:
        """Seconds since `settle`."""
        return self._clock() - self._mark

    def settle(self) -> float:
        """Books the seconds since the last call, and says how many they were."""
        seconds = self.since_last
        self._spent, self._mark = self._spent + seconds, self._clock()
        return seconds

    def check(self, *_: object) -> None:
        """Raises TimeOver where nothing is left; a step that the fits call."""
        if self.elapsed > self.seconds:
            raise TimeOver


class ChannelRun:
    """The search on one channel: a `models.search.Run`.

    told: called after each trial with the run, to show the best so far. apart: scores many settings side by side, where that is possible.
    """

    def __init__(
        self,
        bench: Bench,
        best: ModelSettings,
        log: TrialLog,
        budget: Budget,
        told: Callable[[ChannelRun], None],
        apart: Trials | None = None,
    ) -> None:
        self.bench, self.best, self.log, self.budget, self.told, self.apart = bench, best, log, budget, told, apart
        self.score: Score | None = None
        self.first: Score | None = None
        self.stage, self.share = "start", 1.0

    def enter(self, stage: str, share: float) -> None:
        """Starts a stage that may go on until `share` of the budget is spent."""
        self.stage, self.share = stage, share

    def ahead(self, settings: Sequence[ModelSettings]) -> None:
        """Scores what will be asked for next side by side, so that it stands in the log; does nothing where there is one place to work."""
        new = [s for s in dict.fromkeys(settings) if self.log.find(self.bench.name, s) is None]
        if self.apart is None or len(new) < 2 or self._over(new[0]):
            return
        scores = self.apart(new)
        seconds = self.budget.settle() / len(new)
        for chosen, score in zip(new, scores, strict=True):
            self.log.add(Trial(self.stage, self.bench.name, chosen, score, seconds))

    def full(self, settings: ModelSettings) -> float:
        """The NDCG of settings, which become the best where they beat it by more than noise."""
        score = self._scored(settings)
        self.first = self.first or score
        if self.score is None or score.beats(self.score):
            self.best, self.score = settings, score
        self.told(self)
        return score.ndcg

    def rough(self, settings: ModelSettings) -> float:
        """The NDCG of settings that do not compete with the best."""
        score = self._scored(settings)
        self.told(self)
        return score.ndcg

    def _scored(self, settings: ModelSettings) -> Score:
        known = self.log.find(self.bench.name, settings)
        if known is not None:
            return known.score
        if self._over(settings):
            raise StageOver
        score = self.bench.score(settings)
        self.log.add(Trial(self.stage, self.bench.name, settings, score, self.budget.settle()))
        return score

    def _over(self, settings: ModelSettings) -> bool:
        """Whether a trial would end after the stage's share of the time; the very first is always made."""
        return self.first is not None and self.budget.elapsed + self._expected(settings) > self.budget.seconds * self.share

    def _expected(self, settings: ModelSettings) -> float:
        """Seconds that a trial will take, by the last alike in this stage, or by those with half as many factors."""
        alike = [t.seconds for t in self.log.trials if t.stage == self.stage and t.settings.factors == settings.factors]
        if alike:
            return alike[-1]
        half = [t.seconds for t in self.log.trials if t.settings.factors * 2 == settings.factors]
        return DOUBLING_COSTS * max(half, default=0.0)
