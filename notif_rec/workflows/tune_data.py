"""What `tune` learns from and what it validates on: the last slice of time, or pairs set apart by chance where there are no times."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.fit import Evidence
from notif_rec.models.interactions import read_interactions
from notif_rec.models.metrics import Targets
from notif_rec.models.pair_file import Coded, encode, read_pairs
from notif_rec.models.settings import ModelSettings
from notif_rec.models.taste import NO_CHANNEL, taste_of
from notif_rec.scoring.bench import Situation
from notif_rec.scoring.candidates import Lists
from notif_rec.scoring.contenders import Asked, take_users
from notif_rec.workflows.backtest import ALL
from notif_rec.workflows.scene import Scene, ask, read_scene
from notif_rec.workflows.trial_log import fingerprint

SET_APART = 0.2  # of each user's pairs, as published splits have it: a share of all pairs would ask the busy, for one item each
LAST_PART = 0.1  # of the pairs, where times are known
MOST_USERS = 10_000  # that are asked in a trial
LEAST_USERS = 200  # asked on a channel for it to have settings of its own
Ask = Callable[[ModelSettings], Situation]


@dataclass(frozen=True)
class TuneData:
    """Situations by settings, over everything and of the channels with enough of their own.

    code: of `all` and each channel. span: from the first sign of taste to the last that is learnt from; None where times are not
    known. repeats: whether what a user had may come again. texts: whether items say anything of themselves. digest: tells these data
    from others. told: what is validated on, in words.
    """

    situation: Ask
    channels: Mapping[str, Ask]
    code: Mapping[str, int]
    span: timedelta | None
    repeats: bool
    texts: bool
    digest: str
    told: str


def set_apart(path: Path, config: Config) -> TuneData:
    """The pairs of a file, the last tenth by `timestamp` or a fifth of each user's by chance held back for validation."""
    pairs = read_pairs(path)
    coded = encode(pairs)
    n = len(pairs)
    if pairs.time is None:
        held = _some_of_each(coded.user, config.seed)
    else:
        held = np.argsort(np.argsort(pairs.time, kind="stable"), kind="stable") >= n - int(n * LAST_PART)
    situation = _carved(coded, held, path)
    told = f"{int(held.sum())} of {n} pairs of {path.name}, {'by chance' if pairs.time is None else 'the last by time'}"
    digest = fingerprint("pairs", pairs.digest, config.seed, SET_APART, LAST_PART, MOST_USERS)
    return TuneData(lambda settings: situation, {}, {ALL: NO_CHANNEL}, None, False, False, digest, told)


def _some_of_each(user: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.bool_]:
    """(n_pairs,) True for SET_APART of each user's pairs, rounded, by chance; none of a user's two."""
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), user))
    count = np.bincount(user)
    place = np.empty(len(user), np.int64)
    place[order] = np.arange(len(user)) - np.repeat(np.cumsum(count) - count, count)
    held: npt.NDArray[np.bool_] = place < np.rint(count * SET_APART)[user]
    return held


def _carved(coded: Coded, held: npt.NDArray[np.bool_], path: Path) -> Situation:
    kept = replace(coded, user=coded.user[~held], item=coded.item[~held]).user_items()
    pair = coded.user.astype(np.int64) * len(coded.item_ids) + coded.item
    had = np.isin(pair[held], pair[~held])
    known = np.diff(kept.indptr)[coded.user[held]] > 0
    user, item = coded.user[held][~had & known], coded.item[held][~had & known]
    if not len(user):
        raise DataError(f"{path}: too few pairs to set some apart", "give it users with several items each")
    who, place = np.unique(user, return_inverse=True)
    targets = Targets.from_pairs(place, item, len(who))
    chosen = _some_of(len(who))
    taste = taste_of(kept)
    own = take_users(taste, who[chosen])
    nowhere = np.full(len(chosen), -1, np.int32)
    everything = np.ones(kept.shape[1], dtype=bool)
    asked = Asked(own, own, who[chosen].astype(np.int32), nowhere, everything, Lists(own.offsets, own.item_index))
    return Situation(Evidence(taste, kept.shape[1]), asked, targets.rows(chosen))


def _some_of(n: int) -> npt.NDArray[np.int64]:
    """All places, or MOST_USERS of them, evenly spread."""
    return np.arange(n) if n <= MOST_USERS else np.linspace(0, n - 1, MOST_USERS).astype(np.int64)


def last_slice(con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime, horizon: timedelta, newest: int) -> TuneData:
    """What came before the last `horizon` before as-of, or before the newest event where that is older, and what came in it.

    `con` must stay open for as long as the data are asked. newest: the last commit of what is read.
    """
    first, newest_sign = _first_and_newest(con, config, as_of)
    until = min(as_of, newest_sign + timedelta(microseconds=1))
    scene = read_scene(con, config, until - horizon, until)
    asking = _Asking(con, scene)
    asks = {name: asking.of(name) for name in scene.code}
    most = {name: len(asks[name](config.model).targets.count) for name in scene.code}
    if not most[ALL]:
        raise DataError(f"nobody whose taste was known took anything in the {horizon} before {until}Z", "choose a longer --horizon")
    channels = {name: asks[name] for name in config.channel_names if most[name] >= LEAST_USERS}
    seen = [scene.exclude_seen(name) for name in scene.code]
    digest = fingerprint("store", newest, until, horizon, config.events, list(scene.code), seen, config.seed, MOST_USERS)
    told = f"what {most[ALL]} users took from {(until - horizon).isoformat(timespec='seconds')}Z on"
    return TuneData(
        asks[ALL],
        channels,
        scene.code,
        until - horizon - first,
        not scene.exclude_seen(ALL),
        scene.reading.texts.words.nnz > 0,
        digest,
        told,
    )


def _first_and_newest(con: duckdb.DuckDBPyConnection, config: Config, as_of: datetime) -> tuple[datetime, datetime]:
    taste = [name for name, weight in config.events.items() if weight > 0]
    query = "SELECT min(timestamp), max(timestamp) FROM events WHERE list_contains($names, event) AND timestamp < $as_of"
    first, newest = con.execute(query, {"names": taste, "as_of": as_of}).fetchall()[0]
    if newest is None:
        raise DataError(
            f"no sign of taste before {as_of.isoformat()}Z", "choose a later --as-of, ingest events, or give `events:` a weight above 0"
        )
    return first, newest


class _Asking:
    """Situations of a scene; signs of taste are read once for each half-life."""

    def __init__(self, con: duckdb.DuckDBPyConnection, scene: Scene) -> None:
        self._con, self._scene = con, scene
        self._kept: dict[object, Situation] = {}

    def of(self, channel: str) -> Ask:
        """The channel's situations, by settings."""

        def situation(settings: ModelSettings) -> Situation:
            key = (channel, settings.half_life, settings.recent_half_life)
            if key not in self._kept:
                self._kept[key] = self._made(channel, settings)
            return self._kept[key]

        return situation

    def _made(self, channel: str, settings: ModelSettings) -> Situation:
        scene = self._with_half_life(settings.half_life)
        question = ask(scene, channel, settings, exclude_seen=scene.exclude_seen(channel), most_users=MOST_USERS, only_known=True)
        return Situation(scene.reading.evidence(settings), question.asked, question.targets)

    def _with_half_life(self, half_life: timedelta | None) -> Scene:
        reading, config = self._scene.reading, self._scene.config
        if half_life not in reading.tastes:
            names = config.channel_names
            read = read_interactions(self._con, reading.as_of, events=config.events, channels=names, half_life=half_life)
            self._scene = replace(self._scene, reading=replace(reading, tastes={**reading.tastes, half_life: read}))
        return self._scene
