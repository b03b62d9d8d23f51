"""A store at a split and what users took afterwards, as questions to ask of a model: who, what may be listed, what was right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

import duckdb
import numpy as np
import numpy.typing as npt
from scipy import sparse

from notif_rec.config import Config
from notif_rec.errors import DataError
from notif_rec.models.metrics import Targets
from notif_rec.models.segments import segments_of
from notif_rec.models.settings import ModelSettings
from notif_rec.scoring.candidates import Lists
from notif_rec.scoring.contenders import Asked, take_users
from notif_rec.scoring.live_items import live_items
from notif_rec.workflows.backtest import ALL
from notif_rec.workflows.evidence import Reading, read_evidence
from notif_rec.workflows.hindsight import Future, forget_after, read_future, seen_before

Ints = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Scene:
    """Both sides of a split. Codes of users and items are the store's, rows are the reading's.

    seen: (user codes, item rows) 1 where the user had the item before. live: channel → (n_items,) what could be listed at the
    split. users, segment: everybody with a target on any channel, by user_id. code: channel → its code.
    """

    config: Config
    reading: Reading
    future: Future
    seen: sparse.csr_matrix
    live: Mapping[str, Bools]
    users: Ints
    segment: Ints

    @property
    def code(self) -> dict[str, int]:
        """Each channel's place in the config; `all` has the next one, which no event has."""
        return {name: place for place, name in enumerate((*self.config.channel_names, ALL))}

    def exclude_seen(self, channel: str) -> bool:
        """The channel's own setting; for `all`, whether every channel says so."""
        channels = self.config.channels
        return all(c.exclude_seen for c in channels.values()) if channel == ALL else channels[channel].exclude_seen

    def settings(self, channel: str) -> ModelSettings:
        """The channel's model settings, repeats and all; `all` takes every sign of taste fully."""
        model = self.config.model
        if channel == ALL:
            return model.model_copy(update={"transfer": 1.0})
        own = self.config.model_of(channel)
        repeat = own.similar.repeat or model.similar.repeat
        return own.model_copy(update={"similar": own.similar.model_copy(update={"repeat": repeat})})


@dataclass(frozen=True)
class Question:
    """Users with a target, who they are to the model, and what was right. unreachable: targets that no list could hold."""

    asked: Asked
    targets: Targets
    unreachable: int


def read_scene(
    con: duckdb.DuckDBPyConnection, config: Config, split: datetime, until: datetime, half_lives: tuple[timedelta | None, ...] = ()
) -> Scene:
    """Both sides of the split; DataError where one is empty. `con` knows nothing after the split from then on."""
    future, seen = read_future(con, config, split, until), seen_before(con, config, split)
    forget_after(con, split)
    own = [config.model_of(name).half_life for name in config.channel_names]
    reading = read_evidence(con, config, split, [config.model.half_life, *own, None, *half_lives])
    known = reading.known
    if not known.taste.n_users:
        raise DataError(f"no sign of taste before {split.isoformat()}Z", "choose a later --as-of, or a shorter --horizon")
    live = {name: live_items(con, known.item_codes, name, split) for name in config.channel_names}
    live[ALL] = np.logical_or.reduce(list(live.values()))
    users = future.user[np.sort(np.unique(future.user, return_index=True)[1])]
    return Scene(config, reading, future, seen[:, known.item_codes].tocsr(), live, users, segments_of(con, reading.segments, users))


def ask(
    scene: Scene, channel: str, settings: ModelSettings, *, exclude_seen: bool, most_users: int | None = None, only_known: bool = False
) -> Question:
    """The users who took something on the channel after the split, by user_id, and what they took.

    exclude_seen: what a user had before is neither listed nor right. most_users: of more, every n-th is asked. only_known: not
    users without a past, who tell nothing of most settings.
    """
    place, item, unreachable = _right_answers(scene, channel, exclude_seen)
    who, row = np.unique(place, return_inverse=True)
    targets = Targets.from_pairs(row, item, len(who))
    rows = _looked_up(scene.reading.known.user_codes, scene.users[who])
    chosen = np.flatnonzero(rows >= 0) if only_known else np.arange(len(who))
    if most_users and len(chosen) > most_users:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most_users).astype(np.int64)]
    who, rows, targets = who[chosen], rows[chosen], targets.rows(chosen)
    codes = scene.users[who]
    asked = Asked(
        taste=take_users(scene.reading.tastes[settings.half_life].taste, rows),
        often=take_users(scene.reading.tastes[None].taste, rows),
        user_row=rows,
        segment=scene.segment[who],
        eligible=scene.live[channel],
        exclude=_lists(scene.seen[codes]) if exclude_seen else None,
    )
    return Question(asked, targets, unreachable)


def _right_answers(scene: Scene, channel: str, exclude_seen: bool) -> tuple[npt.NDArray[np.int64], Ints, int]:
    """Places in `scene.users` and item rows of the targets, and how many were left out because they were not live."""
    future = scene.future
    inside = np.ones(len(future.user), dtype=bool) if channel == ALL else future.channel == scene.code[channel]
    user, row = future.user[inside], _looked_up(scene.reading.known.item_codes, future.item[inside])
    reachable = (row >= 0) & scene.live[channel][row]
    user, row = user[reachable], row[reachable]
    if exclude_seen and len(user):
        fresh = np.asarray(scene.seen[user, row]).ravel() == 0
        user, row = user[fresh], row[fresh]
    order = np.argsort(scene.users, kind="stable")
    place = order[np.searchsorted(scene.users, user, sorter=order)]
    return place, row, int((~reachable).sum())


def _looked_up(codes: Ints, wanted: Ints) -> Ints:
    """The row of each wanted code in `codes`, -1 where it is not there."""
    row = np.full(max(int(codes.max(initial=-1)), int(wanted.max(initial=-1))) + 1, -1, np.int32)
    row[codes] = np.arange(len(codes), dtype=np.int32)
    return row[wanted]


def _lists(rows: sparse.csr_matrix) -> Lists:
    return Lists(rows.indptr.astype(np.int64), rows.indices.astype(np.int32))
