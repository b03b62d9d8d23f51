"""Whatever is done to a file: every record is accounted for, single faults are told by their line, blocks change nothing."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notif_rec.errors import NotifRecError
from notif_rec.store import records as r
from notif_rec.store.columns import columns_of
from notif_rec.store.header import HeaderLine, Layout
from notif_rec.store.read_csv import _CsvReader
from tests.store.reading import CHANNELS, read

ANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
HEADER = b"user_id,item_id,channel,event,timestamp,value\n"
LINES = [b"u%d,i%d,push,view,2026-01-0%dT10:00:00Z,%d.5\n" % (n, n * 7, n, n) for n in range(1, 9)]
EVIL = st.text(alphabet='ab,"\n\r\x00 é;', max_size=30)


def scan(text: bytes, free: list[bool], final: bool = True, most: int = r.MAX_RECORD) -> list[tuple[int, bytes, int]]:
    """(line, bytes, fault) of each record."""
    found = r.find_records(np.frombuffer(text, np.uint8), 2, final, np.array(free), most)
    return [(int(n), text[s:e], int(f)) for n, s, e, f in zip(found.line, found.start, found.end, found.fault, strict=True)]


QUOTED = re.compile(r'"(?:[^"]|"")*"(?!")')
PLAIN = re.compile(r"[^,\r\n]*")
END = re.compile(r"\r\n|\n|\r")


def fields_of(text: str, at: int) -> list[str] | None:
    """The fields of the record at `at`, quotes included; None where a quote does not close as it should."""
    fields = []
    while True:
        match = (QUOTED if text[at : at + 1] == '"' else PLAIN).match(text, at)
        if match is None:
            return None
        fields.append(match[0])
        at = match.end()
        if at == len(text) or text[at] in "\r\n":
            return fields
        if text[at] != ",":
            return None
        at += 1


def oracle(text: str, free: list[bool], line: int = 2) -> list[tuple[int, str, bool]]:
    """(line, text, good) of each record, by regular expressions, one record at a time."""
    found, at = [], 0
    while at < len(text):
        fields = fields_of(text, at)
        trouble = fields is None or len(fields) != len(free)
        breaks, bound_breaks = 0, False
        for value, is_free in zip(fields or (), free, strict=False):
            inside = END.split(value)
            breaks += len(inside) - 1
            rows = inside[1:-1]
            trouble |= value[:1] != '"' and '"' in value and not is_free
            trouble |= len(free) > 2 and len(rows) > 1 and all(row.count(",") == len(free) - 1 for row in rows)
            bound_breaks |= len(inside) > 1 and not is_free
        if trouble or (bound_breaks and breaks > 1):
            fields, breaks, trouble = None, 0, True
        start = at if fields is None else at + len(",".join(fields))
        end = END.search(text, start)
        stop = end.end() if end else len(text)
        piece = text[at:stop]
        found.append((line, piece, not trouble and not bound_breaks and "\0" not in piece and bool(piece.strip(" \t\r\n"))))
        at, line = stop, line + breaks + 1
    return found


@settings(max_examples=250, deadline=None)
@given(EVIL, st.lists(st.booleans(), min_size=1, max_size=3))
def test_records_are_those_of_the_oracle(text: str, free: list[bool]) -> None:
    found = [(line, piece.decode(), fault == r.FINE) for line, piece, fault in scan(text.encode(), free)]
    assert found == oracle(text, free)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(EVIL.filter(lambda s: "\x00" not in s), min_size=2, max_size=2), min_size=1, max_size=6),
    st.sampled_from(["\n", "\r\n", "\r"]),
)
def test_what_is_written_is_read(rows: list[list[str]], end: str) -> None:
    """Python's csv writes, quoting where needed; in columns of free text nothing is at fault and lines are counted right."""
    out = io.StringIO()
    csv.writer(out, lineterminator=end, quoting=csv.QUOTE_ALL).writerows(rows)
    found = scan(out.getvalue().encode(), [True, True])
    assert [fault for _, _, fault in found] == [r.FINE] * len(rows)
    line = 2
    for (at, piece, _), row in zip(found, rows, strict=True):
        assert at == line
        assert next(csv.reader(io.StringIO(piece.decode(), newline=""))) == row
        line += len(END.findall(piece.decode()))


@settings(max_examples=150, deadline=None)
@given(EVIL, st.lists(st.integers(1, 7), max_size=12), st.integers(4, 40))
def test_blocks_change_nothing(text: str, cuts: list[int], most: int) -> None:
    content, pieces, at = text.encode(), [], 0
    for cut in cuts:
        pieces.append(content[at : at + cut])
        at += cut
    pieces = [piece for piece in [*pieces, content[at:]] if piece]
    assert blocks(pieces[0] if pieces else b"", pieces[1:], most) == blocks(content, [], most)


def blocks(first: bytes, rest: list[bytes], most: int) -> list[object]:
    """Rows with lines, and rejects, of a two-column file that comes in these pieces."""
    layout = Layout(("user_id", "note"), {"user_id": 0}, {"note": 1}, ())
    reader = _CsvReader(HeaderLine(("user_id", "note"), 0, 2, 0), layout, columns_of("users", CHANNELS))
    found: list[object] = []
    real = r.find_records
    try:
        r.find_records = lambda text, line, final, free: real(text, line, final, free, most)  # type: ignore[assignment, misc]
        for block in reader.blocks(first, iter(rest)):
            found += zip(block.line.tolist(), block.columns["user_id"].to_pylist(), block.extras["note"].to_pylist(), strict=True)
            found += [("reject", row["line"], row["reason"]) for row in block.rejects.to_pylist()] + ["blank"] * block.blank
    finally:
        r.find_records = real
    return sorted(map(str, found))


@ANY
@given(st.data())
def test_mutations(tmp_path: Path, data: st.DataObject) -> None:
    """Bytes put in, taken out or changed anywhere: our own errors or nothing lost."""
    content = bytearray(HEADER + b"".join(LINES))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        new = data.draw(st.sampled_from([b"", b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"x", b'""', b'\n"', b";", b" "]))
        content[at : at + data.draw(st.integers(0, 2))] = new
    path = tmp_path / "events.csv"
    path.write_bytes(bytes(content))
    try:
        found = read(path)
    except NotifRecError as error:
        assert error.problem and error.fix
        return
    assert found.records == len(found.rows) + len(found.rejects) + found.blank
    assert found.rejected_lines == sorted(found.rejected_lines)
    if not content.startswith(HEADER):
        return  # with other columns every row may rightly be at fault
    untouched = [line for line in LINES if b"\n" + line in content]
    users = {(row["user_id"], row["item_id"]) for row in found.rows}
    kept = [line for line in untouched if tuple(line.decode().split(",")[:2]) in users]
    assert len(kept) >= len(untouched) - 4, "good rows were swallowed"


FAULTS = {
    "an opening quote": lambda line, column: ",".join([*line[:column], '"' + line[column], *line[column + 1 :]]),
    "a closing quote": lambda line, column: ",".join([*line[:column], line[column] + '"', *line[column + 1 :]]),
    "a field lost": lambda line, column: ",".join([*line[:column], *line[column + 1 :]]),
    "a field too many": lambda line, column: ",".join([*line[:column], "x", *line[column:]]),
    "NUL": lambda line, column: ",".join([*line[:column], "\0" + line[column], *line[column + 1 :]]),
    "a blank before": lambda line, column: ",".join([*line[:column], " " + line[column], *line[column + 1 :]]),
    "a line break": lambda line, column: ",".join([*line[:column], '"' + line[column] + '\n"', *line[column + 1 :]]),
    "a wrong byte": lambda line, column: ",".join([*line[:column], "\udcff" + line[column], *line[column + 1 :]]),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("fault", FAULTS)
def test_single_faults_are_told_by_their_line(tmp_path: Path, fault: str, end: str) -> None:
    """Each fault in each column of each line: that line alone is rejected, by its number, and every other row is kept."""
    lines = [line.decode().rstrip("\n") for line in LINES]
    for place in (0, 3, len(lines) - 1):
        for column in (0, 2, 4, 5):
            broken = FAULTS[fault](lines[place].split(","), column)
            text = end.join([HEADER.decode().rstrip("\n"), *lines[:place], broken, *lines[place + 1 :]]) + end
            path = tmp_path / "events.csv"
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
            found = read(path)
            assert found.rejected_lines == [place + 2], (column, found.rejects)
            assert [row["user_id"] for row in found.rows] == [f"u{n + 1}" for n in range(8) if n != place]


def test_going_back_is_cheap() -> None:
    """Quotes that stay open for ever must not make reading quadratic: 1 MB of them in well under a second each."""
    for line in (b'a,"b""c\n', b'a,"b\n', b'"a""\n', b'a,""b""\n', b'"",""""\n'):
        text = np.frombuffer(line * (1_000_000 // len(line)), np.uint8)
        found = r.find_records(text, 2, True, np.array([True, True]))
        assert found.consumed == text.size


def test_oracle_has_teeth() -> None:
    assert oracle('a,"b\nc,d\n', [True, True]) == [(2, 'a,"b\n', False), (3, "c,d\n", True)]
    assert oracle('a,"b\nc"\n', [True, False]) == [(2, 'a,"b\nc"\n', False)]
