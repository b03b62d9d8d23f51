"""A file before it is read: is it there, what is it, and is it whole? Its text comes in blocks, whatever it is packed in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from notif_rec.errors import DataError, did_you_mean

BLOCK = 16 << 20  # bytes of text at a time
BOM = b"\xef\xbb\xbf"
TABLES = (".csv", ".csv.gz", ".csv.zst", ".parquet")  # how the files of a folder are told from others
PACKED = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
SAVE_AS = "save it as CSV in UTF-8 (plain, .gz or .zst) or as Parquet"
REFUSED = {
    b"PK\x03\x04": ("a zip archive or an Excel workbook", f"unpack it, or {SAVE_AS}"),
    b"PK\x05\x06": ("an empty zip archive", SAVE_AS),
    b"BZh": ("packed with bzip2", "unpack it, or pack it with gzip or zstd"),
    b"\xfd7zXZ": ("packed with xz", "unpack it, or pack it with gzip or zstd"),
    b"7z\xbc\xaf": ("a 7z archive", SAVE_AS),
    b"\xd0\xcf\x11\xe0": ("an old Excel workbook", SAVE_AS),
    b"SQLite format 3": ("an SQLite database", "export its table as CSV or Parquet"),
    b"ARROW1": ("an Arrow file", "write it as Parquet"),
    b"ORC": ("an ORC file", "write it as Parquet"),
    b"Obj\x01": ("an Avro file", "write it as Parquet"),
    b"\xff\xfe": ("text in UTF-16", "save it in UTF-8, e.g. iconv -f UTF-16 -t UTF-8"),
    b"\xfe\xff": ("text in UTF-16", "save it in UTF-8, e.g. iconv -f UTF-16 -t UTF-8"),
}


@dataclass(frozen=True)
class Source:
    """A file that passed the look at its first bytes. digest: sha256 of its bytes as they lie on the disk, in hex."""

    path: Path
    kind: Literal["csv", "parquet"]
    packed: str  # '', 'gzip' or 'zstd'
    size: int
    modified_ns: int
    digest: str


def files_in(paths: Sequence[Path]) -> list[Path]:
    """The paths, each folder replaced by the files with rows below it, in the order of their names; DataError where it has none."""
    found: list[Path] = []
    for path in paths:
        inside = [path]
        if path.is_dir():
            inside = [
                p for p in sorted(path.rglob("*")) if p.is_file() and not _hidden(p.relative_to(path)) and p.name.lower().endswith(TABLES)
            ]
            if not inside:
                raise DataError(f"{path}: no file with rows in this folder", f"it has none that ends in {', '.join(TABLES)}")
        found += inside
    return found


def _hidden(path: Path) -> bool:
    """`.crc` files and `_SUCCESS`, `_temporary` and the like, which writers of whole folders leave beside their files."""
    return any(part.startswith((".", "_")) for part in path.parts)


def examine(path: Path) -> Source:
    """What `path` is; DataError where it is missing, empty, or something that cannot be read."""
    size, modified_ns = _status(path)
    try:
        with path.open("rb") as stream:
            head = stream.read(64)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: not readable ({error.strerror})", "check its permissions") from None
    if head.startswith(b"PAR1"):
        return Source(path, "parquet", "", size, modified_ns, digest)
    packed = next((name for magic, name in PACKED.items() if head.startswith(magic)), "")
    source = Source(path, "csv", packed, size, modified_ns, digest)
    _refuse(source, next(text_blocks(source, 4096), b"") if packed else head)
    return source


def _status(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        siblings = [p.name for p in path.parent.iterdir() if p.is_file() and p.name[0] != "."] if path.parent.is_dir() else []
        raise DataError(f"{path}: no such file{did_you_mean(path.name, siblings)}", "check the path") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be looked at ({error.strerror})", "check the path and its permissions") from None
    if not path.is_file():
        raise DataError(f"{path}: not a file", "name the files themselves, e.g. data/events-*.csv.gz")
    if status.st_size == 0:
        raise DataError(f"{path}: the file is empty", "export it again; a file without rows still has a header")
    return status.st_size, status.st_mtime_ns


def _refuse(source: Source, head: bytes) -> None:
    """Raises where the text cannot be CSV in UTF-8."""
    inside = " inside the archive" if source.packed else ""
    if not head:
        raise DataError(f"{source.path}: the file is empty{inside}", "export it again; a file without rows still has a header")
    if head.startswith((*PACKED, b"PAR1")):
        raise DataError(f"{source.path}: packed twice, or Parquet{inside}", "unpack it once")
    for magic, (what, fix) in REFUSED.items():
        if head.startswith(magic):
            raise DataError(f"{source.path}: this is {what}{inside}", fix)
    if head[:64].count(0) * 4 >= len(head[:64]):
        raise DataError(f"{source.path}: every other byte is NUL: UTF-16 or UTF-32, or no text at all{inside}", "save it in UTF-8")


def text_blocks(source: Source, size: int = BLOCK) -> Iterator[bytes]:
    """The unpacked text, without a byte order mark; DataError where an archive is cut short or damaged."""
    first = True
    with _opened(source) as stream:
        while block := _read(source, stream, size):
            yield block.removeprefix(BOM) if first else block
            first = False


@contextmanager
def _opened(source: Source) -> Iterator[Any]:
    if not source.packed:
        with source.path.open("rb") as stream:
            yield stream
        return
    with pa.OSFile(str(source.path)) as raw, pa.CompressedInputStream(raw, source.packed) as stream:
        yield stream


def _read(source: Source, stream: Any, size: int) -> bytes:
    """The next bytes, `size` of them unless the end comes first."""
    parts: list[bytes] = []
    try:
        while size > 0 and (part := stream.read(size)):
            parts.append(part)
            size -= len(part)
    except OSError as error:
        what = "archive is cut short" if "runcated" in str(error) else "archive is damaged" if source.packed else "file cannot be read"
        test = {"gzip": "; `gzip -t` tests it", "zstd": "; `zstd -t` tests it"}.get(source.packed, "")
        raise DataError(f"{source.path}: the {what} ({error})", f"copy or export it again{test}; nothing was taken in") from None
    return b"".join(parts)


def refuse_change(source: Source) -> None:
    """DataError where the file was written to since `examine` looked at it."""
    status = source.path.stat() if source.path.exists() else None
    if status is None or (status.st_size, status.st_mtime_ns) != (source.size, source.modified_ns):
        raise DataError(f"{source.path}: changed while it was read", "ingest it once it is complete; nothing was taken in")
