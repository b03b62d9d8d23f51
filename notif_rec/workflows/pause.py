"""Stops and allows sending, on one channel or on all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from notif_rec.errors import UsageError, did_you_mean
from notif_rec.store.rows import PauseRow, ResumeRow
from notif_rec.store.store import Store

ALL = ""


@dataclass(frozen=True)
class PauseResult:
    """The channels that must not send now; `all` where everything is paused."""

    paused: tuple[str, ...]
    changed: bool

    def to_json(self) -> dict[str, Any]:
        """As the command's --json."""
        return {"paused": list(self.paused), "changed": self.changed}


def pause(store: Store, channels: Sequence[str], channel: str | None, since: datetime) -> PauseResult:
    """Pauses `channel`, or all; plan and apply honour it at once."""
    name = _known(channel, channels)
    with store.lock():
        changed = name not in {row.channel for row in store.pauses()}
        if changed:
            store.commit("pause", {}, rows=[PauseRow(name, since)])
        return PauseResult(_names(store), changed)


def resume(store: Store, channels: Sequence[str], channel: str | None) -> PauseResult:
    """Ends the pause of `channel`, or, without one, every pause."""
    name = _known(channel, channels)
    with store.lock():
        paused = [row.channel for row in store.pauses()]
        ended = paused if name == ALL else [name] if name in paused else []
        if name != ALL and ALL in paused:
            raise UsageError(f"'{name}' cannot be resumed alone while all channels are paused", "`notif-rec resume` ends every pause")
        if ended:
            store.commit("resume", {}, rows=[ResumeRow(c) for c in ended])
        return PauseResult(_names(store), bool(ended))


def _known(channel: str | None, channels: Sequence[str]) -> str:
    if channel is not None and channel not in channels:
        raise UsageError(f"unknown channel '{channel}'{did_you_mean(channel, channels)}", f"one of: {', '.join(channels)}")
    return channel or ALL


def _names(store: Store) -> tuple[str, ...]:
    return tuple(row.channel or "all" for row in store.pauses())
