"""Trials of a search done side by side: each a piece of work that knows where the data are, and reads them once a process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from notif_rec.config import Config
from notif_rec.models.settings import ModelSettings
from notif_rec.scoring.bench import Bench, Score
from notif_rec.store.snapshot import Snapshot
from notif_rec.workflows.backtest import ALL
from notif_rec.workflows.tune_data import TuneData, last_slice

K = 20
KEPT = 2  # benches that a process remembers
_benches: OrderedDict[tuple[str, str], Bench] = OrderedDict()


@dataclass(frozen=True)
class LastSlice:
    """The store's last `horizon` before as-of. newest: the last commit of what is read."""

    snapshot: Snapshot
    config: Config
    as_of: datetime
    horizon: timedelta
    newest: int
    threads: int

    def __call__(self) -> TuneData:
        """Reads it; the connection stays open for as long as the data."""
        return last_slice(self.snapshot.connect(threads=self.threads), self.config, self.as_of, self.horizon, self.newest)


@dataclass(frozen=True)
class TrialApart:
    """Scores settings on a channel. digest: tells these data from others."""

    read: Callable[[], TuneData]
    digest: str
    channel: str
    seed: int
    threads: int
    k: int = K

    def __call__(self, settings: ModelSettings) -> Score:
        """As Bench.score; a process that is asked again knows the data."""
        key = (self.digest, self.channel)
        if key not in _benches:
            _benches[key] = self._bench()
            while len(_benches) > KEPT:
                _benches.popitem(last=False)
        _benches.move_to_end(key)
        return _benches[key].score(settings)

    def _bench(self) -> Bench:
        data = self.read()
        situation = data.situation if self.channel == ALL else data.channels[self.channel]
        return Bench(self.channel, data.code[self.channel], situation, k=self.k, seed=self.seed, threads=self.threads, step=_silent)


def _silent(stage: str, done: int, total: int) -> None:
    return None
