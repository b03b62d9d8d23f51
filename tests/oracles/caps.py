"""The contract's words on rules, in the plainest Python there is: slow, one send at a time, nothing shared with the package.

Times are naive UTC datetimes. Rules are the plain mappings of the config file (`Config.to_json()["rules"]`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
Rule = Mapping[str, Any]


@dataclass(frozen=True)
class Sent:
    """One message that went out or is reserved. `ours`: our own doing, so that it can be a violation."""

    user: str
    channel: str
    at: datetime
    items: tuple[str, ...] = ()
    categories: frozenset[str] = frozenset()
    transactional: bool = False
    ours: bool = True


def span(text: str) -> timedelta:
    """A duration such as `12h`."""
    return timedelta(**{UNITS[text[-1]]: int(text[:-1])})


def rolling_ok(times: Iterable[datetime], t: datetime, m: int, w: timedelta) -> bool:
    """True where a send at `t` beside `times` (which leave it out) makes or worsens no breach of `max: m, per: w`.

    Sends t1 <= t2 <= ...; every m + 1 in a row that hold `t` must span at least w.
    """
    row = sorted([*times, t])
    return all(row[i + m] - row[i] >= w for i in range(len(row) - m) if row[i] <= t <= row[i + m])


def period(t: datetime, per: str, zone: str) -> tuple[int, ...]:
    """The day, week (from Monday) or month of the user's time zone that holds `t`."""
    local = wall(t, zone)
    if per == "calendar_day":
        return (local.year, local.month, local.day)
    if per == "calendar_week":
        return tuple(local.isocalendar()[:2])
    return (local.year, local.month)


def calendar_ok(times: Iterable[datetime], t: datetime, m: int, per: str, zone: str) -> bool:
    """True where a send at `t` beside `times` is at most the m-th of its period."""
    return sum(period(other, per, zone) == period(t, per, zone) for other in times) + 1 <= m


def wall(t: datetime, zone: str) -> datetime:
    """The wall clock at `t`."""
    return t.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).replace(tzinfo=None)


@cache
def instant(local: datetime, zone: str, fold: int) -> datetime:
    """When the wall clock shows `local`, at its first pass (fold 0) or its last (fold 1).

    A time that does not exist moves to the first that does.
    """
    for minutes in range(48 * 60):
        shown = local + timedelta(minutes=minutes)
        t = shown.replace(tzinfo=ZoneInfo(zone), fold=fold if minutes == 0 else 0).astimezone(UTC).replace(tzinfo=None)
        if wall(t, zone) == shown:
            return t
    raise AssertionError(f"{zone} never shows a time after {local}")


def is_quiet(t: datetime, start: str, end: str, zone: str) -> bool:
    """True in [start, end) of the wall clock of `zone`; of a doubled hour both passes, reckoned either way."""
    first, last, shown = time.fromisoformat(start), time.fromisoformat(end), wall(t, zone)
    inside = first <= shown.time() < last if first < last else shown.time() >= first or shown.time() < last
    return inside or any(a <= t < b for a, b in _stretches(shown.date(), first, last, zone))


@cache
def _stretches(day: date, first: time, last: time, zone: str) -> list[tuple[datetime, datetime]]:
    """The quiet stretches that begin on the days around `day`, in UTC."""
    found = []
    for shift in (-2, -1, 0, 1):
        begin = day + timedelta(days=shift)
        finish = begin + timedelta(days=first > last)
        found.append((instant(datetime.combine(begin, first), zone, 0), instant(datetime.combine(finish, last), zone, 1)))
    return found


def fatigue_weight(times: Iterable[datetime], t: datetime, half_life: timedelta, strength: float) -> float:
    """(1 - strength)^F, F = the sum over sends at or before `t` of 2^(-age / half_life)."""
    tiredness = sum(2.0 ** (-((t - other) / half_life)) for other in times if other <= t)
    return float((1 - strength) ** tiredness)


def wait_of(run: int, rule: Rule) -> timedelta:
    """How long back_off keeps a channel silent after the last of `run` ignored sends; zero where it does not bind."""
    if run < rule.get("after_ignored", 3):
        return timedelta(0)
    wait, longest = span(rule.get("wait", "7d")), span(rule.get("max_wait", "30d"))
    for _ in range(run - rule.get("after_ignored", 3)):
        wait = min(wait * rule.get("factor", 2), longest)
    return min(wait, longest)


def bound(send: Sent, rule: Rule, channels: Sequence[str]) -> bool:
    """True where `rule` may forbid `send`."""
    kind = "transactional" if send.transactional else "marketing"
    return send.channel in (rule.get("channels") or channels) and kind not in rule.get("exempt", ())


def counted(send: Sent, rule: Rule, channels: Sequence[str]) -> bool:
    """True where `send` counts for `rule`: exempt sends do, unless count_exempt is false."""
    if send.channel not in (rule.get("channels") or channels):
        return False
    if rule.get("category") and rule["category"] not in send.categories:
        return False
    return rule.get("count_exempt", True) or bound(send, rule, channels)


def allowed(send: Sent, others: Sequence[Sent], rule: Rule, channels: Sequence[str], zone: str) -> bool:
    """True where `rule` lets `send` stand beside `others`, the user's other sends before and after it."""
    if not bound(send, rule, channels):
        return True
    if rule["rule"] == "quiet_hours":
        return not is_quiet(send.at, rule["from"], rule["to"], zone)
    peers = [o for o in others if counted(o, rule, channels)]
    if rule["rule"] == "min_gap":
        return rolling_ok([p.at for p in peers], send.at, 1, span(rule["gap"]))
    if rule["rule"] == "no_repeat":
        return all(rolling_ok([p.at for p in peers if item in p.items], send.at, 1, span(rule["within"])) for item in send.items)
    if rule["rule"] != "frequency_cap" or (rule.get("category") and rule["category"] not in send.categories):
        return True
    times = [p.at for p in peers]
    if str(rule["per"]).startswith("calendar_"):
        return calendar_ok(times, send.at, rule["max"], rule["per"], zone)
    return rolling_ok(times, send.at, rule["max"], span(rule["per"]))


def violations(sends: Sequence[Sent], rules: Sequence[Rule], zones: Mapping[str, str], channels: Sequence[str]) -> list[tuple[Sent, int]]:
    """Each of our sends that breaks a rule, with the rule's number; `zones` holds every user's zone.

    Checks quiet_hours, frequency_cap, min_gap and no_repeat: what follows from the sends themselves.
    """
    found = []
    for i, send in enumerate(sends):
        others = [o for j, o in enumerate(sends) if j != i and o.user == send.user]
        broken = [n for n, rule in enumerate(rules) if not allowed(send, others, rule, channels, zones[send.user])]
        found += [(send, n) for n in broken if send.ours]
    return found
