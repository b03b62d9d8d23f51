"""CSV as blocks of text columns with true line numbers; what is no record is rejected line by line."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv

from notif_rec.errors import BugError, DataError
from notif_rec.store import records as r
from notif_rec.store.blocks import Block, OpenFile
from notif_rec.store.columns import TableColumns
from notif_rec.store.header import HeaderLine, Layout, ReadOptions, match_columns, read_header
from notif_rec.store.preflight import BLOCK, Source, text_blocks
from notif_rec.store.rejects import VALUE_LENGTH, reject_table

REASONS = {
    r.UNCLOSED: "a quote opens here and does not close as it should",
    r.AFTER_QUOTE: "text after a closing quote; a quote inside quotes is written twice",
    r.STRAY_QUOTE: "a quote inside a field that is not quoted",
    r.BREAK: "a line break inside quotes",
    r.NUL: "holds NUL",
    r.TOO_LONG: f"longer than {r.MAX_RECORD >> 20} MB",
    r.ENCODING: "not UTF-8",
}


def open_csv(source: Source, columns: TableColumns, options: ReadOptions, size: int = BLOCK) -> OpenFile:
    """The file's layout and blocks of about `size` bytes; DataError where its header cannot be used."""
    texts = text_blocks(source, size)
    first = next(texts, b"")
    if not first:
        raise DataError(f"{source.path}: nothing but a byte order mark", "export it again; a file without rows still has a header")
    header = read_header(source.path, first, columns, options)
    layout = match_columns(source.path, header.names, columns, options)
    reader = _CsvReader(header, layout, columns)
    return OpenFile(layout, reader.blocks(first[header.size :], texts))


class _CsvReader:
    """Cuts text into whole records and parses the good ones. names: our name, or the header, of each column."""

    def __init__(self, header: HeaderLine, layout: Layout, columns: TableColumns) -> None:
        ours = {index: column for column, index in layout.place.items()}
        self.header = header
        self.names = [ours.get(i, name) for i, name in enumerate(header.names)]
        self.free = np.array([ours.get(i, "") not in columns.bound for i in range(len(self.names))], np.bool_)
        self.place = dict(layout.place)
        self.extras = dict(layout.extras) if columns.keeps_extras else {}

    def blocks(self, rest: bytes, texts: Iterator[bytes]) -> Iterator[Block]:
        """The blocks of the text `rest` + `texts`; what is left of one starts the next."""
        line, blank, skipping, following = self.header.line, self.header.blank, False, b" "
        while following:
            following = next(texts, b"")
            if skipping:
                rest, line, skipping = _after_line(rest, line, not following)
            if not skipping:
                found = r.find_records(np.frombuffer(rest, np.uint8), line, not following, self.free)
                if found.start.size:
                    yield self._block(rest, _mark_encoding(rest, found), blank)
                    blank = 0
                    skipping = found.fault[-1] == r.TOO_LONG and rest[found.end[-1] - 1] not in (r.LF, r.CR)
                rest, line = rest[found.consumed :], found.next_line
            rest += following
        if blank:
            yield replace(self._block(b"", r.find_records(np.empty(0, np.uint8), line, True, self.free), 0), records=blank, blank=blank)

    def _block(self, text: bytes, found: r.Records, blank: int) -> Block:
        good = found.fault == r.FINE
        blank_line = found.fault == r.BLANK
        table = self._parse(_kept(text, found, good))
        if table.num_rows != int(good.sum()):
            raise BugError(f"lines {found.line[0]}–{found.line[-1]}: {int(good.sum())} records were found, {table.num_rows} parsed")
        return Block(
            columns={name: _whole(table.column(str(i))) for name, i in self.place.items()},
            extras={name: _whole(table.column(str(i))) for name, i in self.extras.items()},
            line=found.line[good],
            rejects=self._rejects(text, found, ~(good | blank_line)),
            records=len(found.line) + blank,
            blank=int(blank_line.sum()) + blank,
            size=found.consumed,
        )

    def _parse(self, text: bytes) -> pa.Table:
        """The columns in use as text; every record in `text` is sound."""
        names = ",".join(str(i) for i in range(len(self.names)))
        used = [str(i) for i in sorted({*self.place.values(), *self.extras.values()})]
        if not text:
            return pa.table({name: pa.array([], pa.string()) for name in used})
        return pa_csv.read_csv(
            pa.BufferReader(b"%b\n%b" % (names.encode(), text)),  # a header of ours: Arrow would eat a BOM that starts a row
            read_options=pa_csv.ReadOptions(block_size=len(names) + len(text) + 2, use_threads=False),
            parse_options=pa_csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False),
            convert_options=pa_csv.ConvertOptions(
                column_types={name: pa.string() for name in used}, include_columns=used, strings_can_be_null=False, check_utf8=False
            ),
        )

    def _rejects(self, text: bytes, found: r.Records, bad: r.Bools) -> pa.Table:
        at = np.flatnonzero(bad)  # loops over rejected records alone
        values = [
            text[s : s + min(e - s, 4 * VALUE_LENGTH)].decode("utf-8", "replace").rstrip("\r\n")
            for s, e in zip(found.start[at], found.end[at], strict=True)
        ]
        columns = [self.names[c] if 0 <= c < len(self.names) else "" for c in found.column[at]]
        reasons = [
            REASONS.get(int(code), f"{n} fields, the header has {len(self.names)}")
            for code, n in zip(found.fault[at], found.fields[at], strict=True)
        ]
        return reject_table(found.line[at], columns, values, reasons)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return (
        column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], pa.string())
    )


def _after_line(rest: bytes, line: int, final: bool) -> tuple[bytes, int, bool]:
    """What follows the next line end: (text, its line, whether the line end is still to come)."""
    ends = [at for at in (rest.find(b"\n"), rest.find(b"\r")) if at >= 0]
    if not ends or (rest[min(ends) :] == b"\r" and not final):
        return rest[min(ends, default=len(rest)) :], line, True
    after = min(ends) + (2 if rest[min(ends) : min(ends) + 2] == b"\r\n" else 1)
    return rest[after:], line + 1, False


def _kept(text: bytes, found: r.Records, good: r.Bools) -> bytes:
    """The bytes of the good records alone: few slices, as good records stand in runs."""
    if good.all():
        return text[: found.end[-1]] if good.size else b""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], good, [False])).astype(np.int8)))
    return b"".join(text[found.start[first] : found.end[last - 1]] for first, last in zip(edges[::2], edges[1::2], strict=True))


def _mark_encoding(text: bytes, found: r.Records) -> r.Records:
    """Sound records with bytes that are not UTF-8 become faults."""
    view = memoryview(text)[: found.end[-1]]
    if np.frombuffer(view, np.uint8).max(initial=0) < 128:
        return found
    fault, at = found.fault.copy(), 0
    while at < len(view):
        try:
            codecs.utf_8_decode(view[at:], "strict", True)
            break
        except UnicodeDecodeError as error:
            record = int(np.searchsorted(found.start, at + error.start, "right")) - 1
            fault[record] = r.ENCODING if fault[record] == r.FINE else fault[record]
            at = int(found.end[record])
    return replace(found, fault=fault, column=np.where(fault == r.ENCODING, -1, found.column).astype(np.int32))
