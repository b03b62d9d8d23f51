"""The conversion of the retail year, on a handful of rows with every trap, and on the real data where it is at hand."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import os
import sys
from datetime import datetime
from pathlib import Path
from types import ModuleType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "complete_journey"
REAL = Path(os.environ.get("NOTIF_REC_DATA", Path(__file__).parents[3] / "shared" / "data")) / "complete_journey"
NOON = datetime(2017, 5, 8, 12, 30)

WORLD = {
    "transactions": {
        "household_id": [1, 1, 2, 2, 1], "basket_id": [10, 10, 11, 12, 13], "product_id": [100, 101, 101, 102, 102],
        "quantity": [2, 14000, 0, 1, 1], "transaction_timestamp": [NOON, NOON, NOON, NOON, datetime(2017, 6, 1)],
    },
    "products": {
        "product_id": [100, 101, 102], "manufacturer_id": [7, 7, 8], "department": ["GROCERY", "FUEL", "PASTRY"],
        "brand": ["National", "Private", "National"], "product_category": ["FRZN ICE", None, "BREAD"],
        "product_type": ["ICE - CRUSHED/CUBED", None, "BREAD:ITALIAN"], "package_size": ["22 LB", None, None],
    },
    "demographics": {
        "household_id": [1], "age": ["65+"], "income": ["35-49K"], "home_ownership": ["Homeowner"], "marital_status": ["Married"],
        "household_size": ["2"], "household_comp": ["2 Adults No Kids"], "kids_count": ["0"],
    },
    "campaigns": {"campaign_id": [5, 5, 6], "household_id": [1, 2, 1]},
    "campaign_descriptions": {"campaign_id": [5, 6], "campaign_type": ["Type A", "Type B"], "start_date": [datetime(2017, 5, 20)] * 2},
    # coupon 900 holds for 101 (bought twice before) and 102 (once before, once after); coupon 901 for one never bought
    "coupons": {"coupon_upc": [900, 900, 901, 900], "product_id": [101, 102, 999, 102], "campaign_id": [5, 5, 5, 6]},
    "coupon_redemptions": {"household_id": [2], "coupon_upc": [900], "campaign_id": [5], "redemption_date": [datetime(2017, 5, 25)]},
}  # fmt: skip


@pytest.fixture(scope="module")
def convert() -> ModuleType:
    spec = importlib.util.spec_from_file_location("convert_complete_journey", FOLDER / "convert.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def output(convert: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("journey")
    for name, columns in WORLD.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    convert.convert(folder, folder / "out")
    return folder / "out"


def rows(path: Path) -> list[dict[str, str]]:
    text = gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def test_a_purchase_counts_its_pieces_unless_they_are_no_pieces(output: Path) -> None:
    found = rows(output / "events-purchases.csv.gz")
    assert [(r["user_id"], r["item_id"], r["value"]) for r in found] == [
        ("1", "100", "2"), ("1", "101", "1"), ("2", "101", "1"), ("2", "102", "1"), ("1", "102", "1"),
    ]  # fmt: skip
    assert {(r["channel"], r["event"]) for r in found} == {("", "purchase")}
    assert found[0]["timestamp"] == "2017-05-08T12:30:00Z"
    assert len({r["event_id"] for r in found}) == 5


def test_a_coupon_is_the_product_bought_most_before_its_campaign(output: Path) -> None:
    sent = [r for r in rows(output / "events-campaigns.csv.gz") if r["event"] == "sent"]
    assert {(r["user_id"], r["item_id"], r["timestamp"]) for r in sent} == {
        ("1", "101", "2017-05-20T09:05:00Z"), ("1", "999", "2017-05-20T09:05:00Z"), ("2", "101", "2017-05-20T09:05:00Z"),
        ("2", "999", "2017-05-20T09:05:00Z"), ("1", "102", "2017-05-20T09:06:00Z"),
    }  # fmt: skip


def test_a_redemption_is_a_click_on_its_coupons_product(output: Path) -> None:
    clicked = [r for r in rows(output / "events-campaigns.csv.gz") if r["event"] == "clicked"]
    assert [(r["user_id"], r["item_id"], r["channel"], r["timestamp"]) for r in clicked] == [("2", "101", "email", "2017-05-25T12:00:00Z")]


def test_items_have_text_and_a_category(output: Path) -> None:
    found = {r["item_id"]: r for r in rows(output / "items.csv.gz")}
    assert found["100"]["title"] == "ice crushed cubed 22 lb"
    assert (found["100"]["category"], found["101"]["category"]) == ("frzn ice", "fuel")
    assert "pastry bread bread italian" in found["102"]["text"]


def test_users_are_all_households(output: Path) -> None:
    assert [(r["user_id"], r["age"]) for r in rows(output / "users.csv")] == [("1", "65+"), ("2", "")]


def test_a_missing_table_is_told(
    convert: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["convert.py", "--data", str(tmp_path)])
    assert convert.main() == 1
    assert "transactions.parquet: no such file\n  fix: name the folder with --data" in capsys.readouterr().err


@pytest.mark.skipif(not REAL.is_dir(), reason="the real data is not at hand")
def test_the_real_year_has_the_counts_that_its_page_states(convert: ModuleType, tmp_path: Path) -> None:
    rows = convert.convert(REAL, tmp_path)
    assert rows == {"events-purchases.csv.gz": 1_469_307, "events-campaigns.csv.gz": 100_750, "items.csv.gz": 92_331, "users.csv": 2_469}
