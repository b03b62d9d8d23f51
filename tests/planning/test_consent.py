"""Consent case by case: what was said, when, and what holds in the end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.planning.test_prepare import prepared
from tests.planning.world import AS_OF, user_ids

EARLY, LATER, LATEST = (AS_OF + timedelta(days=days) for days in (-2, -1, 3))  # LATEST is after as-of: it binds all the same
Said = tuple[str, str, datetime]  # event, channel, when


def state(events: list[Said], consent: dict[str, str] | None = None, dated: dict[str, datetime] | None = None) -> list[int]:
    """Codes of push (default yes) and email (default no)."""
    said: list[dict[str, Any]] = [
        {"user": 0, "event": event, "channel": channel, "timestamp": at, "item": -1} for event, channel, at in events
    ]
    row = {"user": 0, "consent": consent or {}, "consent_at": dated or {}}
    (found,) = prepared({"user_ids": user_ids(["u"]), "events": said, "users": [row]})
    return [int(code) for code in found["consent"]]


OUT, BACK, COMPLAINT = "unsubscribed", "subscribed", "complained"
NO, PROVISIONAL, YES = 0, 1, 2
CASES: list[tuple[str, list[Said], dict[str, str], dict[str, datetime], list[int]]] = [
    ("nothing was said: the defaults", [], {}, {}, [YES, NO]),
    ("the users row says so", [], {"push": "no", "email": "provisional"}, {}, [NO, PROVISIONAL]),
    ("an opt-out on one channel", [(OUT, "push", EARLY)], {"email": "yes"}, {}, [NO, YES]),
    ("an opt-out without a channel is for all", [(OUT, "", EARLY)], {"email": "yes"}, {}, [NO, NO]),
    ("a complaint is an opt-out", [(COMPLAINT, "push", EARLY)], {}, {}, [NO, NO]),
    ("an opt-out from after as-of binds already", [(OUT, "push", LATEST)], {}, {}, [NO, NO]),
    ("an undated yes never overrides", [(OUT, "push", EARLY)], {"push": "yes"}, {}, [NO, NO]),
    ("a later date does", [(OUT, "push", EARLY)], {"push": "yes"}, {"push": LATER}, [YES, NO]),
    ("an earlier date does not", [(OUT, "push", LATER)], {"push": "yes"}, {"push": EARLY}, [NO, NO]),
    ("at one moment the opt-out wins over a date", [(OUT, "push", EARLY)], {"push": "yes"}, {"push": EARLY}, [NO, NO]),
    ("a date without a word says nothing", [(OUT, "push", EARLY)], {}, {"push": LATER}, [NO, NO]),
    ("coming back later lifts it", [(OUT, "push", EARLY), (BACK, "push", LATER)], {}, {}, [YES, NO]),
    ("coming back earlier does not", [(BACK, "push", EARLY), (OUT, "push", LATER)], {}, {}, [NO, NO]),
    ("at one moment the opt-out wins over coming back", [(BACK, "push", EARLY), (OUT, "push", EARLY)], {}, {}, [NO, NO]),
    ("coming back without a channel is for all", [(OUT, "push", EARLY), (BACK, "", LATER)], {}, {}, [YES, YES]),
    ("coming back on one leaves the other out", [(OUT, "", EARLY), (BACK, "push", LATER)], {"email": "yes"}, {}, [YES, NO]),
    ("subscribing means yes where the row is silent", [(BACK, "email", EARLY)], {}, {}, [YES, YES]),
    ("it does not outweigh an undated no", [(BACK, "push", EARLY)], {"push": "no"}, {}, [NO, NO]),
    ("nor makes a provisional consent whole", [(BACK, "push", EARLY)], {"push": "provisional"}, {}, [PROVISIONAL, NO]),
    ("but is newer than an older dated no", [(BACK, "push", LATER)], {"push": "no"}, {"push": EARLY}, [YES, NO]),
    ("a newer dated no is newer", [(BACK, "push", EARLY)], {"push": "no"}, {"push": LATER}, [NO, NO]),
    ("out, back, out again", [(OUT, "push", EARLY), (BACK, "push", LATER), (OUT, "push", LATEST)], {}, {}, [NO, NO]),
]


@pytest.mark.parametrize(("events", "consent", "dated", "wanted"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_holds(events: list[Said], consent: dict[str, str], dated: dict[str, datetime], wanted: list[int]) -> None:
    assert state(events, consent, dated) == wanted


def test_consent_of_a_user_whom_only_events_know() -> None:
    event = {"user": 0, "event": OUT, "channel": "", "timestamp": EARLY, "item": -1}
    (found,) = prepared({"user_ids": user_ids(["u"]), "events": [event]})
    assert found["consent"] == [NO, NO]


def test_suppressions_bar_one_channel_or_all() -> None:
    users = [{"user": user} for user in range(3)]
    barred = [{"user": 0, "channel": ""}, {"user": 1, "channel": "email"}, {"user": 2, "channel": "fax"}]
    found = prepared({"user_ids": user_ids(["a", "b", "c"]), "users": users, "suppressions": barred})
    assert [row["suppressed"] for row in found] == [[True, True], [False, True], [False, False]]
