"""What scoring/features.py must count for one user, worked out the long way from plain dicts."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from notif_rec.planning.facts import Facts

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
Row = dict[str, Any]


def features(
    sends: list[Row], answers: list[tuple[datetime, str]], visits: list[datetime], first: datetime | None, provisional: bool,
    channel: str, facts: Facts, now: datetime,
) -> dict[str, float]:  # fmt: skip
    """sends: at, channel, items (how many), opened_at, clicks (times, one an item that was clicked). All sorted by time, whatever comes
    after `now` among them."""
    back = timedelta(microseconds=facts.response_us)
    known = [s for s in sends if now - back <= s["at"] < now]
    opened = {id(s): s["opened_at"] is not None and s["opened_at"] < now for s in known}
    clicks = {id(s): [at for at in s["clicks"] if at < now] for s in known}
    judged = [s for s in known if opened[id(s)] or now - s["at"] >= DAY]
    own, own_judged = ([s for s in of if s["channel"] == channel] for of in (known, judged))
    all_clicks = [(at, s["channel"]) for s in sends for at in s["clicks"] if now - back < at < now]
    at = facts.channels.index(channel)
    open_rate, click_rate = facts.benchmarks[at]
    heard = [when for when, _ in answers if when < now]
    own_heard = [when for when, name in answers if when < now and name == channel]
    came = [when for when in visits if when < now]
    last_answer = max([*own_heard, *came], default=datetime.min)
    n_opens, n_clicks = sum(opened[id(s)] for s in own_judged), sum(name == channel for _, name in all_clicks)
    n_items, all_items = sum(s["items"] for s in own_judged), sum(s["items"] for s in judged)
    unopened = 0
    for send in reversed(own_judged):
        if opened[id(send)]:
            break
        unopened += 1
    return {
        "sends": len(own_judged), "opens": n_opens, "items": n_items, "clicks": n_clicks,
        **_counts("sends", [s["at"] for s in own], now), **_counts("all_sends", [s["at"] for s in known], now),
        "gap_h": _hours(max((s["at"] for s in own), default=now - back), now, back),
        "all_gap_h": _hours(max((s["at"] for s in known), default=now - back), now, back),
        "fatigue": sum(2 ** -((now - s["at"]) / _half_life(facts, at)) for s in own),
        "ignored": sum(s["at"] > last_answer and now - s["at"] >= DAY for s in own),
        "unopened": unopened,
        "open_rate": (n_opens + 5 * open_rate) / (len(own_judged) + 5),
        "open_rate_fast": _lately([opened[id(s)] for s in own_judged], 3, open_rate),
        "open_rate_slow": _lately([opened[id(s)] for s in own_judged], 12, open_rate),
        "click_rate": min((n_clicks + 20 * click_rate) / (n_items + 20), 1.0),
        "click_rate_slow": _lately([bool(clicks[id(s)]) for s in own_judged], 12, click_rate),
        "all_open_rate": (sum(opened[id(s)] for s in judged) + 5 * open_rate) / (len(judged) + 5),
        "all_click_rate": min((len(all_clicks) + 20 * click_rate) / (all_items + 20), 1.0),
        "answer_h": _hours(max(own_heard, default=datetime.min), now, back),
        "all_answer_h": _hours(max(heard, default=datetime.min), now, back),
        "visit_h": _hours(max(came, default=datetime.min), now, back),
        **_counts("visits", came, now),
        "tenure_d": max((now - first) / DAY, 0) if first else 0.0,
        "provisional": float(provisional),
    }  # fmt: skip


def _counts(name: str, times: list[datetime], now: datetime) -> dict[str, float]:
    return {f"{name}_{days}d": sum(now - at <= days * DAY for at in times) for days in (1, 7, 30)}


def _hours(last: datetime, now: datetime, back: timedelta) -> float:
    return min(now - last, back) / HOUR


def _half_life(facts: Facts, channel: int) -> timedelta:
    return timedelta(microseconds=facts.tiring_half_life_us[channel]) if facts.tiring_half_life_us else 3 * DAY


def _lately(hits: list[bool], half_life: float, benchmark: float) -> float:
    weights = [2 ** (-place / half_life) for place in range(len(hits))]
    return (sum(w for w, hit in zip(weights, reversed(hits), strict=True) if hit) + benchmark) / (sum(weights) + 1)
