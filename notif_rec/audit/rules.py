"""Each rule of a policy once more, as SQL over the audit's tables; nothing here is shared with the planner.

A check is a query that returns the sends that break it: (send_key, user, channel, detail).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from notif_rec.audit.facts import span_us

Entry = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """A query over the audit's tables, and what to call its finds."""

    name: str
    sql: str
    values: dict[str, Any] = field(default_factory=dict)


def rule_checks(rules: Sequence[Entry], channels: Sequence[str]) -> Iterator[Check]:
    """The checks of a policy's rules; a rule that only lowers value has none."""
    for number, entry in enumerate(rules):
        build = CHECKS.get(str(entry["rule"]))
        if build is not None:
            scope = {"channels": list(entry.get("channels") or channels), "exempt": "transactional" in (entry.get("exempt") or [])}
            scope["exempt_marketing"] = "marketing" in (entry.get("exempt") or [])
            scope["counts"] = bool(entry.get("count_exempt", True))
            yield from (Check(f"{entry['rule']}[{number}]", c.sql, {**scope, **c.values}) for c in build(entry))


def unchecked(rules: Sequence[Entry]) -> list[str]:
    """Rules of the policy that no query here covers."""
    return sorted({str(r["rule"]) for r in rules} - set(CHECKS) - {"fatigue", "recovering"})


BOUND = "NOT ((transactional AND $exempt) OR (NOT transactional AND $exempt_marketing))"
IN_SCOPE = f"list_contains($channels, channel) AND ($counts OR {BOUND})"

# Every m + 1 counted sends in a row that lie closer than the window: each of ours among them is at fault.
ROLLING = f"""
WITH counted AS (
  SELECT *, mine AND {BOUND} AS bound,
         row_number() OVER (PARTITION BY "user" ORDER BY at_us, key) AS place,
         at_us - lag(at_us, $maximum) OVER (PARTITION BY "user" ORDER BY at_us, key) AS span
  FROM history WHERE {IN_SCOPE} AND ($category = '' OR list_contains(categories, $category)))
SELECT DISTINCT c.key, c."user", c.channel, format('more than {{}} in its window', $maximum)
FROM counted b JOIN counted c ON c."user" = b."user" AND c.place BETWEEN b.place - $maximum AND b.place
WHERE b.span < $window AND c.bound
"""

CALENDAR = f"""
WITH counted AS (
  SELECT h.*, mine AND {BOUND} AS bound, date_trunc($period, make_timestamp(at_us + offset_us)) AS period
  FROM (SELECT * FROM history JOIN zone_of USING ("user")) h ASOF JOIN clocks c ON c.timezone = h.timezone AND h.at_us >= c.since_us
  WHERE {IN_SCOPE} AND ($category = '' OR list_contains(categories, $category)))
SELECT key, "user", channel, format('more than {{}} in the {{}} of {{}}', $maximum, $period, period)
FROM (SELECT *, count(*) OVER (PARTITION BY "user", period) AS n FROM counted) WHERE n > $maximum AND bound
"""

NO_REPEAT = f"""
WITH counted AS (
  SELECT key, "user", channel, at_us, unnest(items) AS item, mine, transactional FROM history WHERE {IN_SCOPE})
SELECT DISTINCT a.key, a."user", a.channel, format('item {{}} again within the window', i.item_id)
FROM counted a JOIN counted b ON a."user" = b."user" AND a.item = b.item AND a.key <> b.key AND abs(a.at_us - b.at_us) < $window
JOIN item_ids i ON i.item = a.item
WHERE a.mine AND {BOUND.replace("transactional", "a.transactional")} AND a.item >= 0
"""

QUIET = f"""
WITH sent AS (
  SELECT *, CAST(make_timestamp(at_us + offset_us) AS TIME) AS wall
  FROM ours o ASOF JOIN clocks c ON c.timezone = o.timezone AND o.at_us >= c.since_us
  WHERE list_contains($channels, channel) AND {BOUND})
SELECT send_key, "user", channel, format('{{}} is in quiet hours', wall) FROM sent
WHERE CASE WHEN $start < $end THEN wall >= CAST($start AS TIME) AND wall < CAST($end AS TIME)
           ELSE wall >= CAST($start AS TIME) OR wall < CAST($end AS TIME) END
"""

# An engagement is an open or click on the channel, or a visit that no message caused; a send is ignored when none follows in 24 h.
BACK_OFF = f"""
WITH engaged AS (
  SELECT "user", channel, epoch_us(timestamp) AS at_us FROM events
  WHERE (event IN ('opened', 'clicked') AND (channel = '' OR list_contains($channels, channel)))
     OR (channel = '' AND event NOT IN ('sent', 'delivered', 'dismissed', 'unsubscribed', 'subscribed', 'complained', 'bounced'))),
active AS (
  SELECT DISTINCT channel FROM events WHERE event IN ('opened', 'clicked') AND list_contains($channels, channel)
    AND epoch_us(timestamp) >= $as_of - 30 * 86400000000 AND epoch_us(timestamp) < $as_of),
judged AS (
  SELECT h.*, EXISTS (SELECT 1 FROM engaged e WHERE e."user" = h."user" AND (e.channel = h.channel OR e.channel = '')
                      AND e.at_us >= h.at_us AND e.at_us < h.at_us + 86400000000 AND e.at_us < $as_of) AS answered
  FROM history h SEMI JOIN active a ON a.channel = h.channel WHERE h.at_us + 86400000000 <= $as_of AND {IN_SCOPE}),
last_answer AS (
  SELECT h."user", h.channel, max(e.at_us) AS at_us FROM (SELECT DISTINCT "user", channel FROM judged) h
  JOIN engaged e ON e."user" = h."user" AND (e.channel = h.channel OR e.channel = '') WHERE e.at_us < $as_of GROUP BY ALL),
runs AS (
  SELECT j."user", j.channel, count(*) AS n, max(j.at_us) AS last_us FROM judged j
  LEFT JOIN last_answer l ON l."user" = j."user" AND l.channel = j.channel
  WHERE NOT j.answered AND (l.at_us IS NULL OR j.at_us > l.at_us) GROUP BY ALL)
SELECT o.send_key, o."user", o.channel, format('{{}} ignored in a row', r.n)
FROM ours o JOIN runs r ON r."user" = o."user" AND r.channel = o.channel
WHERE {BOUND} AND r.n >= $after
  AND o.at_us < r.last_us + least($longest, $wait * pow($factor, least(r.n - $after, 64)))
"""


def _cap(entry: Entry) -> Iterator[Check]:
    values = {"maximum": int(entry["max"]), "category": entry.get("category") or ""}
    per = str(entry["per"])
    if per.startswith("calendar_"):
        yield Check("", CALENDAR, {**values, "period": per.removeprefix("calendar_")})
    else:
        yield Check("", ROLLING, {**values, "window": span_us(per)})


def _gap(entry: Entry) -> Iterator[Check]:
    yield Check("", ROLLING, {"maximum": 1, "category": "", "window": span_us(str(entry["gap"]))})


def _no_repeat(entry: Entry) -> Iterator[Check]:
    yield Check("", NO_REPEAT, {"window": span_us(str(entry["within"]))})


def _quiet(entry: Entry) -> Iterator[Check]:
    yield Check("", QUIET, {"start": str(entry["from"]), "end": str(entry["to"])})


def _back_off(entry: Entry) -> Iterator[Check]:
    wait = span_us(str(entry["wait"]))
    longest = span_us(str(entry["max_wait"])) if entry.get("max_wait") else wait
    yield Check(
        "", BACK_OFF, {"after": int(entry["after_ignored"]), "wait": wait, "factor": float(entry.get("factor", 1)), "longest": longest}
    )


def _nothing(_: Entry) -> Iterator[Check]:
    return iter(())  # checked for every policy, in audit/always.py


CHECKS: dict[str, Callable[[Entry], Iterator[Check]]] = {
    "frequency_cap": _cap,
    "min_gap": _gap,
    "no_repeat": _no_repeat,
    "quiet_hours": _quiet,
    "back_off": _back_off,
    "opt_in": _nothing,
    "known_timezone": _nothing,
}
