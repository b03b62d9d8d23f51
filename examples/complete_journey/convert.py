"""Turns the retail year of The Complete Journey into the files that notif-rec reads.

    python examples/complete_journey/convert.py [--data FOLDER] [--output FOLDER]

FOLDER holds transactions, products, demographics, campaigns, campaign_descriptions, coupons and coupon_redemptions as Parquet;
by default `complete_journey` in $NOTIF_REC_DATA, or in ../shared/data beside this checkout. README.md says what becomes what, and why.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import duckdb

ROOT = Path(__file__).parents[2]
TABLES = ("transactions", "products", "demographics", "campaigns", "campaign_descriptions", "coupons", "coupon_redemptions")
MOST_COUPONS = 16  # of a campaign; a household was given at most so many

# A quantity counts as how much the product is liked only where it counts pieces: fuel comes in thousands, a correction in zeros.
PURCHASES = """
SELECT household_id AS user_id, product_id AS item_id, NULL AS channel, 'purchase' AS event, utc(transaction_timestamp) AS timestamp,
       CASE WHEN quantity BETWEEN 1 AND 10 THEN quantity ELSE 1 END AS value, basket_id || '-' || product_id AS event_id
FROM transactions ORDER BY transaction_timestamp, basket_id, product_id
"""
# A coupon holds for up to thousands of products. The one that stands for it is the one bought most before the campaign began
# (the smallest id among equals), so that nothing is known before its time.
COUPON_ITEMS = """
CREATE TEMP TABLE coupon_items AS
WITH bought AS (
    SELECT campaign_id, coupon_upc, coupons.product_id, count(transaction_timestamp) AS times
    FROM coupons JOIN campaign_descriptions USING (campaign_id)
    LEFT JOIN transactions t ON t.product_id = coupons.product_id AND transaction_timestamp < start_date
    GROUP BY ALL
)
SELECT campaign_id, coupon_upc, arg_min(product_id, (-times, product_id)) AS product_id, max(times) AS times FROM bought GROUP BY ALL
"""
# A campaign is one e-mail at 09:00 of its first day, a minute later for each campaign number: two may begin on one day.
SENT = f"""
SELECT household_id AS user_id, product_id AS item_id, 'email' AS channel, 'sent' AS event,
       utc(start_date + INTERVAL 9 HOUR + to_minutes(campaign_id)) AS timestamp, 1 AS value,
       'campaign-' || campaign_id || '-' || household_id || '-' || product_id AS event_id
FROM campaigns JOIN campaign_descriptions USING (campaign_id)
JOIN (
    SELECT campaign_id, product_id FROM (
        SELECT campaign_id, product_id, max(times) AS times FROM coupon_items GROUP BY ALL
    ) QUALIFY row_number() OVER (PARTITION BY campaign_id ORDER BY times DESC, product_id) <= {MOST_COUPONS}
) USING (campaign_id)
"""
CLICKED = """
SELECT household_id AS user_id, product_id AS item_id, 'email' AS channel, 'clicked' AS event,
       utc(redemption_date + INTERVAL 12 HOUR) AS timestamp, 1 AS value,
       'redeemed-' || campaign_id || '-' || household_id || '-' || coupon_upc || '-' || strftime(redemption_date, '%Y%m%d') AS event_id
FROM coupon_redemptions JOIN coupon_items USING (campaign_id, coupon_upc)
"""
ITEMS = """
SELECT product_id AS item_id, words(concat_ws(' ', coalesce(product_type, product_category, department), package_size)) AS title,
       words(concat_ws(' ', department, product_category, product_type, brand, package_size)) AS text,
       words(coalesce(product_category, department)) AS category, words(department) AS department, brand, manufacturer_id
FROM products ORDER BY product_id
"""
USERS = """
SELECT household_id AS user_id, age, income, home_ownership, marital_status, household_size, household_comp, kids_count
FROM (SELECT DISTINCT household_id FROM transactions UNION SELECT household_id FROM campaigns)
LEFT JOIN demographics USING (household_id) ORDER BY household_id
"""
FILES = {
    "events-purchases.csv.gz": PURCHASES,
    "events-campaigns.csv.gz": f"SELECT * FROM ({SENT} UNION ALL {CLICKED}) ORDER BY timestamp, event_id",
    "items.csv.gz": ITEMS,
    "users.csv": USERS,
}


def convert(data: Path, output: Path) -> dict[str, int]:
    """Writes the files into `output`; rows by file."""
    output.mkdir(parents=True, exist_ok=True)
    rows = {}
    with duckdb.connect() as connection:
        connection.execute("CREATE MACRO utc(moment) AS strftime(moment, '%Y-%m-%dT%H:%M:%SZ')")
        connection.execute("CREATE MACRO words(text) AS regexp_replace(lower(text), '[^a-z0-9%.&]+', ' ', 'g')")
        for name in TABLES:
            connection.from_parquet(str(data / f"{name}.parquet")).create_view(name)
        connection.execute(COUPON_ITEMS)
        for name, query in FILES.items():
            connection.sql(query).write_csv(str(output / name), header=True, compression="gzip" if name.endswith(".gz") else None)
            rows[name] = int(connection.execute(f"SELECT count(*) FROM ({query})").fetchall()[0][0])
    return rows


def main() -> int:
    """Reads the command line."""
    base = Path(os.environ.get("NOTIF_REC_DATA", ROOT.parent / "shared" / "data"))
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--data", type=Path, default=base / "complete_journey", help="the folder of Parquet files")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "data", help="where the CSV files go")
    given = parser.parse_args()
    missing = [name for name in TABLES if not (given.data / f"{name}.parquet").is_file()]
    if missing:
        print(
            f"error: {given.data / missing[0]}.parquet: no such file\n  fix: name the folder with --data, or set NOTIF_REC_DATA",
            file=sys.stderr,
        )
        return 1
    for name, count in convert(given.data, given.output).items():
        print(f"{name}\t{count}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
