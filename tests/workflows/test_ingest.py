"""Ingest as a whole: counts that add up, nothing twice, all files or none, the newest row wins."""

from __future__ import annotations

import gzip
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from notif_rec.config import Config
from notif_rec.errors import BugError, DataError, UsageError
from notif_rec.store import duplicates, known_files, staging
from notif_rec.store.header import ReadOptions
from notif_rec.store.store import Store
from notif_rec.store.typed import Typed
from notif_rec.workflows.ingest import IngestResult, ingest, parse_limit

CONFIG = Config(events={"view": 1.0, "save": 4.0})
LATEST = datetime(2026, 6, 1)
HEADER = "user_id,item_id,channel,event,timestamp"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.create(tmp_path / "store")


class World:
    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.folder, self.written = store, folder, 0

    def file(self, text: str | bytes, name: str = "") -> Path:
        self.written += 1
        path = self.folder / (name or f"file{self.written}.csv")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def take(self, table: str, *texts: str | bytes, **options: Any) -> IngestResult:
        return ingest(self.store, CONFIG, table, [self.file(text) for text in texts], ReadOptions(**options), latest=LATEST)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        with self.store.connect() as connection:
            return connection.execute(query).fetchall()

    def events(self) -> list[tuple[Any, ...]]:
        return self.rows(
            "SELECT u.user_id, i.item_id, e.channel, e.event, strftime(e.timestamp, '%d %H:%M'), e.value, e.event_id FROM events e "
            'JOIN user_ids u USING ("user") LEFT JOIN item_ids i USING (item) ORDER BY ALL'
        )


@pytest.fixture
def world(store: Store, tmp_path: Path) -> World:
    return World(store, tmp_path)


def counts(result: IngestResult) -> tuple[int, ...]:
    found = result.to_json()
    assert found["records"] == sum(found[name] for name in ("accepted", "rejected", "duplicates", "blank"))
    return tuple(found[name] for name in ("accepted", "rejected", "duplicates", "blank"))


def events_csv(*rows: str, header: str = HEADER) -> str:
    return "\n".join([header, *rows]) + "\n"


def test_events(world: World) -> None:
    text = events_csv(
        "u2,i1,push,view,2026-01-02T10:00:00Z", "007,NA,,save,2026-01-01T10:00:00+01:00", "", "u1,,psh,view,2026-01-01T10:00:00Z"
    )
    result = world.take("events", text)
    assert counts(result) == (2, 1, 0, 1)
    assert world.events() == [("007", "NA", "", "save", "01 09:00", 1.0, None), ("u2", "i1", "push", "view", "02 10:00", 1.0, None)]
    assert world.rows("SELECT user_id FROM user_ids ORDER BY 1") == [("007",), ("u2",)], "a rejected row makes no user"
    found = json.loads(json.dumps(result.to_json()))
    assert {"records", "accepted", "rejected", "duplicates", "blank", "rejects_file"} <= set(found)
    assert found["reasons"] == {"channel: unknown channel; did you mean 'push'?": 1}
    assert found["examples"] == {"channel: unknown channel; did you mean 'push'?": [f"{world.folder / 'file1.csv'}:5"]}
    rejects = Path(found["rejects_file"])
    assert rejects.parent == world.store.root / "rejects"
    assert rejects.stat().st_mode & 0o777 == 0o600
    assert "psh" in rejects.read_text()


def test_buckets_are_those_of_the_store(world: World) -> None:
    world.take("events", events_csv(*(f"u{n},i,push,view,2026-01-02T10:00:00Z" for n in range(50))))
    assert world.rows('SELECT count(*) FROM events e JOIN user_ids u USING ("user") WHERE e.bucket <> u.bucket') == [(0,)]


def test_an_event_without_an_item_has_no_item(world: World) -> None:
    world.take("events", events_csv("u1,,push,view,2026-01-02T10:00:00Z", "u1,i1,push,view,2026-01-02T10:00:00Z"))
    assert world.rows("SELECT item FROM events ORDER BY item") == [(-1,), (0,)]
    assert world.rows("SELECT item_id FROM item_ids") == [("i1",)]


def test_the_same_file_again_is_a_no_op(world: World) -> None:
    text = events_csv("u1,i1,push,view,2026-01-02T10:00:00Z", "", "u1,i1,push,view,2026-01-02T10:00:00Z")
    assert counts(world.take("events", text)) == (1, 0, 1, 1)
    before = world.store.version()
    again = world.take("events", text)
    assert counts(again) == (0, 0, 2, 1)
    assert again.unchanged
    assert world.store.version() == before


def test_the_same_file_again_with_rejects_is_read_again(world: World) -> None:
    """So that what the config has learned since is taken in; and where it has not, nothing is committed."""
    text = events_csv("u1,i1,push,view,2026-01-02T10:00:00Z", "u1,i1,sms,view,2026-01-02T10:00:00Z")
    world.take("events", text)
    before = world.store.version()
    again = world.take("events", text)
    assert counts(again) == (0, 1, 1, 0)
    assert again.unchanged
    assert world.store.version() == before
    wider = Config(events=CONFIG.events, channels={**CONFIG.channels, "sms": CONFIG.channels["push"]})
    assert counts(ingest(world.store, wider, "events", [world.file(text)], latest=LATEST)) == (1, 0, 1, 0)


def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files that are hashed from now on."""
    seen: list[str] = []
    real = known_files.examine

    def examine(path: Path) -> Any:
        seen.append(path.name)
        return real(path)

    monkeypatch.setattr(known_files, "examine", examine)
    return seen


def test_a_pattern_with_one_more_day_reads_that_day_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    days = [
        world.file(events_csv(f"u{n},i1,push,view,2026-01-0{n}T10:00:00Z", f"u{n},i1,psh,view,2026-01-0{n}T10:00:00Z")) for n in (1, 2, 3)
    ]
    ingest(world.store, CONFIG, "events", days[:2], latest=LATEST)
    seen = looked_at(monkeypatch)
    result = ingest(world.store, CONFIG, "events", days, latest=LATEST)
    assert [(file.accepted, file.duplicates, file.rejected) for file in result.files] == [(0, 1, 1), (0, 1, 1), (1, 0, 1)]
    assert seen == ["file3.csv"], "not even hashed"
    assert [row.path for row in world.store.files("events")] == [str(day) for day in days]
    days[0].write_text(days[0].read_text() + "u9,i1,push,view,2026-01-05T10:00:00Z\n")
    assert counts(ingest(world.store, CONFIG, "events", days, latest=LATEST)) == (1, 3, 3, 0)
    assert seen == ["file3.csv", "file1.csv"]


def test_users_of_one_more_file_lie_over_the_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [world.file(f"user_id,tier\nu1,{tier}\nu{tier},x\n") for tier in "abc"]
    ingest(world.store, CONFIG, "users", files[:2], latest=LATEST)
    seen = looked_at(monkeypatch)
    assert counts(ingest(world.store, CONFIG, "users", files, latest=LATEST)) == (2, 0, 4, 0)
    assert seen == ["file3.csv"]
    assert users(world)["u1"]["attributes"] == {"tier": "c"}
    assert ingest(world.store, CONFIG, "users", files, latest=LATEST).unchanged
    ingest(world.store, CONFIG, "users", files[:2], latest=LATEST)
    assert users(world)["u1"]["attributes"] == {"tier": "b"}, "another list: what came later is laid over again"
    ingest(world.store, CONFIG, "users", [files[2], files[0]], latest=LATEST)
    assert users(world)["u1"]["attributes"] == {"tier": "a"}


def test_what_lies_ahead_today_may_be_right_tomorrow(world: World) -> None:
    path = world.file(events_csv("u1,i1,push,view,2026-06-01T10:00:00Z", "u1,i1,push,view,2026-06-03T10:00:00Z"))
    assert counts(ingest(world.store, CONFIG, "events", [path], latest=LATEST)) == (1, 1, 0, 0)
    assert ingest(world.store, CONFIG, "events", [path], latest=LATEST).unchanged
    assert counts(ingest(world.store, CONFIG, "events", [path], latest=LATEST + timedelta(days=2))) == (1, 0, 1, 0)


def test_other_bytes_or_other_options_are_another_file(world: World) -> None:
    text = events_csv("u1,i1,push,2026-01-02T10:00:00Z", header="user_id,item_id,channel,timestamp")
    assert counts(world.take("events", text, constants={"event": "view"})) == (1, 0, 0, 0)
    assert counts(world.take("events", text, constants={"event": "save"})) == (1, 0, 0, 0)
    packed = world.take("events", gzip.compress(text.encode()), constants={"event": "save"})
    assert counts(packed) == (0, 0, 1, 0), "the rows are known all the same"
    assert not packed.unchanged, "but the file is remembered"
    assert world.take("events", gzip.compress(text.encode(), mtime=0), constants={"event": "save"}).to_json()["duplicates"] == 1


def test_duplicates_without_event_id_are_equal_in_every_column(world: World) -> None:
    row = "u1,i1,push,view,2026-01-02T10:00:00Z,1,"
    others = [
        "u2,i1,push,view,2026-01-02T10:00:00Z,1,",
        "u1,i2,push,view,2026-01-02T10:00:00Z,1,",
        "u1,,push,view,2026-01-02T10:00:00Z,1,",
        "u1,i1,email,view,2026-01-02T10:00:00Z,1,",
        "u1,i1,,view,2026-01-02T10:00:00Z,1,",
        "u1,i1,push,save,2026-01-02T10:00:00Z,1,",
        "u1,i1,push,view,2026-01-02T10:00:00.000001Z,1,",
        "u1,i1,push,view,2026-01-02T10:00:00Z,2,",
        "u1,i1,push,view,2026-01-02T10:00:00Z,1,k",
    ]
    same = ["u1,i1,push,view,2026-01-02T11:00:00+01:00,1.0,", "u1,i1,push,view,2026-01-02T10:00:00.000Z,,"]
    header = f"{HEADER},value,send_key"
    assert counts(world.take("events", events_csv(row, *others, *same, header=header))) == (10, 0, 2, 0)
    fresh = ["u9,i1,push,view,2026-01-02T10:00:00Z,1,", "u1,i1,push,view,2026-01-02T10:00:00Z,1,k2"]
    assert counts(world.take("events", events_csv(*others, row, *fresh, header=header))) == (2, 0, 10, 0)


def test_duplicates_by_event_id(world: World) -> None:
    header = f"{HEADER},event_id"
    first = events_csv("u1,i1,push,view,2026-01-02T10:00:00Z,e1", "u2,i2,push,save,2026-01-03T10:00:00Z,e1", header=header)
    assert counts(world.take("events", first)) == (1, 0, 1, 0)
    later = events_csv("u3,i3,push,view,2026-05-02T10:00:00Z,e1", "u1,i1,push,view,2026-01-02T10:00:00Z,e2", header=header)
    assert counts(world.take("events", later)) == (1, 0, 1, 0), "another id is another event, whatever else is equal"
    assert [row[-1] for row in world.events()] == ["e1", "e2"]
    assert world.rows("SELECT user_id FROM user_ids") == [("u1",)], "a duplicate makes no user"
    bare = events_csv("u1,i1,push,view,2026-01-02T10:00:00Z,", header=header)
    assert counts(world.take("events", bare)) == (1, 0, 0, 0), "an event without an id is never taken for one with"


def test_history_elsewhere_is_not_read(world: World) -> None:
    for day in (1, 2, 3, 4):
        world.take("events", events_csv(f"u{day},i1,push,view,2026-01-0{day}T10:00:00Z", f"u{day},i1,push,view,2026-01-0{day}T12:00:00Z"))
    times = pa.chunked_array([pa.array([datetime(2026, 1, 2, 11), datetime(2026, 1, 4, 13), datetime(2026, 1, 1, 12)], pa.timestamp("us"))])
    touched = duplicates.touched(world.store, times)
    assert touched == [world.store.root / segment.path for segment in world.store.segments("events")[:2]]


def test_several_files_are_one_commit_or_none(world: World) -> None:
    good = [events_csv(f"u{n},i1,push,view,2026-01-02T10:00:00Z") for n in range(3)]
    with pytest.raises(DataError, match="separated by ';'"):
        world.take("events", *good, good[0].replace(",", ";"))
    assert world.store.version().seq == 0
    assert world.events() == []
    result = world.take("events", *good, good[1])
    assert counts(result) == (3, 0, 1, 0)
    assert [file.accepted for file in result.files] == [1, 1, 1, 0]
    assert world.store.version().seq == 1
    rows = world.store.files("events")
    assert [(row.counts["records"], row.newest) for row in rows] == [(1, datetime(2026, 1, 2, 10))] * 4


def test_a_file_split_in_any_way_brings_the_same_events(tmp_path: Path) -> None:
    rows = [f"u{n % 7},i{n % 3},push,view,2026-01-0{n % 9 + 1}T10:00:00Z,{'' if n % 2 else f'e{n % 11}'}" for n in range(60)]
    found = []
    for name, parts in (("a", [rows]), ("b", [rows[1::3], rows[::3], rows[2::3]])):
        world = World(Store.create(tmp_path / name), tmp_path)
        for part in parts:
            world.take("events", events_csv(*part, header=f"{HEADER},event_id"))
        found.append([row for row in world.events() if row[-1] is None])
    assert found[0] == found[1] != []


def bad_rows(bad: int, good: int) -> str:
    rows = [f"u{n},i1,psh,view,2026-01-02T10:00:00Z" for n in range(bad)] + [f"u{n},i1,push,view,2026-01-02T10:00:00Z" for n in range(good)]
    return events_csv(*rows)


@pytest.mark.parametrize(
    ("bad", "good", "limit", "taken"),
    [
        (20, 1, None, True),
        (21, 1, None, False),
        (50, 950, None, True),
        (51, 949, None, False),
        (1, 0, None, False),
        (3, 97, "3%", True),
        (4, 96, "3%", False),
        (2, 1, "2", True),
        (3, 9, "2", False),
        (1, 99, "0", False),
        (9, 0, "100%", True),
    ],
)
def test_too_many_rejects(world: World, bad: int, good: int, limit: str | None, taken: bool) -> None:
    if taken:
        assert counts(world.take("events", bad_rows(bad, good), max_rejects=limit)) == (good, bad, 0, 0)
        return
    with pytest.raises(DataError, match=rf"{bad} of {bad + good:,} records rejected") as caught:
        world.take("events", bad_rows(bad, good), max_rejects=limit)
    assert f"{bad} × channel: unknown channel; did you mean 'push'? (first: {world.folder / 'file1.csv'}:2)" in caught.value.problem
    assert str(world.store.root / "rejects") in caught.value.fix
    assert world.store.version().seq == 0
    assert caught.value.exit_code == 3


def test_limits_that_are_none() -> None:
    for text in ("many", "-1", "5.5", "101%", "%", "nan%"):
        with pytest.raises(UsageError, match=f"--max-rejects {text}"):
            parse_limit(text)


def test_options_that_do_not_fit(world: World) -> None:
    with pytest.raises(UsageError, match=r"--map sendkey=…: events have no column 'sendkey'; did you mean 'send_key'"):
        world.take("events", events_csv(), mapping={"sendkey": "x"})
    with pytest.raises(UsageError, match="column 'event' has both a --map and a --set"):
        world.take("events", events_csv(), mapping={"event": "x"}, constants={"event": "view"})
    with pytest.raises(UsageError, match="there is no table 'event'; did you mean 'events'"):
        world.take("event", events_csv())


def users(world: World) -> dict[str, dict[str, Any]]:
    names = ("timezone", "created_at", "consent", "consent_at", "attributes")
    query = f'SELECT u.user_id, {", ".join(names)} FROM users JOIN user_ids u USING ("user", bucket) ORDER BY 1'
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in world.rows(query)}


def test_users(world: World) -> None:
    text = (
        "user_id,timezone,push,push_at,email,Country,created_at\n"
        "u1,Europe/Berlin,Yes,2026-01-02T10:00:00Z,provisional,DE,1995-01-01T00:00:00Z\n"
        "u2,Europe/Berln,,2026-01-02T10:00:00Z,no,,\n"
        "u3,,maybe,,,,\n"
    )
    result = world.take("users", text)
    assert counts(result) == (2, 1, 0, 0)
    assert result.warnings == (f"{world.folder / 'file1.csv'}: 1 rows: timezone: unknown zone; the user is kept without one",)
    assert result.reasons == {"push: not yes, no or provisional": 1}
    assert users(world) == {
        "u1": {
            "timezone": "Europe/Berlin",
            "created_at": datetime(1995, 1, 1),
            "consent": {"email": "provisional", "push": "yes"},
            "consent_at": {"push": datetime(2026, 1, 2, 10)},
            "attributes": {"Country": "DE"},
        },
        "u2": {"timezone": None, "created_at": None, "consent": {"email": "no"}, "consent_at": {}, "attributes": {}},
    }


def test_the_newest_row_wins(world: World) -> None:
    header = "user_id,timezone,push,push_at,tier,plan\n"
    assert counts(world.take("users", f"{header}u1,UTC,no,2026-01-01T00:00:00Z,gold,a\nu1,UTC,yes,,silver,\n")) == (1, 0, 1, 0)
    assert users(world)["u1"]["consent"] == {"push": "yes"}
    assert users(world)["u1"]["attributes"] == {"tier": "silver"}
    assert counts(world.take("users", "user_id,tier\nu1,\nu2,x\n")) == (2, 0, 0, 0)
    assert users(world)["u1"] == {"timezone": "UTC", "created_at": None, "consent": {"push": "yes"}, "consent_at": {}, "attributes": {}}
    assert counts(world.take("users", "user_id,push_at,push\nu1,2026-01-03T00:00:00Z,no\nu2,,\n")) == (1, 0, 1, 0)
    assert users(world)["u1"]["consent_at"] == {"push": datetime(2026, 1, 3)}
    assert counts(world.take("users", "user_id,push\nu1,yes\n")) == (1, 0, 0, 0)
    assert users(world)["u1"]["consent_at"] == {}, "the date of a consent goes with it"


def test_only_changes_are_stored(world: World) -> None:
    text = "user_id,tier\n" + "".join(f"u{n},t{n % 3}\n" for n in range(9))
    world.take("users", text)
    assert counts(world.take("users", text.replace("u4,t1", "u4,t2"))) == (1, 0, 8, 0)
    assert world.rows("SELECT count(*) FROM users_log") == [(10,)]


def test_a_table_that_went_elsewhere_can_come_back(world: World) -> None:
    one, two = "user_id,tier\nu1,a\n", "user_id,tier\nu1,b\n"
    world.take("users", one)
    assert world.take("users", one).unchanged
    world.take("users", two)
    assert not world.take("users", one).unchanged
    assert users(world)["u1"]["attributes"] == {"tier": "a"}
    both = world.take("users", two, one)
    assert counts(both) == (2, 0, 0, 0)
    assert users(world)["u1"]["attributes"] == {"tier": "a"}
    assert world.take("users", two, one).unchanged


def test_items(world: World) -> None:
    text = (
        "item_id,title,text,category,tags,channels,created_at,expires_at,class,audience,value,image\n"
        'i1,"A, ""b""","two\nlines",food,x| y ||,push|email,2026-01-01T00:00:00Z,2027-01-01T00:00:00Z,'
        "transactional,country=DE|AT;tier=gold,2,u.png\n"
        "i2,,,,,,,,,,,\n"
        "i3,,,,,pusj,,,,,,\ni4,,,,,,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,,,,\ni5,,,,,,,,promo,,,\ni6,,,,,,,,,country,,\ni7,,,,,,,,,a=1;a=2,,\n"
    )
    result = world.take("items", text)
    assert counts(result) == (2, 5, 0, 0)
    assert list(result.reasons) == [
        "audience: names an attribute twice; write country=DE|AT",
        "audience: not an audience such as country=DE|AT;tier=gold",
        "channels: unknown channel 'pusj'; did you mean 'push'?",
        "class: unknown class",
        "expires_at: not after created_at",
    ]
    rows = world.rows("SELECT * EXCLUDE (item, seq) FROM items ORDER BY item_id")
    day = datetime(2026, 1, 1)
    assert rows[0] == (
        *("i1", 'A, "b"', "two\nlines", "food", ["x", "y"], ["push", "email"], day, day + timedelta(365)),
        *("transactional", "country=DE|AT;tier=gold", 2.0, {"image": "u.png"}),
    )
    assert rows[1] == ("i2", None, None, None, [], [], None, None, "marketing", None, 1.0, {})
    assert counts(world.take("items", "item_id,category\ni1,drink\ni2,\n")) == (1, 0, 1, 0)
    assert world.rows("SELECT category, title, item_class, extra FROM items WHERE item_id = 'i1'") == [
        ("drink", 'A, "b"', "transactional", {"image": "u.png"})
    ]


def test_suppressions(world: World) -> None:
    assert counts(world.take("suppressions", "user_id,channel\nu1,\nu1,push\nu1,push\nu2,sms\n")) == (2, 1, 1, 0)
    assert counts(world.take("suppressions", "user_id\nu1\nu3\n")) == (1, 0, 1, 0)
    query = 'SELECT user_id, channel FROM suppressions JOIN user_ids USING ("user", bucket) ORDER BY ALL'
    assert world.rows(query) == [("u1", ""), ("u1", "push"), ("u3", "")]


def test_a_known_name_that_is_nearly_met_is_told(world: World) -> None:
    result = world.take("users", "user_id,timezon,tier\nu1,UTC,gold\n")
    assert result.warnings == (f"{world.folder / 'file1.csv'}: column 'timezon' is kept as it is; did you mean 'timezone'?",)


def parquet(world: World, **columns: Any) -> Path:
    path = world.folder / "events.parquet"
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet(world: World) -> None:
    moment = datetime(2026, 1, 2, 10)
    path = parquet(
        world,
        USER_ID=pa.array([7, 8, None]),
        item_id=pa.array(["i1", None, "i2"]).dictionary_encode(),
        channel=["push", "", "push"],
        event=["view"] * 3,
        timestamp=pa.array([moment] * 3, pa.timestamp("ns", "Europe/Berlin")),
        value=[0.5, None, 1.0],
    )
    result = ingest(world.store, CONFIG, "events", [path], latest=LATEST)
    assert counts(result) == (2, 1, 0, 0)
    assert result.examples == {"user_id: empty": [f"{path}:3"]}
    assert world.events() == [("7", "i1", "push", "view", "02 10:00", 0.5, None), ("8", None, "", "view", "02 10:00", 1.0, None)]


def test_parquet_that_cannot_be_read(world: World) -> None:
    moment = [datetime(2026, 1, 2, 10)]
    common = {"item_id": ["i"], "channel": [""], "event": ["view"], "timestamp": pa.array(moment, pa.timestamp("us", "UTC"))}
    with pytest.raises(DataError, match="column 'user_id' holds ids as floating numbers"):
        ingest(world.store, CONFIG, "events", [parquet(world, user_id=[7.0], **common)], latest=LATEST)
    with pytest.raises(DataError, match="column 'user_id' has the type struct"):
        ingest(world.store, CONFIG, "events", [parquet(world, user_id=[{"a": 1}], **common)], latest=LATEST)
    naive = parquet(world, user_id=["u"], **{**common, "timestamp": pa.array(moment, pa.timestamp("us"))})
    with pytest.raises(DataError, match="a time without Z or an offset; give --timezone"):
        ingest(world.store, CONFIG, "events", [naive], latest=LATEST)
    assert counts(ingest(world.store, CONFIG, "events", [naive], ReadOptions(timezone="Asia/Tokyo"), latest=LATEST)) == (1, 0, 0, 0)
    assert world.events()[0][4] == "02 01:00"


def test_zstd(world: World) -> None:
    text = events_csv(*(f"u{n},i1,push,view,2026-01-02T10:00:00Z" for n in range(100)))
    assert counts(world.take("events", pa.compress(text.encode(), "zstd", asbytes=True))) == (100, 0, 0, 0)


def test_a_file_that_changes_while_it_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    path = world.file(events_csv("u1,i1,push,view,2026-01-02T10:00:00Z"))

    def progress(stage: str, done: int, total: int) -> None:
        if stage.startswith("reading"):
            with path.open("ab") as stream:
                stream.write(b"u2,i1,push,view,2026-01-02T10:00:00Z\n")

    with pytest.raises(DataError, match="changed while it was read"):
        ingest(world.store, CONFIG, "events", [path], latest=LATEST, progress=progress)
    assert world.store.version().seq == 0


def test_progress_reaches_the_end(world: World) -> None:
    told: list[tuple[str, int, int]] = []
    files = [world.file(events_csv(f"u{n},i1,push,view,2026-01-02T10:00:00Z")) for n in range(2)]
    ingest(world.store, CONFIG, "events", files, latest=LATEST, progress=lambda *step: told.append(step))
    assert [stage for stage, _, _ in told] == ["reading file1.csv", "reading file2.csv", "storing", "storing"]
    assert all(0 <= done <= total for _, done, total in told)
    assert told[-1] == ("storing", 1, 1)


def test_counts_that_do_not_add_up_are_a_bug(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    """Conservation is checked on every file: a row that got lost between two stages is never passed over."""
    real = staging.read_block

    def lossy(*arguments: Any) -> Typed:
        typed = real(*arguments)
        return Typed(typed.rows.slice(1), typed.rejects, typed.warnings)

    monkeypatch.setattr(staging, "read_block", lossy)
    with pytest.raises(BugError, match="the counts do not add up") as caught:
        world.take("events", events_csv("u1,i1,push,view,2026-01-02T10:00:00Z", "u2,i1,push,view,2026-01-02T10:00:00Z"))
    assert caught.value.exit_code == 70
    assert world.store.version().seq == 0
