"""The first line of a file: which column stands where, matched by name and never by place."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from notif_rec.errors import DataError, UsageError, did_you_mean
from notif_rec.store.columns import TableColumns

DELIMITERS = {";": "';'", "\t": "tabs", "|": "'|'"}


@dataclass(frozen=True)
class ReadOptions:
    """How a person said that the files are to be read. mapping: column -> header; constants: column -> value for every row."""

    mapping: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    timestamps: str = "iso8601"
    timezone: str | None = None
    max_rejects: str | None = None


@dataclass(frozen=True)
class Layout:
    """Where each of our columns stands. place: column -> index in the header; extras: header -> index of columns that are not ours."""

    headers: tuple[str, ...]
    place: Mapping[str, int]
    extras: Mapping[str, int]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class HeaderLine:
    """The header of a CSV file; size: bytes that it and blank lines before it take; line: of the first record."""

    names: tuple[str, ...]
    size: int
    line: int
    blank: int


def read_header(path: Path, text: bytes, columns: TableColumns, options: ReadOptions) -> HeaderLine:
    """The header that starts `text`; DataError where there is none, or its cells are not separated by commas."""
    blank, size, line = 0, 0, b""
    for line in text[: 1 << 20].splitlines(keepends=True):
        size += len(line)
        if line.strip():
            break
        blank += 1
    place = f"{path}:{blank + 1}"
    names = _cells(place, line.rstrip(b"\r\n"))
    if not line.strip():
        raise DataError(f"{path}: nothing but blank lines", "export it again; a file without rows still has a header")
    _refuse_delimiter(place, line.decode("utf-8", "replace"), names, columns, options)
    return HeaderLine(names, size, blank + 2, blank)


def _cells(place: str, line: bytes) -> tuple[str, ...]:
    try:
        row = next(csv.reader([line.decode("utf-8")], strict=True), [])
    except UnicodeDecodeError as error:
        raise DataError(
            f"{place}: the header is not UTF-8 (byte {error.start + 1})", "save the file in UTF-8, e.g. iconv -f LATIN1 -t UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"{place}: the header cannot be read ({error})", "mend the quotes of the first line") from None
    if any("\0" in name for name in row):
        raise DataError(f"{place}: the header holds NUL", "save the file as text in UTF-8")
    return tuple(name.strip() for name in row)


def _refuse_delimiter(place: str, line: str, names: Sequence[str], columns: TableColumns, options: ReadOptions) -> None:
    known = {_fold(name) for name in (*columns.names, *options.mapping.values())}
    hits = len(known & {_fold(name) for name in names})
    for delimiter, name in DELIMITERS.items():
        cells = [cell.strip().strip('"') for cell in line.split(delimiter)]
        if len(cells) > len(names) and (len(known & {_fold(cell) for cell in cells}) > hits or (hits == 0 and len(names) == 1)):
            raise DataError(
                f"{place}: the columns are separated by {name}, not by commas", "export the file with commas between its columns"
            )


def match_columns(path: Path, names: Sequence[str], columns: TableColumns, options: ReadOptions) -> Layout:
    """The layout of a file whose header is `names`; DataError for a doubled, missing or unreadable header."""
    index = _index(path, names)
    place: dict[str, int] = {}
    for column, header in options.mapping.items():
        if _fold(header) not in index:
            raise DataError(
                f"{path}: no column '{header}' for --map {column}={header}{did_you_mean(header, names)}", f"the header has: {_list(names)}"
            )
        place[column] = index[_fold(header)]
    taken = set(place.values())
    for column in columns.names:
        if column not in place and index.get(_fold(column), -1) not in {-1, *taken}:
            place[column] = index[_fold(column)]
    for column in options.constants:
        if column in place:
            raise UsageError(
                f"{path}: --set {column}=… would hide the file's own column '{names[place[column]]}'",
                "drop the --set, or --map the column away",
            )
    _refuse_missing(path, names, columns, options, place)
    used = set(place.values())
    extras = {name: i for i, name in enumerate(names) if name and i not in used}
    return Layout(tuple(names), place, extras, _warnings(path, extras, columns, place))


def check_options(columns: TableColumns, options: ReadOptions) -> None:
    """UsageError for a --map or --set of a column that this table does not have."""
    for flag, chosen in (("--map", options.mapping), ("--set", options.constants)):
        for column in chosen:
            if column not in columns.names and not columns.keeps_extras:
                raise UsageError(
                    f"{flag} {column}=…: {columns.table} have no column '{column}'{did_you_mean(column, columns.names)}",
                    f"columns: {_list(columns.names)}",
                )
    both = sorted(set(options.mapping) & set(options.constants))
    if both:
        raise UsageError(f"column '{both[0]}' has both a --map and a --set", "keep one of them")


def _index(path: Path, names: Sequence[str]) -> dict[str, int]:
    index: dict[str, int] = {}
    for i, name in enumerate(names):
        first = index.setdefault(_fold(name), i)
        if name and first != i:
            raise DataError(f"{path}: the header has '{name}' twice (columns {first + 1} and {i + 1})", "rename or drop one of them")
    return index


def _refuse_missing(path: Path, names: Sequence[str], columns: TableColumns, options: ReadOptions, place: Mapping[str, int]) -> None:
    missing = [c for c in columns.required if c not in place and c not in options.constants]
    if not missing:
        return
    if not place:
        first = ",".join(names)[:80]
        raise DataError(
            f"{path}:1: no header: the first line is '{first}'",
            f"add a first line that names the columns: {','.join(columns.required)}; or use --map column=header",
        )
    column = missing[0]
    free = [name for i, name in enumerate(names) if name and i not in place.values()]
    near = did_you_mean(column, free)
    example = near.split("'")[1] if near else "HEADER"
    optional = f", or --set {column}=VALUE for all rows" if column != columns.required[0] else ""
    raise DataError(f"{path}:1: column '{column}' is missing{near}", f"--map {column}={example}{optional}; the header has: {_list(names)}")


def _warnings(path: Path, extras: Iterable[str], columns: TableColumns, place: Mapping[str, int]) -> tuple[str, ...]:
    absent = [c for c in columns.names if c not in place]
    if columns.keeps_extras:
        near = [(name, did_you_mean(_fold(name), absent)) for name in extras]
        return tuple(f"{path}: column '{name}' is kept as it is{hint}" for name, hint in near if hint and _close(name, hint))
    return tuple(f"{path}: column '{name}' is not used{did_you_mean(_fold(name), absent)}" for name in extras)


def _close(name: str, hint: str) -> bool:
    """Kept columns may be called anything: only what differs by a letter or two from a known name is worth a word."""
    return (
        abs(len(hint.split("'")[1]) - len(name)) <= 2
        and bool(did_you_mean(_fold(name), [hint.split("'")[1]]))
        and name[:2] == hint.split("'")[1][:2]
    )


def _fold(name: str) -> str:
    return name.strip().casefold()


def _list(names: Iterable[str]) -> str:
    return ", ".join(name or "(empty)" for name in names)
