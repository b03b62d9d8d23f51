"""Broken files, made by hand: each is either read right, its bad lines told by number, or refused with place and fix."""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pytest

from notif_rec.errors import DataError, UsageError
from notif_rec.store.header import ReadOptions
from tests.store.reading import read

HEADER = b"user_id,item_id,channel,event,timestamp\n"
ROWS = [b"u%d,i%d,push,view,2026-01-0%dT10:00:00Z\n" % (n, n, n) for n in range(1, 6)]
GOOD = HEADER + b"".join(ROWS)


def with_line(line: bytes, at: int = 2) -> bytes:
    """The good file with `line` put in as the row of that place (line `at` + 2 of the file)."""
    return HEADER + b"".join(ROWS[:at]) + line + b"".join(ROWS[at:])


@dataclass(frozen=True)
class Case:
    """rejects: (line, start of the reason) of each rejected record."""

    name: str
    content: bytes
    users: list[str]
    rejects: list[tuple[int, str]] = field(default_factory=list)
    blank: int = 0


ALL = ["u1", "u2", "u3", "u4", "u5"]
CASES = [
    Case("nothing wrong", GOOD, ALL),
    Case("a byte order mark", b"\xef\xbb\xbf" + GOOD, ALL),
    Case("CRLF", GOOD.replace(b"\n", b"\r\n"), ALL),
    Case("CR alone", GOOD.replace(b"\n", b"\r"), ALL),
    Case("mixed line ends", HEADER + ROWS[0].replace(b"\n", b"\r\n") + ROWS[1] + ROWS[2].replace(b"\n", b"\r") + ROWS[3] + ROWS[4], ALL),
    Case("no last newline", GOOD[:-1], ALL),
    Case("header alone", HEADER, []),
    Case("blank lines in between", with_line(b"\n  \n"), ALL, blank=2),
    Case("blank lines at both ends", b"\n\n" + GOOD + b"\r\n", ALL, blank=3),
    Case("a line of commas is no blank line", with_line(b",,,,\n"), ALL, [(4, "empty")]),
    Case("everything quoted", b'"' + GOOD.rstrip(b"\n").replace(b",", b'","').replace(b"\n", b'"\n"') + b'"\n', ALL),
    Case("a quote within quotes", with_line(b'"u""9",i,push,view,2026-01-01T10:00:00Z\n'), ["u1", "u2", 'u"9', "u3", "u4", "u5"]),
    Case("a comma within quotes", with_line(b'"u,9",i,push,view,2026-01-01T10:00:00Z\n'), ["u1", "u2", "u,9", "u3", "u4", "u5"]),
    Case("one Latin-1 byte", with_line(b"caf\xe9,i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "not UTF-8")]),
    Case("half a UTF-8 character", with_line("café".encode()[:-1] + b",i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "not UTF-8")]),
    Case("UTF-8 is no fault", with_line("café,i,push,view,2026-01-01T10:00:00Z\n".encode()), ["u1", "u2", "café", "u3", "u4", "u5"]),
    Case("NUL in an id", with_line(b"u\x009,i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "holds NUL")]),
    Case("NUL in a quoted id", with_line(b'"u\x009",i,push,view,2026-01-01T10:00:00Z\n'), ALL, [(4, "holds NUL")]),
    Case("a quote that never closes", with_line(b'"u9,i,push,view,2026-01-01T10:00:00Z\n'), ALL, [(4, "a quote opens")]),
    Case("… in the last field", with_line(b'u9,i,push,view,"2026-01-01T10:00:00Z\n'), ALL, [(4, "a quote opens")]),
    Case("… in the last line", GOOD + b'u9,i,push,view,"2026-01-01T10:00:00Z\n', ALL, [(7, "a quote opens")]),
    Case(
        "… and a quoted row after it",
        with_line(b'u9,"i,push,view,2026-01-01T10:00:00Z\nu8,"i8",push,view,2026-01-01T10:00:00Z\n'),
        ["u1", "u2", "u8", "u3", "u4", "u5"],
        [(4, "a quote opens")],
    ),
    Case(
        "… and one more that never closes",
        with_line(b'u9,"i,push,view,2026-01-01T10:00:00Z\nu8,i,push,view,2026-01-01T10:00:00Z\nu7,"i,push,view,2026-01-01T10:00:00Z\n'),
        ["u1", "u2", "u8", "u3", "u4", "u5"],
        [(4, "a quote opens"), (6, "a quote opens")],
    ),
    Case("a quote that never opened", with_line(b'u9",i,push,view,2026-01-01T10:00:00Z\n'), ALL, [(4, "a quote inside a field")]),
    Case("text after a closing quote", with_line(b'"u"9,i,push,view,2026-01-01T10:00:00Z\n'), ALL, [(4, "text after a closing quote")]),
    Case("a line break in an id", with_line(b'"u\n9",i,push,view,2026-01-01T10:00:00Z\n'), ALL, [(4, "a line break")]),
    Case("a short row", with_line(b"u9,i,push,view\n"), ALL, [(4, "4 fields, the header has 5")]),
    Case("a long row", with_line(b"u9,i,push,view,2026-01-01T10:00:00Z,more\n"), ALL, [(4, "6 fields, the header has 5")]),
    Case("a last line cut short", GOOD + b"u9,i,pus", ALL, [(7, "3 fields")]),
    Case("a 3 MB id", with_line(b"x" * 3_000_000 + b",i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "longer than 512 bytes")]),
    Case("a 20 MB line", with_line(b"x" * 20_000_000 + b",i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "longer than 16 MB")]),
    Case("an id of 512 bytes", with_line(b"x" * 512 + b",i,push,view,2026-01-01T10:00:00Z\n"), ["u1", "u2", "x" * 512, "u3", "u4", "u5"]),
    Case("an empty user id", with_line(b",i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "empty")]),
    Case("a space before an id", with_line(b" u9,i,push,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "spaces before or after")]),
    Case("ids that look like nothing", with_line(b"NA,null,push,view,2026-01-01T10:00:00Z\n"), ["u1", "u2", "NA", "u3", "u4", "u5"]),
    Case("ids that look like numbers", with_line(b"007,1.0,push,view,2026-01-01T10:00:00Z\n"), ["u1", "u2", "007", "u3", "u4", "u5"]),
    Case("an unknown channel", with_line(b"u9,i,pussh,view,2026-01-01T10:00:00Z\n"), ALL, [(4, "unknown channel; did you mean 'push'?")]),
    Case("an unknown event", with_line(b"u9,i,push,purchse,2026-01-01T10:00:00Z\n"), ALL, [(4, "unknown event; did you mean 'purchase'?")]),
    Case("a sent event on no channel", with_line(b"u9,i,,sent,2026-01-01T10:00:00Z\n"), ALL, [(4, "empty, but a sent event")]),
    Case("a time without an offset", with_line(b"u9,i,push,view,2026-01-01T10:00:00\n"), ALL, [(4, "a time without Z or an offset")]),
    Case("a day that does not exist", with_line(b"u9,i,push,view,2026-02-30T10:00:00Z\n"), ALL, [(4, "not a time")]),
    Case("seconds since 1970", with_line(b"u9,i,push,view,1767261600\n"), ALL, [(4, "a number, not ISO 8601")]),
    Case("before 1990", with_line(b"u9,i,push,view,1989-12-31T23:59:59Z\n"), ALL, [(4, "before 1990-01-01")]),
    Case("the day after tomorrow", with_line(b"u9,i,push,view,2026-06-02T00:00:01Z\n"), ALL, [(4, "after 2026-06-02T00:00Z")]),
    Case("no time", with_line(b"u9,i,push,view,\n"), ALL, [(4, "empty")]),
    Case("the header once more", with_line(HEADER), ALL, [(4, "unknown channel")]),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
def test_file(tmp_path: Path, case: Case, packed: bool) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(gzip.compress(case.content, 1) if packed else case.content)
    found = read(path)
    assert [row["user_id"] for row in found.rows] == case.users
    assert len(found.rejects) == len(case.rejects)
    for (line, _, _, reason), (expected_line, expected) in zip(found.rejects, case.rejects, strict=True):
        assert line == expected_line
        assert reason.startswith(expected)
    assert found.blank == case.blank
    assert found.records == len(case.users) + len(case.rejects) + case.blank


REFUSED = [
    ("empty", b"", "the file is empty"),
    ("nothing but a BOM", b"\xef\xbb\xbf", "nothing but a byte order mark"),
    ("nothing but line ends", b"\n\r\n\n", "nothing but blank lines"),
    ("semicolons", GOOD.replace(b",", b";"), r"events.csv:1: the columns are separated by ';', not by commas"),
    ("tabs", GOOD.replace(b",", b"\t"), r"events.csv:1: the columns are separated by tabs"),
    ("bars", GOOD.replace(b",", b"|"), r"separated by '\|'"),
    ("no header", b"".join(ROWS), r"events.csv:1: no header: the first line is 'u1,i1,push,view,2026-01-01T10:00:00Z'"),
    ("doubled header", b"user_id,item_id,User_ID ,event,timestamp\n", r"the header has 'User_ID' twice \(columns 1 and 3\)"),
    ("missing column", GOOD.replace(b"timestamp", b"timestmp"), "column 'timestamp' is missing; did you mean 'timestmp'"),
    ("UTF-16", GOOD.decode().encode("utf-16"), "this is text in UTF-16"),
    ("UTF-16 without a mark", GOOD.decode().encode("utf-16-le"), "UTF-16 or UTF-32"),
    ("UTF-16 in gzip", gzip.compress(GOOD.decode().encode("utf-16")), "text in UTF-16 inside the archive"),
    ("zip", b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
    ("bzip2", b"BZh91AY&SY", "packed with bzip2"),
    ("Latin-1 header", b"us\xe9r_id,item_id\n", r"events.csv:1: the header is not UTF-8 \(byte 3\)"),
    ("NUL in the header", b"user_id,item_\x00id,channel,event,timestamp\n", "the header holds NUL"),
    ("gzip cut short", gzip.compress(GOOD * 1000)[:-20], "the archive is cut short"),
    ("gzip damaged", gzip.compress(GOOD)[:-8] + b"\0" * 8, "the archive is damaged"),
    ("gzip with garbage after it", gzip.compress(GOOD) + b"garbage", "the archive is damaged"),
    ("gzip of nothing", gzip.compress(b""), "the file is empty inside the archive"),
    ("gzip of gzip", gzip.compress(gzip.compress(GOOD)), "packed twice"),
    ("zstd cut short", pa.compress(GOOD * 1000, "zstd", asbytes=True)[:-5], "the archive is cut short"),
    ("Parquet cut short", b"PAR1" + b"\0" * 50, "the Parquet file is cut short or damaged"),
    ("day or month first", with_line(b"u9,i,push,view,01/02/2026 10:00\n"), r"events.csv:4: column 'timestamp': '01/02/2026 10:00'"),
    ("… even where it is clear", with_line(b"u9,i,push,view,13.02.2026\n"), "day and month could be either way round"),
]


@pytest.mark.parametrize(("content", "message"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read(path)
    assert str(path) in caught.value.problem
    assert caught.value.fix


def test_refused_places(tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_bytes(GOOD)
    with pytest.raises(DataError, match=r"evnts.csv: no such file; did you mean 'events.csv'"):
        read(tmp_path / "evnts.csv")
    with pytest.raises(DataError, match="not a file"):
        read(tmp_path)


def test_headers_go_by_name(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(b"Event, WHEN ,extra,channel,sku,User_Id,\nview,2026-01-01T10:00:00Z,x,push,i7,u7,\n")
    found = read(path, options=ReadOptions(mapping={"item_id": "SKU", "timestamp": "when"}))
    assert [(r["user_id"], r["item_id"], r["event"]) for r in found.rows] == [("u7", "i7", "view")]
    assert found.warnings == (f"{path}: column 'extra' is not used",)


def test_set_fills_a_column(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(b"user_id,item_id,timestamp,evnt_id\nu1,i1,2026-01-01T10:00:00Z,7\n")
    found = read(path, options=ReadOptions(constants={"channel": "", "event": "purchase"}))
    assert [(r["channel"], r["event"], r["event_id"]) for r in found.rows] == [("", "purchase", None)]
    assert found.warnings == (f"{path}: column 'evnt_id' is not used; did you mean 'event_id'?",)
    with pytest.raises(DataError, match="column 'channel' is missing") as caught:
        read(path, options=ReadOptions(constants={"event": "purchase"}))
    assert "--set channel=VALUE" in caught.value.fix
    with pytest.raises(UsageError, match="--set item_id=… would hide the file's own column 'item_id'"):
        read(path, options=ReadOptions(constants={"event": "view", "channel": "", "item_id": "x"}))


def test_mapping_that_does_not_fit(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(GOOD)
    with pytest.raises(DataError, match=r"no column 'item' for --map item_id=item; did you mean 'item_id'"):
        read(path, options=ReadOptions(mapping={"item_id": "item"}))


def test_a_semicolon_in_the_only_column_is_told(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_bytes(b"user_id;tier\nu1;gold\n")
    with pytest.raises(DataError, match="separated by ';'"):
        read(path, "users")
    path.write_bytes(b"user_id\nu1\n\nu2\n")
    assert [r["user_id"] for r in read(path, "users").rows] == ["u1", "u2"]
    path.write_bytes(b"user_id\n\xef\xbb\xbf\n\xef\xbb\xbfu2\n")
    assert [r["user_id"] for r in read(path, "users").rows] == ["\ufeff", "\ufeffu2"], "a mark inside the file is no mark"


def test_line_numbers_go_on_after_quoted_line_breaks(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b'item_id,title,class,created_at\ni1,"two\nlines, and\r\nthree",,\ni2,5" nail,,\ni3,,promo,\n"",x,,\ni5,"a\n')
    found = read(path, "items")
    assert [(r["item_id"], r["title"]) for r in found.rows] == [("i1", "two\nlines, and\r\nthree"), ("i2", '5" nail')]
    assert [(line, column, value) for line, column, value, _ in found.rejects] == [
        (6, "class", "promo"),
        (7, "item_id", ""),
        (8, "title", 'i5,"a'),
    ]


def test_rows_swallowed_by_a_title_are_given_back(tmp_path: Path) -> None:
    """The quote closes at the inch sign of another row, and the whole still has the right number of fields."""
    path = tmp_path / "items.csv"
    rows = b"".join(b"i%d,t%d,c\n" % (n, n) for n in range(2, 9))
    path.write_bytes(b'item_id,title,category\ni1,"open,c\n' + rows + b'i9,TV 55",c\ni10,t,c\n')
    found = read(path, "items")
    assert [r["item_id"] for r in found.rows] == [f"i{n}" for n in range(2, 11)]
    assert found.rejected_lines == [2]


def test_rejects_disarm_formulas_and_keep_numbers(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(
        b"user_id,item_id,channel,event,timestamp,value\nu,i,=1+1,view,2026-01-01T10:00:00Z,\nu,i,push,view,2026-01-01T10:00:00Z,-2\n"
    )
    assert [(c, v, r) for _, c, v, r in read(path).rejects] == [("channel", "'=1+1", "unknown channel"), ("value", "-2", "below 0")]
    assert (tmp_path / "rejects.csv").stat().st_mode & 0o777 == 0o600
