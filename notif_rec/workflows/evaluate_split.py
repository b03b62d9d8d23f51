"""`evaluate --train FILE --test FILE`: a split that somebody else made, so that published tables can be reproduced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.fit import Evidence, Step
from notif_rec.models.metrics import Targets
from notif_rec.models.pair_file import Coded, encode, positions, read_pairs
from notif_rec.models.taste import NO_CHANNEL, taste_of
from notif_rec.scoring.candidates import Lists
from notif_rec.scoring.contenders import Asked, take_users
from notif_rec.workflows.backtest import ALL, EvaluateResult, backtest, fit_contender


def evaluate_split(train: Path, test: Path, config: Config, k: int, *, jobs: int = 1, progress: Step | None = None) -> EvaluateResult:
    """How well a model of the pairs in `train` foretells those in `test`; every item of `train` is ranked, the user's own left out.

    Every test pair counts in recall and the rest, also of an item that `train` does not know and no list can hold, as published
    tables have it; those that stand in `train` too do not. A user whom `train` does not know gets what is popular.
    """
    past = encode(read_pairs(train))
    user_row, targets, repeated = _targets(test, past)
    if not len(user_row):
        raise DataError(f"{test}: every pair stands in {train} too: nothing is left to foretell", "leave the test pairs out of --train")
    user_items = past.user_items()
    evidence = Evidence(taste_of(user_items), user_items.shape[1])
    contender = fit_contender(ALL, NO_CHANNEL, evidence, config.model, seed=config.seed % 2**32, threads=jobs, progress=progress)
    own = take_users(evidence.taste, user_row)
    no_segment = np.full(len(user_row), -1, np.int32)
    asked = Asked(own, own, user_row, no_segment, np.ones(evidence.n_items, dtype=bool), Lists(own.offsets, own.item_index))
    found = backtest(contender, evidence, asked, targets, unreachable=repeated, k=k, seed=config.seed, threads=jobs)
    return EvaluateResult(k, config.seed, {ALL: found})


def _targets(test: Path, past: Coded) -> tuple[npt.NDArray[np.int32], Targets, int]:
    """Users with a target, by user_id, as rows of `past` (-1 unknown); what they took; how many pairs they had before.

    Items that `past` does not know come behind those that it knows.
    """
    later = encode(read_pairs(test))
    n_items = len(past.item_ids)
    row_of, item_of = positions(later.user_ids, past.user_ids), positions(later.item_ids, past.item_ids)
    row, item = row_of[later.user], np.where(item_of < 0, n_items + np.arange(len(item_of)), item_of)[later.item]
    had = np.isin(row.astype(np.int64) * n_items + item, past.user.astype(np.int64) * n_items + past.item) & (row >= 0) & (item < n_items)
    who, place = np.unique(later.user[~had], return_inverse=True)
    return row_of[who], Targets.from_pairs(place, item[~had], len(who)), int(had.sum())
