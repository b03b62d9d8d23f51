"""What fatigue is learned from, against slow Python over a made-up store's rows."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
from hypothesis import given, settings

from notif_rec.planning.bucket import to_us
from notif_rec.planning.send_history import collect_history
from notif_rec.scoring.fatigue_habits import SendHistory
from tests.planning.test_prepare import IDS, WORLD
from tests.planning.world import AS_OF, FACTS, World, _is_answer, _User, connect, us, user_ids

WINDOW = timedelta(microseconds=FACTS.attribution_us)
OLDEST = AS_OF - timedelta(microseconds=FACTS.response_us)


def history(world: World) -> SendHistory:
    connection = connect(world)
    connection.execute("CREATE VIEW sends AS SELECT 1 AS nobody WHERE false")  # read to count rows alone
    return collect_history(connection, FACTS, AS_OF, 10**6)


@settings(max_examples=25, deadline=None)
@given(WORLD)
def test_every_send_before_as_of_with_its_answer_and_what_was_heard(world: World) -> None:
    world["user_ids"] = user_ids(IDS)
    found = history(world)
    mentioned = {row["user"] for name in ("users", "events", "ledger") for row in world.get(name, [])}
    known = sorted((row for row in world["user_ids"] if row["user"] in mentioned), key=lambda row: row["user_id"].encode())
    assert found.n_users == len(known)
    for place, row in enumerate(known):
        person, mine = _User(world, row["user"], FACTS, AS_OF), slice(found.start[place], found.start[place + 1])
        sends = [send for send in person.sends if send["at"] < AS_OF]
        assert found.at_us[mine].tolist() == [us(send["at"]) for send in sends]
        assert found.channel[mine].tolist() == [FACTS.channels.index(send["channel"]) for send in sends]
        judged = [OLDEST <= send["at"] <= AS_OF - WINDOW for send in sends]
        assert found.judged[mine].tolist() == judged
        truth = [send["opened_at"] is not None for send in sends]
        assert [a for a, j in zip(found.answered[mine].tolist(), judged, strict=True) if j] == [
            a for a, j in zip(truth, judged, strict=True) if j
        ]
        heard = sorted(
            (us(e["timestamp"]), FACTS.channels.index(e["channel"]) if e["channel"] else -1)
            for e in person.events
            if e["timestamp"] < AS_OF and _is_answer(e, FACTS.channels)
        )
        told = slice(found.heard_start[place], found.heard_start[place + 1])
        assert sorted(zip(found.heard_us[told].tolist(), found.heard_channel[told].tolist(), strict=True)) == heard
        for at, name in enumerate(FACTS.channels):
            last = max((send["at"] for send in sends if send["channel"] == name), default=None)
            gone = [
                e["timestamp"]
                for e in person.events
                if e["event"] in ("unsubscribed", "complained") and e["channel"] in ("", name) and e["timestamp"] < AS_OF
            ]
            late = [t for t in gone if last is None or t >= last]
            assert found.end_us[place, at] == (us(min(late)) if late else to_us(AS_OF))


def test_what_is_sent_or_done_from_as_of_on_is_not_seen() -> None:
    hour = timedelta(hours=1)
    before = [
        {"user": 0, "event": "sent", "channel": "push", "timestamp": AS_OF - 60 * hour, "item": 1, "seq": 1},
        {"user": 0, "event": "opened", "channel": "push", "timestamp": AS_OF - 59 * hour, "item": 1, "seq": 1},
    ]
    names = ("sent", "opened", "unsubscribed", "view")
    after = [{"user": 0, "event": n, "channel": "" if n == "view" else "push", "timestamp": AS_OF, "item": 1, "seq": 1} for n in names]
    told, more = (history({"user_ids": user_ids(["u"]), "events": events}) for events in (before, before + after))
    for name in SendHistory.__dataclass_fields__:
        assert np.array_equal(getattr(told, name), getattr(more, name)), name
