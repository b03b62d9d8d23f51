"""The physical records of CSV text (RFC 4180): where each starts, its line, and what is wrong with it.

Lines end in LF, CRLF or CR. A fault inside quotes could swallow the rows that follow, so a faulty record that spans
lines gives up its first line alone and reading starts again on the next: each bad line is told by its own number.
Going back costs nothing to speak of: quotes that kept a swallowed line open close within the line when read afresh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

FINE, BLANK, UNCLOSED, AFTER_QUOTE, STRAY_QUOTE, FIELDS, BREAK, NUL, TOO_LONG, ENCODING = range(10)
MAX_RECORD = 16 << 20  # bytes; a longer one is rejected, so that one missing quote never holds a whole file in memory
DELIMITER, QUOTE, LF, CR, SPACE, TAB = 44, 34, 10, 13, 32, 9

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]
Int8s = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Records:
    """The whole records of a piece of text; every array has one entry a record.

    start, end: byte range, line end included. line: of its first byte, from 1. fault: a code above. column: of the fault, -1 = the
    record as a whole. fields: how many it has. consumed: bytes dealt with; the rest begins a record. next_line: where the rest is.
    """

    start: Int64s
    end: Int64s
    line: Int64s
    fault: Int8s
    column: Int32s
    fields: Int32s
    consumed: int
    next_line: int


def find_records(text: Bytes, line: int, final: bool, free: Bools, max_record: int = MAX_RECORD) -> Records:
    """The records of `text`, whose first byte stands on `line`.

    final: nothing follows, so that an unfinished record is a record. free: per column of the header, whether line breaks and bare
    quotes may stand in it. Where the last record is TOO_LONG and does not end in a line end, the caller must skip to the next one.
    """
    room = int(np.count_nonzero(text == LF) + np.count_nonzero(text == CR)) + 1
    start, end, lines = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    fault, column, fields = np.empty(room, np.int8), np.empty(room, np.int32), np.empty(room, np.int32)
    count, consumed, next_line = _scan(text, line, final, free, max_record, start, end, lines, fault, column, fields)
    return Records(start[:count], end[:count], lines[:count], fault[:count], column[:count], fields[:count], int(consumed), int(next_line))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _line_end(text: Bytes, p: int) -> int:
    """The place after the line end that follows `p`; -1 where the text stops first, or could go on with the LF of a CRLF."""
    n = text.size
    while p < n and text[p] != LF and text[p] != CR:
        p += 1
    if p >= n or (text[p] == CR and p + 1 >= n):
        return -1
    return p + 2 if text[p] == CR and text[p + 1] == LF else p + 1


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _is_blank(text: Bytes, p: int, end: int) -> bool:
    """Whether nothing but spaces, tabs and line ends stands in the range."""
    while p < end and (text[p] == SPACE or text[p] == TAB or text[p] == LF or text[p] == CR):
        p += 1
    return p == end


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _quoted(text: Bytes, p: int, n_columns: int) -> tuple[int, bool, int, bool, bool]:
    """Reads a field from its opening quote: (place after it, closed, line breaks, holds NUL, holds what look like rows)."""
    n, breaks, nul, delimiters, inner, alike = text.size, 0, False, 0, 0, 0
    p += 1
    while p < n:
        c = text[p]
        if c == QUOTE:
            if p + 1 < n and text[p + 1] == QUOTE:
                p += 1
            else:
                return p + 1, True, breaks, nul, n_columns > 2 and inner > 1 and alike == inner
        elif c == LF or (c == CR and not (p + 1 < n and text[p + 1] == LF)):
            if breaks > 0:  # a line that lies wholly inside the quotes
                inner += 1
                if delimiters == n_columns - 1:
                    alike += 1
            breaks += 1
            delimiters = 0
        elif c == DELIMITER:
            delimiters += 1
        elif c == 0:
            nul = True
        p += 1
    return p, False, breaks, nul, False


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _record(text: Bytes, p: int, free: Bools) -> tuple[int, int, int, int, int]:
    """Reads one record from `p`: (place of its end, fault, column of the fault, fields, line breaks inside quotes)."""
    n, column, breaks, fault, where, nul_column = text.size, 0, 0, FINE, -1, -1
    while True:
        bound = column < free.size and not free[column]
        nul = False
        if p < n and text[p] == QUOTE:
            p, closed, inside, nul, rows = _quoted(text, p, free.size)
            breaks += inside
            if rows or not closed:
                return p, UNCLOSED, column, column + 1, breaks
            if p < n and text[p] != DELIMITER and text[p] != LF and text[p] != CR:
                return p, AFTER_QUOTE, column, column + 1, breaks
            if inside > 0 and bound and fault == FINE:
                fault, where = BREAK, column
        else:
            stray = False
            while p < n and text[p] != DELIMITER and text[p] != LF and text[p] != CR:
                if text[p] == QUOTE:
                    stray = True
                elif text[p] == 0:
                    nul = True
                p += 1
            if stray and bound and fault != STRAY_QUOTE:
                fault, where = STRAY_QUOTE, column
        if nul and nul_column < 0:
            nul_column = column
        if p >= n or text[p] != DELIMITER:
            break
        p += 1
        column += 1
    if column + 1 != free.size:
        fault, where = FIELDS, -1
    elif fault == FINE and nul_column >= 0:
        fault, where = NUL, nul_column
    return p, fault, where, column + 1, breaks


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _scan(
    text: Bytes, line: int, final: bool, free: Bools, max_record: int,
    start: Int64s, end: Int64s, lines: Int64s, fault: Int8s, column: Int32s, fields: Int32s,
) -> tuple[int, int, int]:  # fmt: skip
    """Fills the arrays of `Records`; returns (records, bytes dealt with, line of the rest)."""
    n, p, count = text.size, 0, 0
    while p < n:
        q, code, where, width, breaks = _record(text, p, free)
        is_open = q >= n or (text[q] == CR and q + 1 >= n)
        if is_open and not final and n - p <= max_record:
            break  # more text will tell
        if breaks > 0 and (q - p > max_record or not (code in (FINE, NUL) or (code == BREAK and breaks == 1))):
            code, breaks, q = UNCLOSED, 0, p
        if code in (UNCLOSED, AFTER_QUOTE) and breaks == 0:
            while q < n and text[q] != LF and text[q] != CR:
                q += 1
        if breaks == 0 and q - p > max_record:
            code, where = TOO_LONG, -1
        stop = _line_end(text, q)
        if stop < 0 and not final and code != TOO_LONG:
            break
        done = q if stop < 0 and not final else (n if stop < 0 else stop)
        if code != TOO_LONG and _is_blank(text, p, done):
            code, where = BLANK, -1
        start[count], end[count], lines[count] = p, done, line
        fault[count], column[count], fields[count] = code, where, width
        count += 1
        p = done
        if stop < 0 and not final:
            break  # the rest of a line that is too long: the caller skips it
        line += breaks + 1
    return count, p, line
