"""The traps that senders fall into, one test each; docs/policy.md answers them one by one.

Caps are asked where they bind: which moments of a day the planner's own arithmetic leaves free, given sends already known.
"""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta
from itertools import permutations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notif_rec.config import Config, parse_config
from notif_rec.errors import ConfigError
from notif_rec.planning.blocking import Clock, blocked_by_history
from notif_rec.planning.bundle import Past, Pool
from notif_rec.planning.caps import caps_of, fatigues_of
from notif_rec.planning.grid import Grid, unpack
from notif_rec.planning.select import select
from notif_rec.planning.users import Sends
from notif_rec.policy.load import rule
from notif_rec.policy.rule import Cap, Rule
from notif_rec.tables import CLASSES
from tests.oracles.caps import Sent, allowed
from tests.policy.zones import ZONES, naive, us

CHANNELS = ("push", "email", "in_app")
CATEGORIES = ("promo", "news")
NOON = datetime(2026, 5, 5, 12)
HOUR = timedelta(hours=1)


def sends_of(sends: list[Sent]) -> Sends:
    """One user's sends as the planner holds them."""
    ordered = sorted(sends, key=lambda s: s.at)
    return Sends(
        np.array([0, len(ordered)]),
        np.array([us(s.at) for s in ordered], dtype=np.int64),
        np.array([CHANNELS.index(s.channel) for s in ordered], dtype=np.int8),
        np.array([CLASSES.index("transactional" if s.transactional else "marketing") for s in ordered], dtype=np.int8),
        np.array([sum(1 << i for i, c in enumerate(CATEGORIES) if c in s.categories) for s in ordered], dtype=np.uint64),
        np.array([s.ours for s in ordered], dtype=np.uint8),
    )


def free(rules: list[Rule], sends: list[Sent], new: Sent, zone: str = "UTC", moments: int = 1) -> list[bool]:
    """Whether `new` may go out at its time, and at each quarter of an hour after it, under the caps among `rules`."""
    grid = Grid(us(new.at), moments)
    caps = caps_of(rules, CHANNELS, CATEGORIES)
    last = grid.first_us + (moments + 1) * 900_000_000
    clock = Clock((zone,), np.array([0], dtype=np.int32), grid.first_us, last)
    blocked = unpack(blocked_by_history(sends_of(sends), caps, grid, clock), moments)[0]
    kind, channel = CLASSES.index("transactional" if new.transactional else "marketing"), CHANNELS.index(new.channel)
    categories = sum(1 << i for i, c in enumerate(CATEGORIES) if c in new.categories)
    binding = [
        row
        for row in range(len(caps.rule))
        if caps.rule[row] >= 0 and caps.channels[row, channel] and caps.binds[row, kind] and not caps.same_item[row]
        if caps.category[row] == 0 or categories & int(caps.category[row])
    ]
    return (~blocked[binding].any(axis=0)).tolist()


def sent(hours: float, channel: str = "push", **more: Any) -> Sent:
    """A send so many hours after noon."""
    return Sent("u", channel, NOON + hours * HOUR, **more)


def cap(**fields: Any) -> Rule:
    return rule("frequency_cap", **fields)


def test_01_rolling_and_calendar_are_different_words_and_the_day_is_the_users() -> None:
    before, after = Sent("u", "push", datetime(2026, 5, 5, 21)), Sent("u", "push", datetime(2026, 5, 5, 23))  # 23:00 and 01:00 in Berlin
    assert free([cap(max=1, per="1d")], [before], after, "Europe/Berlin") == [False]
    assert free([cap(max=1, per="calendar_day")], [before], after, "Europe/Berlin") == [True]
    assert free([cap(max=1, per="calendar_day")], [before], after, "UTC") == [False]


def test_02_no_window_starts_anywhere_each_send_ages_out_by_itself() -> None:
    """At 24 h the first of two sends is out, and a third takes its place: the fourth waits for the second."""
    two = [cap(max=2, per="1d")]
    assert free(two, [sent(0), sent(12)], sent(23.75), moments=2) == [False, True]
    assert free(two, [sent(0), sent(12), sent(24)], sent(35.75), moments=2) == [False, True]


def test_03_a_capped_send_is_dropped_and_nothing_waits_in_a_queue() -> None:
    """A rule is frozen and knows only the sends that it is shown: the next plan judges anew."""
    rules = [cap(max=1, per="1d")]
    assert free(rules, [sent(0)], sent(1)) == [False]
    assert free(rules, [sent(0)], sent(24)) == [True]
    with pytest.raises(ValueError, match="frozen"):
        rules[0].max = 2  # type: ignore[attr-defined]


def test_04_exempt_sends_count_unless_it_is_said_that_they_do_not() -> None:
    exempt: dict[str, Any] = {"max": 1, "per": "1d", "exempt": ("transactional",)}
    receipt, offer = sent(0, transactional=True), sent(1)
    assert free([cap(**exempt)], [offer], sent(2, transactional=True)) == [True]
    assert free([cap(**exempt)], [receipt], offer) == [False]
    assert free([cap(**exempt, count_exempt=False)], [receipt], offer) == [True]


def test_05_in_app_counts_like_any_channel_where_the_rule_names_it_or_none() -> None:
    assert free([cap(max=1, per="1d")], [sent(0, "in_app")], sent(1)) == [False]
    assert free([cap(max=1, per="1d", channels=("push", "in_app"))], [sent(0, "in_app")], sent(1)) == [False]
    assert free([cap(max=1, per="1d", channels=("push", "email"))], [sent(0, "in_app")], sent(1)) == [True]


def test_06_every_rule_must_hold_whatever_their_order() -> None:
    """The wide rule never overrides the narrow one, nor the other way round."""
    rules = [cap(max=5, per="1d", channels=("push",)), cap(max=1, per="7d"), rule("min_gap", gap="2h")]
    for order in permutations(rules):
        assert free(list(order), [sent(0, "email")], sent(100)) == [False]
        assert free(list(order), [sent(0, "email")], sent(168)) == [True]


def test_07_a_category_counts_as_it_was_when_sent() -> None:
    """What a send was is written beside it; what the item is called today is not asked."""
    rules = [cap(max=1, per="3d", category="promo")]
    was_promo, was_news = sent(0, categories=frozenset(["promo"])), sent(0, categories=frozenset(["news"]))
    new = sent(1, categories=frozenset(["promo"]))
    assert free(rules, [was_promo], new) == [False]
    assert free(rules, [was_news], new) == [True]
    both = sent(1, categories=frozenset(["promo", "news"]))  # a digest belongs to each of its categories
    assert free(rules, [was_promo], both) == [False]


SENDS = st.lists(
    st.builds(
        Sent,
        st.just("u"),
        st.sampled_from(CHANNELS),
        st.one_of(
            st.integers(-3000, 3000).map(lambda m: NOON + timedelta(minutes=m)), st.integers(-200, 200).map(lambda q: NOON + q * HOUR / 4)
        ),
        st.just(()),
        st.sampled_from([frozenset[str](), frozenset(["promo"]), frozenset(["news"]), frozenset(CATEGORIES)]),
        st.booleans(),
    ),
    max_size=30,
)
SCOPES = st.sampled_from([(), ("push",), ("push", "email"), ("in_app",)])
EXEMPT = st.sampled_from([{}, {"exempt": ("transactional",)}, {"exempt": ("transactional",), "count_exempt": False}])
CAPS = st.builds(
    lambda per, most, scope, category, exempt: (
        {
            "rule": "frequency_cap",
            "max": most,
            "per": per,
            **({"channels": scope} if scope else {}),
            **({"category": category} if category else {}),
            **exempt,
        }
    ),
    st.sampled_from(["15m", "1h", "1d", "3d", "calendar_day", "calendar_week", "calendar_month"]),
    st.integers(0, 6),
    SCOPES,
    st.sampled_from(["", "", "promo"]),
    EXEMPT,
)
GAPS = st.builds(
    lambda gap, scope, exempt: {"rule": "min_gap", "gap": gap, **({"channels": scope} if scope else {}), **exempt},
    st.sampled_from(["0m", "15m", "40m", "4h"]),
    SCOPES,
    EXEMPT,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.one_of(CAPS, GAPS), min_size=1, max_size=4),
    SENDS,
    SENDS.filter(bool),
    st.sampled_from(ZONES),
    st.sampled_from([0, 60, 180]),
)
def test_08_caps_are_exact_at_any_volume(entries: list[dict[str, Any]], known: list[Sent], news: list[Sent], zone: str, days: int) -> None:
    """Every quarter of an hour of six hours: free where the contract's words in plain Python say so, and nowhere else."""
    shift = timedelta(days=days)
    known = [dataclasses.replace(s, at=s.at + shift) for s in known]
    rules = [rule(e["rule"], **{k: v for k, v in e.items() if k != "rule"}) for e in entries]
    new = dataclasses.replace(news[0], at=NOON + shift)
    for quarter, ours in enumerate(free(rules, known, new, zone, moments=24)):
        there = dataclasses.replace(new, at=new.at + quarter * HOUR / 4)
        assert ours == all(allowed(there, known, entry, CHANNELS, zone) for entry in entries), there.at


def test_08_caps_are_exact_at_three_hundred_sends_a_day() -> None:
    many = [sent(i / 12.5) for i in range(300)]
    assert free([cap(max=300, per="1d")], many, sent(24), moments=1) == [True]
    assert free([cap(max=299, per="1d")], many, sent(24), moments=1) == [False]


def test_09_a_reservation_counts_from_the_moment_it_is_made() -> None:
    """A send that lies ahead takes room like one that lies behind, before anything is delivered."""
    assert free([cap(max=1, per="1d")], [sent(20)], sent(0)) == [False]
    assert free([rule("min_gap", gap="4h")], [sent(3)], sent(0)) == [False]


def test_10_a_changed_window_applies_to_what_was_sent_before() -> None:
    """Nothing is frozen at send time: the same history under another rule is judged by the other rule."""
    history = [sent(0)]
    assert free([rule("min_gap", gap="4h")], history, sent(5)) == [True]
    assert free([rule("min_gap", gap="12h")], history, sent(5)) == [False]


def test_11_a_cap_is_a_persons_not_a_devices_or_an_addresss() -> None:
    """Rules know users and channels; there is no key by which a device or an address could be counted apart."""
    with pytest.raises(ConfigError, match=r"unknown key 'per_device'"):
        parse_config("rules: [{rule: frequency_cap, max: 1, per: 1d, per_device: true}]", "c.yml")
    assert free([cap(max=1, per="1d")], [sent(0)], sent(1)) == [False]


def test_12_without_a_zone_quiet_hours_hold_by_the_configs_zone_or_nothing_is_sent() -> None:
    assert Config().unknown_timezone == "default"
    block = parse_config("unknown_timezone: block", "c.yml")
    assert "known_timezone" in [r.rule for r in block.binding_rules]  # what it does: tests/policy_cases/known_timezone.yml


def test_13_a_moment_is_free_or_not_and_none_is_moved() -> None:
    """A rule can only say yes or no to a moment: no send is shifted to the edge of a window, where everyone else's would be."""
    moments = free([cap(max=1, per="1d")], [sent(0)], sent(23), moments=8)
    assert moments == [False] * 4 + [True] * 4


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [2, 4, 0, 3, 1]])
def test_14_the_most_valuable_win_not_the_first(order: list[int]) -> None:
    """Five qualify, three may go: the worth of a message decides, not its hour and not its place in the input."""
    worth, moments = np.array([1.0, 5.0, 2.0, 9.0, 4.0])[order], np.array([us(NOON) + hour * 3_600_000_000 for hour in range(5)])[order]
    n, nothing = 5, np.zeros(5, dtype=np.int64)
    pool = Pool(
        start=np.array([0, n]), channel=nothing, item_class=nothing, us=moments, content=np.arange(n), categories=nothing.astype(np.uint64),
        item=np.arange(n, dtype=np.int32)[:, None], period=np.zeros((4, n), dtype=np.int64), value=worth, price=np.zeros(n),
        tie=np.arange(n), order=nothing, usable=np.ones(n, dtype=np.uint8),
    )  # fmt: skip
    none = np.zeros(0, dtype=np.int64)
    nobody, never = none.astype(np.int8), np.zeros((4, 0), dtype=np.int64)
    past = Past(np.array([0, 0]), none, nobody, nobody, none.astype(np.uint64), never)
    caps = caps_of([cap(max=3, per="1d")], CHANNELS, CATEGORIES)
    found = select(pool, past, np.full((1, 3), 9), caps, fatigues_of([], CHANNELS), 10_000)
    assert sorted(worth[found.chosen].tolist()) == [4.0, 5.0, 9.0]


def test_15_zero_forbids_and_a_blank_is_an_error() -> None:
    assert free([cap(max=0, per="1d")], [], sent(0)) == [False]
    assert free([], [], sent(0)) == [True]
    with pytest.raises(ConfigError, match=r"rules\.0\.max: nothing stands here"):
        parse_config("rules:\n  - rule: frequency_cap\n    max:\n    per: 1d\n", "c.yml")


@pytest.mark.parametrize(
    "text", ["{rule: min_gap, gap: soon}", "{rule: min_gap}", "{rule: min_gap, gap: -4h}", "{rule: mingap, gap: 4h}", "min_gap"]
)
def test_16_an_unreadable_rule_stops_everything_and_is_never_skipped(text: str) -> None:
    with pytest.raises(ConfigError, match=r"c\.yml:1: rules\.0"):
        parse_config(f"rules: [{text}]", "c.yml")


def test_17_caps_span_channels_plans_and_senders_and_no_rule_frees_a_user_from_another() -> None:
    """External sends and other channels' count; a second rule on one channel leaves the first in force."""
    rules = [cap(max=1, per="1d"), cap(max=9, per="1d", channels=("push",))]
    assert free(rules, [sent(0, "email", ours=False)], sent(1)) == [False]


def test_moments_of_the_oracle_are_those_of_the_planner() -> None:
    assert naive(us(NOON)) == NOON
    assert isinstance(cap(max=1, per="1d"), Cap)
