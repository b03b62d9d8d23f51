"""Files of pairs in every form that is read, and what is said of others."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from notif_rec.errors import DataError
from notif_rec.models.pair_file import encode, read_pairs


def pairs_of(path: Path) -> list[tuple[str, str]]:
    found = read_pairs(path)
    return list(zip(found.user.to_pylist(), found.item.to_pylist(), strict=True))


def write(path: Path, text: str) -> Path:
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


EXPECTED = [("7", "x"), ("7", "010"), ("007", "x")]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", "7 x 010\n007 x\n"),
        ("b.txt.gz", "7 x  010 \r\n\r\n9\n007\tx"),
        ("c.csv", "user_id,item_id\n7,x\n7,010\n007,x\n"),
        ("d.csv.gz", 'rating,"item_id",user_id\n5,"x",7\n1,010,7\n2,x,007\n'),
        ("e.csv", "\ufeffuser_id,item_id\r\n7,x\r\n7,010\r\n007,x\r\n"),
    ],
)
def test_forms_are_recognised_and_ids_stay_text(tmp_path: Path, name: str, text: str) -> None:
    assert pairs_of(write(tmp_path / name, text)) == EXPECTED


def test_parquet_with_numbers_as_ids(tmp_path: Path) -> None:
    pq.write_table(pa.table({"item_id": [3, 4], "user_id": [1, 1]}), tmp_path / "f.parquet")
    assert pairs_of(tmp_path / "f.parquet") == [("1", "3"), ("1", "4")]


SPELLINGS = [("5", "7.5"), ("2026-01-01T00:00:05", "2026-01-01T00:00:07"), ("2026-01-01T00:00:05Z", "2026-01-02T00:00:00Z")]


@pytest.mark.parametrize("times", SPELLINGS)
def test_times_grow(tmp_path: Path, times: tuple[str, str]) -> None:
    found = read_pairs(write(tmp_path / "t.csv", f"user_id,item_id,timestamp\n1,2,{times[0]}\n1,3,{times[1]}\n"))
    assert found.time is not None
    assert found.time[0] < found.time[1]


def test_codes_follow_the_order_of_texts(tmp_path: Path) -> None:
    train = encode(read_pairs(write(tmp_path / "a.txt", "10 b a a\n9 c\n")))
    assert train.user_ids.to_pylist() == ["10", "9"]
    assert train.user_items().toarray().tolist() == [[2, 1, 0], [0, 0, 1]]
    test = encode(read_pairs(write(tmp_path / "b.txt", "9 a zz\n11 c\n")), train.user_ids, train.item_ids)
    assert test.user.tolist() == [1, 1, -1]
    assert test.item.tolist() == [0, -1, 2]
    assert test.item.dtype == np.int32


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "user,item_id\n1,2\n", "no column 'user_id' among user, item_id; did you mean 'user'"),
        ("b.csv", "user_id,item_id\n1,2,3\n", "Expected 2 columns, got 3"),
        ("c.csv", "user_id,item_id\n1,\n", "row 1: item_id is empty"),
        ("d.csv", "user_id,item_id\n", r"no \(user, item\) pair"),
        ("e.txt", "1\n2\n", r"no \(user, item\) pair"),
        ("f.tsv", "user_id\titem_id\n1\t2\n", "neither a header with commas"),
        ("g.csv", "user_id,item_id,timestamp\n1,2,soon\n", "timestamp 'soon' is neither a number nor a time"),
        ("h.csv", "", "the file is empty"),
    ],
)
def test_what_is_said_of_broken_files(tmp_path: Path, name: str, text: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        read_pairs(write(tmp_path / name, text))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_pairs(tmp_path / "nowhere.csv")
