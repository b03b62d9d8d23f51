"""The planner's constraints and objective in plain Python, over the facts of a World; the rules by tests/oracles/caps.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from notif_rec.planning.context import PlanContext
from notif_rec.planning.grid import STEP_US
from notif_rec.planning.offered import Offers
from tests.oracles.caps import Sent, allowed, bound, counted, fatigue_weight, span
from tests.planning.worlds import Person, World

EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Option:
    """One offer as the oracle sees it."""

    row: int
    send: Sent
    value: float
    content: int


def moment(us: int) -> datetime:
    return EPOCH + timedelta(microseconds=us)


def sent(world: World, person: Person, us: int, channel: str, items: Sequence[int], ours: bool) -> Sent:
    """A send of items (store codes)."""
    categories = frozenset(world.category[i] for i in items if i in world.category)
    transactional = bool(items) and all(i in world.transactional for i in items)
    return Sent(person.user_id, channel, moment(us), tuple(str(i) for i in items), categories, transactional, ours)


def past(world: World, person: Person) -> list[Sent]:
    """The sends already known, ours or not; none of them is judged."""
    return [sent(world, person, us, world.names[c], items, False) for us, c, items, _ in person.sends]


def options(world: World, offers: Offers, context: PlanContext, user: int) -> list[Option]:
    """The offers of one user of the batch, which holds the world's people in order."""
    rows = range(int(offers.start[user]), int(offers.start[user + 1]))
    items = offers.item
    found = []
    for row in rows:
        codes = [int(context.model.item_codes[i]) for i in items[row] if i >= 0]
        us = context.grid.first_us + STEP_US * int(offers.moment[row])
        channel = context.names[context.lanes.channel[offers.lane[row]]]
        found.append(
            Option(row, sent(world, world.people[user], us, channel, codes, True), float(offers.value[row]), int(offers.content[row]))
        )
    return found


def zone(world: World, person: Person) -> str:
    return person.timezone or world.settings.timezone


def feasible(world: World, person: Person, sends: Sequence[Sent]) -> bool:
    """Whether all of `sends` may go out together beside what is known: rules, max_sends, one send a channel and moment."""
    known = past(world, person)
    for i, send in enumerate(sends):
        others = [*known, *sends[:i], *sends[i + 1 :]]
        if any(o.channel == send.channel and o.at == send.at for o in others):
            return False
        if not all(allowed(send, others, rule, world.names, zone(world, person)) for rule in world.rules):
            return False
    return all(room(world, person, c.name) >= sum(s.channel == c.name for s in sends) for c in world.channels)


def room(world: World, person: Person, channel: str) -> int:
    """max_sends less our sends inside the horizon."""
    start, end = world.settings.as_of_us, world.settings.end_us
    most = next(c.max_sends for c in world.channels if c.name == channel)
    return max(0, most - sum(ours and world.names[c] == channel and start <= us < end for us, c, _, ours in person.sends))


def worth(world: World, person: Person, chosen: Sequence[Option]) -> float:
    """Σ in time order of value × what fatigue leaves; of two sends at one moment the channel first in the alphabet is the earlier."""
    before, total = past(world, person), 0.0
    for option in sorted(chosen, key=lambda o: (o.send.at, o.send.channel)):
        left = 1.0
        for rule in world.rules:
            if rule["rule"] == "fatigue" and bound(option.send, rule, world.names):
                times = [s.at for s in before if s.at <= option.send.at and counted(s, rule, world.names)]
                left *= fatigue_weight(times, option.send.at, span(rule["half_life"]), rule["strength"])
        total += option.value * left
        before.append(option.send)
    return total


def feasible_sets(world: World, person: Person, found: Sequence[Option]) -> Iterator[tuple[Option, ...]]:
    """Every set of offers that may go out together, the empty one first; what is infeasible stays so when more is added."""
    yield from _grown(world, person, found, ())


def _grown(world: World, person: Person, rest: Sequence[Option], chosen: tuple[Option, ...]) -> Iterator[tuple[Option, ...]]:
    yield chosen
    for n, option in enumerate(rest):
        if any(excludes(option, o) for o in chosen):
            continue
        if feasible(world, person, [o.send for o in (*chosen, option)]):
            yield from _grown(world, person, rest[n + 1 :], (*chosen, option))


def excludes(a: Option, b: Option) -> bool:
    """One plan holds a message once, and an item once a channel."""
    return a.content == b.content or (a.send.channel == b.send.channel and bool(set(a.send.items) & set(b.send.items)))


def best_worth(world: World, person: Person, found: Sequence[Option]) -> float:
    """The most that any feasible set is worth."""
    return max(worth(world, person, chosen) for chosen in feasible_sets(world, person, found))


def rows_of(decisions: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One dict a send, with its user and the list of its items."""
    sends: dict[tuple[int, str], dict[str, Any]] = {}
    for row in decisions:
        for item in row["sends"]:
            send = sends.setdefault((row["user"], item["send_key"]), {**item, "user": row["user"], "items": []})
            send["items"].append(item["item"])
    return list(sends.values())
