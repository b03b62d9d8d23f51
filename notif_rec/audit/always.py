"""What binds every plan, rule or no rule: consent, suppression, items, moments, max_sends, quotas, holdout, keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from notif_rec.audit.facts import span_us
from notif_rec.audit.rules import Check

# `unsubscribed` and `complained` mean no until a later `subscribed` or a users row with a later date; an undated yes never overrides.
# Beside that, `subscribed` means yes unless the users row says otherwise, undated or later.
CONSENT = """
WITH words AS (
  SELECT o.send_key, o."user", o.channel, u.consent[o.channel] AS word, u.consent_at[o.channel] AS word_at,
    (SELECT max(timestamp) FROM events e WHERE e."user" = o."user" AND e.channel IN ('', o.channel)
       AND e.event IN ('unsubscribed', 'complained')) AS out_at,
    (SELECT max(timestamp) FROM events e WHERE e."user" = o."user" AND e.channel IN ('', o.channel) AND e.event = 'subscribed') AS in_at
  FROM ours o LEFT JOIN users u ON u."user" = o."user" WHERE o.channel = $channel),
states AS (
  SELECT *, out_at IS NOT NULL AND NOT coalesce(in_at > out_at, false) AND NOT coalesce(word_at > out_at, false) AS opted_out,
    CASE WHEN coalesce(in_at > word_at, word IS NULL AND in_at IS NOT NULL) THEN 'yes' ELSE coalesce(word, $default) END AS state
  FROM words)
SELECT send_key, "user", channel, format('consent is {}', CASE WHEN opted_out THEN 'no' ELSE state END) FROM states
WHERE opted_out OR NOT list_contains($allowed, state)
"""

SUPPRESSED = """
SELECT o.send_key, o."user", o.channel, 'suppressed' FROM ours o SEMI JOIN suppressions s
ON s."user" = o."user" AND s.channel IN ('', o.channel)
"""

ITEMS = """
SELECT o.send_key, o."user", o.channel, format('item {} is not live or not for this channel', i.item_id)
FROM ours_items o JOIN items i ON i.item = o.item
WHERE (i.created_at IS NOT NULL AND i.created_at > o.send_at) OR (i.expires_at IS NOT NULL AND i.expires_at <= o.send_at)
   OR (len(coalesce(i.channels, [])) > 0 AND NOT list_contains(i.channels, o.channel))
UNION ALL
SELECT o.send_key, o."user", o.channel, 'an item that the catalogue does not hold' FROM ours_items o ANTI JOIN items i ON i.item = o.item
WHERE EXISTS (SELECT 1 FROM items)
"""

AUDIENCE = """
WITH wanted AS (
  SELECT o.send_key, o."user", o.channel, unnest(string_split(i.audience, ';')) AS part
  FROM ours_items o JOIN items i ON i.item = o.item WHERE coalesce(i.audience, '') <> '')
SELECT DISTINCT w.send_key, w."user", w.channel, format('outside the audience {}', w.part)
FROM wanted w LEFT JOIN users u ON u."user" = w."user"
WHERE NOT coalesce(list_contains(list_transform(string_split(split_part(w.part, '=', 2), '|'), lambda x: trim(x)),
                   u.attributes[trim(split_part(w.part, '=', 1))]), false)
"""

SEEN = """
SELECT DISTINCT o.send_key, o."user", o.channel, format('item {} was seen', i.item_id)
FROM ours_items o JOIN events e ON e."user" = o."user" AND e.item = o.item JOIN item_ids i ON i.item = o.item
WHERE o.channel = $channel AND epoch_us(e.timestamp) < $as_of AND list_contains($taste, e.event)
"""

MOMENTS = """
SELECT send_key, "user", channel, format('{} is outside the horizon or off the grid', send_at) FROM ours
WHERE at_us < $start OR at_us >= $end OR at_us % 900000000 <> 0
"""

SIZE = """
SELECT send_key, "user", channel, format('{} items', n_items) FROM ours WHERE channel = $channel AND n_items > $items
UNION ALL
SELECT send_key, "user", any_value(channel), 'the same item twice in one send' FROM ours_items
GROUP BY send_key, "user", item HAVING count(*) > 1
"""

MAX_SENDS = """
SELECT h.key, h."user", h.channel, format('{} sends in the horizon', n) FROM (
  SELECT *, count(*) OVER (PARTITION BY "user") AS n FROM history
  WHERE ledger AND channel = $channel AND at_us >= $as_of AND at_us < $end) h WHERE n > $maximum AND mine
"""

QUOTA = """
WITH parts AS (
  SELECT trim(split_part(part, '=', 1)) AS name, list_transform(string_split(split_part(part, '=', 2), '|'), lambda x: trim(x)) AS words
  FROM (SELECT unnest(string_split($segment, ';')) AS part) WHERE trim(part) <> ''),
inside AS (
  SELECT DISTINCT l.send_key, l."user", l.channel, l.plan_id,
         CASE $by WHEN 'item' THEN i.item_id WHEN 'category' THEN l.category ELSE '' END AS what
  FROM ledger l JOIN item_ids i ON i.item = l.item LEFT JOIN users u ON u."user" = l."user"
  WHERE (NOT l.released OR l.confirmed) AND epoch_us(l.send_at) >= $as_of AND epoch_us(l.send_at) < $end
    AND ($channel = '' OR l.channel = $channel) AND ($category = '' OR l.category = $category)
    AND ($item IN ('', 'any') OR i.item_id = $item)
    AND NOT EXISTS (SELECT 1 FROM parts p WHERE NOT coalesce(list_contains(p.words, u.attributes[p.name]), false))),
counts AS (SELECT what, sum(coalesce(list_extract($costs, list_position($channels, channel)), 0)) AS n,
           arg_max(send_key, plan_id = $plan) AS send_key, arg_max("user", plan_id = $plan) AS "user",
           arg_max(channel, plan_id = $plan) AS channel, bool_or(plan_id = $plan) AS mine FROM inside GROUP BY what)
SELECT send_key, "user", channel, format('{:g} {} {} over a quota of {:g}', n, $unit, what, $maximum) FROM counts
WHERE n > $maximum + 1e-6 AND mine
"""

# Of all users together one send stands for all; of one user each of the plan's own.
WEEKLY = """
WITH inside AS (
  SELECT send_key, any_value("user") AS "user", any_value(plan_id) = $plan AS mine FROM ledger
  WHERE (NOT released OR confirmed) AND channel = $channel AND epoch_us(send_at) >= $since AND epoch_us(send_at) < $end
  GROUP BY send_key HAVING NOT bool_and(item_class = 'transactional')),
counts AS (SELECT *, count(*) OVER () AS n, count(*) OVER (PARTITION BY "user") AS own FROM inside)
SELECT min(send_key), arg_min("user", send_key), $channel, format('{} sends a week, the budget is {}', any_value(n), $maximum)
FROM counts WHERE mine AND n > $maximum HAVING count(*) > 0
UNION ALL
SELECT send_key, "user", $channel, format('{} sends a week to one user, at most {}', own, $most) FROM counts WHERE mine AND own > $most
"""

NO_ZONE = """
SELECT o.send_key, o."user", o.channel, 'the user has no time zone' FROM ours o LEFT JOIN users u ON u."user" = o."user"
WHERE u.timezone IS NULL AND list_contains($channels, o.channel)
  AND NOT list_contains($exempt, CASE WHEN o.transactional THEN 'transactional' ELSE 'marketing' END)
"""


def always_checks(config: Mapping[str, Any], as_of_us: int, plan_id: str) -> Iterator[Check]:
    """The checks that every plan under `config` (as recorded with it) must pass."""
    end = as_of_us + span_us(str(config["horizon"]))
    yield Check("suppressed", SUPPRESSED)
    yield Check("items", ITEMS)
    yield Check("audience", AUDIENCE)
    yield Check("moments", MOMENTS, {"start": as_of_us + span_us(str(config.get("lead", "0m"))), "end": end})
    yield from _zones(config)
    taste = [name for name, weight in config["events"].items() if weight > 0]
    for name, channel in config["channels"].items():
        yield Check("consent", CONSENT, {"channel": name, "default": channel["consent"], "allowed": _allowed(config, name)})
        yield Check("items_per_send", SIZE, {"channel": name, "items": channel["items_per_send"]})
        yield Check("max_sends", MAX_SENDS, {"channel": name, "maximum": channel["max_sends"], "as_of": as_of_us, "end": end})
        if (weekly := channel.get("weekly")) is not None:
            most = 1_000_000 if weekly["at_most"] is None else weekly["at_most"]
            span = {"since": end - span_us("7d"), "end": end}
            yield Check("weekly_budget", WEEKLY, {"channel": name, "plan": plan_id, "maximum": weekly["budget"], "most": most, **span})
        if channel.get("exclude_seen", True):
            yield Check("seen", SEEN, {"channel": name, "as_of": as_of_us, "taste": taste})
    for quota in config.get("quotas") or []:
        yield from _quota(quota, config, as_of_us, end, plan_id)


def _zones(config: Mapping[str, Any]) -> Iterator[Check]:
    """Users without a zone, where the policy or one of its rules sends them nothing."""
    every = list(config["channels"])
    if config.get("unknown_timezone") == "block":
        yield Check("unknown_timezone", NO_ZONE, {"channels": every, "exempt": []})
    for rule in config["rules"]:
        if rule["rule"] == "known_timezone" or (rule["rule"] == "quiet_hours" and rule.get("unknown_timezone") == "block"):
            yield Check("unknown_timezone", NO_ZONE, {"channels": rule.get("channels") or every, "exempt": rule.get("exempt") or []})


def _quota(quota: Mapping[str, Any], config: Mapping[str, Any], as_of_us: int, end: int, plan_id: str) -> Iterator[Check]:
    """A check of what is at most; a minimum is no property of any send, and newer facts may rightly undo it."""
    by = "item" if quota.get("item") else "category" if quota.get("category") else "channel"
    values = {key: quota.get(key) or "" for key in ("channel", "item", "category", "segment")}
    common = {**values, "by": by, "as_of": as_of_us, "end": end, "plan": plan_id, "channels": list(config["channels"])}
    if quota.get("max_sends") is not None:
        ones = [1.0] * len(config["channels"])
        yield Check("quota", QUOTA, {**common, "maximum": float(quota["max_sends"]), "costs": ones, "unit": "sends"})
    if quota.get("max_cost") is not None:
        costs = [float(channel.get("cost", 0)) for channel in config["channels"].values()]
        yield Check("quota", QUOTA, {**common, "maximum": float(quota["max_cost"]), "costs": costs, "unit": "of cost"})


def _allowed(config: Mapping[str, Any], channel: str) -> list[str]:
    """Consent words that permit `channel`: yes alone, or what every opt_in rule on it allows."""
    rules = [r for r in config["rules"] if r["rule"] == "opt_in" and channel in (r.get("channels") or [channel])]
    words = {"yes", "provisional", "no"} if rules else {"yes"}
    for rule in rules:
        words &= set(rule["allow"])
    return sorted(words - {"no"})
